import { EventEmitter } from 'node:events';
import type { Socket } from 'node:net';
import { groupSubject } from '@crossfold/shared/broker/subjects';
import { DamagedDataError } from '@crossfold/shared/errors';
import { BufferPool } from '@crossfold/worker/exchange/buffers';
import { BulkFetch, BulkServer } from '@crossfold/worker/exchange/bulk';
import type { Exchange, GroupView } from '@crossfold/worker/exchange/exchange';
import type { Header } from '@crossfold/worker/exchange/frame';
import { encodeHeader, FrameKind } from '@crossfold/worker/exchange/frame';
import { Inlet } from '@crossfold/worker/exchange/inlet';
import { Link } from '@crossfold/worker/exchange/link';
import { openExchange } from '@crossfold/worker/exchange/open-exchange';
import { messageHeaders } from '@crossfold/worker/exchange/transport-nats';
import fc from 'fast-check';
import { headers } from 'nats';
import { expect, it } from 'vitest';
import { fuzzRuns, fuzzSeed, hostileBytes } from '../support/hostile.ts';
import { Hub } from '../support/hub.ts';

const job = 'exp.train.0.0.0';
const generation = 5;
const length = 3000;
const view: Omit<GroupView, 'rank'> = {
  job,
  generation,
  members: [
    { worker: 'w0', address: null },
    { worker: 'w1', address: null },
  ],
  slices: 2,
  secret: '',
};
const never = new AbortController().signal;
const zero: Omit<Header, 'kind'> = {
  sender: 0,
  generation: 0,
  sequence: 0,
  step: 0,
  owner: 0,
  chunk: 0,
  chunks: 0,
  from: 0,
  to: 0,
  total: 0,
  payload: 0,
};

/** The sum that both members get; each hands in one slice. */
async function sum(members: readonly Exchange[], step: number): Promise<Float32Array[]> {
  return Promise.all(
    members.map((member, rank) => {
      const vector = Float32Array.from({ length }, (_, i) => Math.fround((rank + 1) / (i + step + 1)));
      return member.allReduce(step, [{ from: rank, to: rank + 1, vector }], length, never);
    }),
  );
}

const word = fc.oneof(
  fc.nat(6),
  fc.constantFrom(length, 128 * 1024, 2 ** 31, 2 ** 32 - 1),
  fc.integer({ min: 0, max: 2 ** 32 - 1 }),
);
/** A frame that says what it likes; `lie` is what keeps it from being one that a member would have sent. */
const frame = fc.record({
  kind: fc.constantFrom(...Object.values(FrameKind)),
  sender: fc.constantFrom(0, 1, 2, 65_535),
  generation: fc.constantFrom(generation, generation, generation - 1, 0, 2 ** 32 - 1),
  sequence: word,
  step: word,
  owner: word,
  chunk: word,
  chunks: word,
  from: word,
  to: word,
  total: word,
});
const message = fc.record({
  header: frame,
  payload: fc.uint8Array({ maxLength: 200 }),
  saysLength: fc.option(word, { nil: undefined }),
  /** Instead of a header: whatever may stand in one. */
  text: fc.option(fc.string({ maxLength: 80 }), { nil: undefined, freq: 4 }),
  to: fc.constantFrom<'all.0' | 'all.1' | 0 | 1>('all.0', 'all.1', 0, 1),
});

it('a group comes to its sums whatever else is said on its subjects, and keeps none of it', {
  timeout: 600_000,
}, async () => {
  const quiet = new Hub();
  const noisy = new Hub();
  let named = 0;
  const open = (hub: Hub): Promise<Exchange[]> =>
    Promise.all(
      [0, 1].map((rank) =>
        openExchange(
          { ...view, rank },
          { nats: hub.connect(), mode: 'nats', askAfterMs: 20, onBadFrame: () => named++ },
          never,
        ),
      ),
    );
  const [undisturbed, members] = [await open(quiet), await open(noisy)];
  for (const member of members) member.serve((what) => (what === 'state' ? new Uint8Array(500_000) : undefined));
  const messages = fc.sample(message, { numRuns: fuzzRuns, seed: fuzzSeed });
  const perStep = 100;
  for (let step = 0; step * perStep < messages.length; step++) {
    for (const { header, payload, saysLength, text, to } of messages.slice(step * perStep, (step + 1) * perStep)) {
      const said: Header = { ...header, payload: saysLength ?? payload.length };
      // A block of the right length in the right place is what a member says: that is for who may publish here.
      const subject =
        typeof to === 'number'
          ? groupSubject(job, generation, to)
          : `${groupSubject(job, generation, 'all')}.${to.slice(4)}`;
      const own = headers();
      if (text !== undefined) own.set('Head', text.replaceAll(/[\r\n]/g, ''));
      noisy.publish({ subject, data: payload, headers: text === undefined ? messageHeaders(said) : own });
    }
    const [expected, found] = [await sum(undisturbed, step), await sum(members, step)];
    expect(found).toEqual(expected);
  }
  const counts = members.map((member) => member.counters().badFrames);
  expect(counts[0]).toBeGreaterThan(0);
  expect((counts[0] ?? 0) + (counts[1] ?? 0)).toBe(named);
  // What one fetches in between is whole as well.
  const fetched = await members[0]?.fetch('state', 1, 600_000, never);
  expect(fetched?.length).toBe(500_000);
  await Promise.all([...undisturbed, ...members].map((member) => member.close()));
  expect(noisy.subjects.length).toBe(4);
});

/** The parts of a socket that a connection's receiving side uses. */
class FakeSocket extends EventEmitter {
  destroyed = false;
  setNoDelay(): void {}
  setKeepAlive(): void {}
  cork(): void {}
  uncork(): void {}
  /** What has been written, and how to say that it has left. */
  readonly written: { readonly bytes: Uint8Array; readonly left: () => void }[] = [];
  write(bytes: Uint8Array, left: () => void = () => undefined): void {
    this.written.push({ bytes, left });
  }
  destroy(): void {
    this.destroyed = true;
  }
}

it('a connection ends at what is no frame, and takes no more memory than a frame may have', {
  timeout: 600_000,
}, () => {
  const maxPayload = 1000;
  const header = (payload: number): Uint8Array =>
    encodeHeader({ ...zero, kind: FrameKind.bulk, sender: 1, generation, payload });
  const real = [
    Buffer.concat([header(0), header(4), Buffer.alloc(4)]),
    Buffer.concat([header(maxPayload), Buffer.alloc(maxPayload), header(2 ** 31)]),
  ];
  let ended = 0;
  let frames = 0;
  fc.assert(
    fc.property(hostileBytes(real, false), fc.array(fc.nat(100), { maxLength: 5 }), (bytes, cuts) => {
      const socket = new FakeSocket();
      const taken: number[] = [];
      const pool = new BufferPool(maxPayload);
      const take = pool.take.bind(pool);
      pool.take = (size) => {
        taken.push(size);
        return take(size);
      };
      let wrong = 0;
      const link = new Link(Inlet.of(socket as unknown as Socket), pool, maxPayload, {
        onFrame: ({ payload }, received) => {
          frames++;
          if (received.length !== payload) throw new Error('a frame of another length');
        },
        onNoFrame: () => wrong++,
        onEnd: () => ended++,
      });
      link.start();
      let at = 0;
      for (const cut of [...cuts, bytes.length]) {
        if (!socket.destroyed) socket.emit('data', Buffer.from(bytes.subarray(at, at + cut)));
        at += cut;
      }
      return taken.every((size) => size <= maxPayload) && wrong === (socket.destroyed ? 1 : 0);
    }),
    { numRuns: fuzzRuns, seed: fuzzSeed },
  );
  expect(ended).toBeGreaterThan(0);
  expect(frames).toBeGreaterThan(0);
});

it('a connection says which buffers it still needs, until their bytes have left or it ends', () => {
  const socket = new FakeSocket();
  const events = { onFrame: () => undefined, onNoFrame: () => undefined, onEnd: () => undefined };
  const link = new Link(Inlet.of(socket as unknown as Socket), new BufferPool(64), 64, events);
  link.start();
  const [vector, other] = [new Float32Array(8), new Float32Array(8)];
  const block = new Uint8Array(vector.buffer, 0, 16);
  const header: Header = { ...zero, kind: FrameKind.partial, sender: 0, generation, payload: block.length };
  // The same block twice, as where it was asked for again.
  link.send(header, block);
  link.send(header, block);
  const payloads = socket.written.filter(({ bytes }) => bytes.buffer === vector.buffer);
  expect(payloads.map(({ bytes }) => bytes.length)).toEqual([16, 16]);
  expect(link.holds(other.buffer)).toBe(false);
  payloads[0]?.left();
  expect(link.holds(vector.buffer)).toBe(true);
  payloads[1]?.left();
  expect(link.holds(vector.buffer)).toBe(false);
  link.send(header, block);
  expect(link.holds(vector.buffer)).toBe(true);
  link.end('enough');
  expect(link.holds(vector.buffer)).toBe(false);
});

it('a blob is handed out and put together from requests and pieces of any kind, within its bound', () => {
  const blob = Uint8Array.from({ length: 10_000 }, (_, i) => i);
  const server = new BulkServer((what) => (what === 'state' ? blob : undefined), 1000);
  const piece = fc.record({ chunk: word, chunks: word, from: word, to: word, total: word, sequence: fc.nat(3) });
  fc.assert(
    fc.property(piece, fc.uint8Array({ maxLength: 300 }), (fields, payload) => {
      const header: Header = { ...zero, ...fields, kind: FrameKind.fetch, sender: 1, payload: payload.length };
      let sent = 0;
      server.answer(header, payload, () => sent++);
      const fetch = new BulkFetch('state', 1, 0, blob.length, 1000);
      try {
        if (fetch.accept({ ...header, kind: FrameKind.bulk }, payload) === 'whole') fetch.bytes;
      } catch (error) {
        if (!(error instanceof DamagedDataError)) throw error;
      }
      return sent <= 32;
    }),
    { numRuns: fuzzRuns, seed: fuzzSeed },
  );
});
