import { writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DamagedDataError } from '@crossfold/shared/errors';
import { keyedRandom } from '@crossfold/shared/rng';
import type { Header } from '@crossfold/worker/exchange/frame';
import { FrameKind } from '@crossfold/worker/exchange/frame';
import { frameHeader, messageHeaders } from '@crossfold/worker/exchange/transport-nats';
import type { NatsConnection, PublishOptions } from 'nats';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { TestBroker } from '../support/broker.ts';
import { startBroker } from '../support/broker.ts';
import type { TestGroup } from '../support/exchange-group.ts';
import { expectedSum, openGroup, sameBits, sliceVector } from '../support/exchange-group.ts';

let server: TestBroker;
beforeAll(async () => {
  server = await startBroker();
});
afterAll(() => server.stop());

/** Runs with a group that is closed whatever happens. */
async function withGroup(opening: Promise<TestGroup>, body: (group: TestGroup) => Promise<void>): Promise<void> {
  const group = await opening;
  try {
    await body(group);
  } finally {
    await group.close();
  }
}

/** A connection whose publications go through `fate`: how often each is delivered. */
function withFate(
  nats: NatsConnection,
  fate: (header: Header | undefined, data: Uint8Array) => number,
): NatsConnection {
  return new Proxy(nats, {
    get(target, property) {
      if (property === 'publish')
        return (subject: string, data: Uint8Array, options: PublishOptions) => {
          for (let times = fate(frameHeader(options), data); times > 0; times--) target.publish(subject, data, options);
        };
      const value = Reflect.get(target, property);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}

describe('groups over the broker', () => {
  it.each([
    [1, 4],
    [2, 4],
    [3, 4],
    [4, 4],
    [3, 7],
    [4, 5],
  ])('%i members, %i slices: the bits of one, step after step', async (size, slices) => {
    // Nobody asks for what is merely late on a busy machine.
    const options = { askAfterMs: 60_000 };
    await withGroup(openGroup(server.url, size, { slices, options }), async ({ allReduce, members }) => {
      // Lengths of the MNIST net's gradient, of a short vector, of one with fewer elements than members.
      for (const [step, length] of [93_326, 10, 3, 1, 93_326].entries()) {
        const expected = expectedSum(slices, step, length);
        for (const sum of await allReduce(step, length)) expect(sameBits(sum, expected)).toBe(true);
      }
      for (const { exchange } of members) {
        expect(exchange.transport).toBe(size === 1 ? 'none' : 'nats');
        expect(exchange.counters()).toMatchObject({ badFrames: 0, resent: 0 });
        expect(exchange.waitingFor()).toBeUndefined();
        if (size === 1) expect(exchange.counters().bytesOut).toBe(0);
      }
    });
  });

  it('a vector many times the size of a message', async () => {
    await withGroup(openGroup(server.url, 3), async ({ allReduce }) => {
      const length = 3_453_121;
      const expected = expectedSum(4, 0, length);
      for (const sum of await allReduce(0, length)) expect(sameBits(sum, expected)).toBe(true);
    });
  });

  it('a broker that takes only small messages', async () => {
    const config = join(tmpdir(), `crossfold-small-${process.pid}.conf`);
    await writeFile(config, 'max_payload: 8192\n');
    const small = await startBroker({ config });
    try {
      await withGroup(openGroup(small.url, 2), async ({ allReduce }) => {
        const expected = expectedSum(4, 0, 50_000);
        for (const sum of await allReduce(0, 50_000)) expect(sameBits(sum, expected)).toBe(true);
      });
    } finally {
      await small.stop();
    }
  });

  it('survives the loss and repetition of messages', async () => {
    const random = keyedRandom('loss');
    const wrap = (nats: NatsConnection): NatsConnection =>
      withFate(nats, () => {
        const draw = random.below(10);
        return draw < 2 ? 0 : draw === 2 ? 2 : 1;
      });
    const options = { blockBytes: 4096, askAfterMs: 60 };
    await withGroup(openGroup(server.url, 3, { wrap, options }), async ({ allReduce, members }) => {
      for (let step = 0; step < 5; step++) {
        const expected = expectedSum(4, step, 20_000);
        for (const sum of await allReduce(step, 20_000)) expect(sameBits(sum, expected)).toBe(true);
      }
      expect(members.reduce((resent, m) => resent + m.exchange.counters().resent, 0)).toBeGreaterThan(0);
      expect(members.map((m) => m.exchange.counters().badFrames)).toEqual([0, 0, 0]);
    });
  });

  it('goes on when the broker has been away', async () => {
    const fragile = await startBroker();
    try {
      await withGroup(openGroup(fragile.url, 3), async ({ allReduce }) => {
        const expected = expectedSum(4, 0, 300_000);
        let restart: Promise<void> | undefined;
        for (let step = 0; step < 12; step++) {
          if (step === 3) restart = fragile.restart();
          for (const sum of await allReduce(0, 300_000)) expect(sameBits(sum, expected)).toBe(true);
        }
        await restart;
      });
    } finally {
      await fragile.stop();
    }
  });

  it('hands a finished block again to a member that others have left behind', async () => {
    let lost = 0;
    // The first time that rank 0 says what it has finished, nobody hears it.
    const wrap = (nats: NatsConnection, rank: number): NatsConnection =>
      withFate(nats, (header) => (rank === 0 && header?.kind === FrameKind.finished && lost++ === 0 ? 0 : 1));
    await withGroup(openGroup(server.url, 2, { wrap }), async ({ members }) => {
      const [first, second] = members;
      const { signal } = new AbortController();
      const vector = (): Float32Array => Float32Array.of(1, 2, 3, 4);
      const behind = second?.exchange.allReduce(0, [{ from: 2, to: 4, vector: vector() }], 4, signal);
      const sum = await first?.exchange.allReduce(0, [{ from: 0, to: 2, vector: vector() }], 4, signal);
      sum?.fill(-1); // the caller's to do with as it likes
      // Rank 0 is at the next step already, and has sent its part of it, when it is asked.
      const next = first?.exchange.allReduce(1, [{ from: 0, to: 2, vector: vector() }], 4, signal);
      expect([...((await behind) ?? [])]).toEqual([2, 4, 6, 8]);
      await second?.exchange.allReduce(1, [{ from: 2, to: 4, vector: vector() }], 4, signal);
      expect([...((await next) ?? [])]).toEqual([2, 4, 6, 8]);
    });
  });

  it('drops what belongs to another generation, and what is no frame', async () => {
    await withGroup(openGroup(server.url, 2), async ({ allReduce, members }) => {
      const [first] = members;
      const stale: Header = {
        kind: FrameKind.partial,
        sender: 1,
        generation: 0,
        sequence: 0,
        step: 0,
        owner: 0,
        chunk: 0,
        chunks: 1,
        from: 2,
        to: 4,
        total: 4,
        payload: 8,
      };
      const subject = 'crossfold.group.e.train.0.0.0.1.0';
      first?.nats.publish(subject, new Uint8Array(8).fill(66), { headers: messageHeaders(stale) });
      first?.nats.publish(subject, 'no frame');
      await first?.nats.flush();
      const expected = expectedSum(4, 0, 4);
      for (const sum of await allReduce(0, 4)) expect(sameBits(sum, expected)).toBe(true);
      expect(first?.exchange.counters().badFrames).toBe(2);
    });
  });

  it('hands in nodes one by one, as they are computed', async () => {
    await withGroup(openGroup(server.url, 2, { slices: 7 }), async ({ members }) => {
      // Ranks own slices 0..2 and 3..6: two nodes each.
      const { signal } = new AbortController();
      const nodes = [
        [
          [2, 3],
          [0, 2],
        ],
        [
          [4, 7],
          [3, 4],
        ],
      ]; // in another order than the tree's
      const one = (from: number, to: number): Float32Array => {
        const vector = new Float32Array(10);
        for (let slice = from; slice < to; slice++)
          sliceVector(slice, 0, 10).forEach((v, i) => {
            vector[i] = (vector[i] ?? 0) + Math.trunc(v % 1000);
          });
        return vector;
      };
      const sums = members.map(({ exchange }, rank) => {
        const sum = exchange.begin(0, 10, signal);
        for (const [from, to] of nodes[rank] ?? [])
          sum.contribute({ from: from ?? 0, to: to ?? 0, vector: one(from ?? 0, to ?? 0) });
        return sum.finish();
      });
      for (const sum of await Promise.all(sums)) expect([...sum]).toEqual([...one(0, 7)]);
    });
  });
});

describe('a member that waits', () => {
  it('says for whom, for what and since when, and gives up at once when it is told to', async () => {
    await withGroup(openGroup(server.url, 3), async ({ members }) => {
      const [first, second, third] = members;
      const over = new AbortController();
      const reason = new Error('the generation is closed');
      const vector = (): Float32Array => new Float32Array(12);
      const waiting = [
        first?.exchange.allReduce(5, [{ from: 0, to: 1, vector: vector() }], 12, over.signal),
        second?.exchange.allReduce(5, [{ from: 1, to: 2, vector: vector() }], 12, over.signal),
      ];
      for (const member of [first, second]) {
        const wait = { members: ['worker-2'], what: 'sums of slices 2-3 of step 5' };
        await expect.poll(() => member?.exchange.waitingFor()).toMatchObject(wait);
        await expect.poll(() => member?.exchange.waitingFor()?.sinceMs).toBeGreaterThanOrEqual(100);
      }
      over.abort(reason);
      for (const wait of waiting) await expect(wait).rejects.toBe(reason);
      expect(first?.exchange.waitingFor()).toBeUndefined();
      await expect(third?.exchange.allReduce(5, [], 12, over.signal)).rejects.toBe(reason);
    });
  });

  it('is let go when the exchange is closed', async () => {
    await withGroup(openGroup(server.url, 2), async ({ members }) => {
      const { signal } = new AbortController();
      const vector = new Float32Array(4);
      const wait = members[0]?.exchange.allReduce(0, [{ from: 0, to: 2, vector }], 4, signal);
      const fetch = members[0]?.exchange.fetch('state', 1, 10, signal);
      const ends = [expect(wait).rejects.toThrow(/closed/), expect(fetch).rejects.toThrow(/closed/)];
      await members[0]?.exchange.close();
      await Promise.all(ends);
    });
  });
});

describe('a blob that another member offers', () => {
  const { signal } = new AbortController();
  const blob = (bytes: number): Uint8Array => Uint8Array.from({ length: bytes }, (_, i) => (i * 7 + (i >> 8)) & 255);

  it.each([0, 1, 4096, 300_000])('%i bytes come over whole', async (bytes) => {
    await withGroup(openGroup(server.url, 3, { options: { blockBytes: 4096 } }), async ({ members }) => {
      members[2]?.exchange.serve((what) => (what === 'state 7' ? blob(bytes) : undefined));
      const got = await members[0]?.exchange.fetch('state 7', 2, bytes, signal);
      expect(Buffer.compare(got ?? new Uint8Array(1), blob(bytes))).toBe(0);
    });
  });

  it('comes over a lossy wire', async () => {
    const random = keyedRandom('lossy blob');
    const wrap = (nats: NatsConnection): NatsConnection => withFate(nats, () => (random.below(4) === 0 ? 0 : 1));
    const options = { blockBytes: 4096, askAfterMs: 20 };
    await withGroup(openGroup(server.url, 2, { wrap, options }), async ({ members }) => {
      members[1]?.exchange.serve(() => blob(400_000));
      const got = await members[0]?.exchange.fetch('state', 1, 400_000, signal);
      expect(Buffer.compare(got ?? new Uint8Array(1), blob(400_000))).toBe(0);
    });
  });

  it('is waited for until it is offered', async () => {
    await withGroup(openGroup(server.url, 2, { options: { askAfterMs: 20 } }), async ({ members }) => {
      let asked = 0;
      members[1]?.exchange.serve(() => (++asked > 2 ? blob(10) : undefined));
      const fetch = members[0]?.exchange.fetch('state', 1, 10, signal);
      expect(members[0]?.exchange.waitingFor()).toMatchObject({ members: ['worker-1'], what: 'state' });
      expect(await fetch).toEqual(blob(10));
    });
  });

  it('is refused where it has more bytes than expected', async () => {
    await withGroup(openGroup(server.url, 2), async ({ members }) => {
      members[1]?.exchange.serve(() => blob(11));
      await expect(members[0]?.exchange.fetch('state', 1, 10, signal)).rejects.toThrow(DamagedDataError);
    });
  });

  it('is refused where it is not what its digest says', async () => {
    const wrap = (nats: NatsConnection): NatsConnection =>
      withFate(nats, (header, data) => {
        if (header?.kind === FrameKind.bulk) data[5] = (data[5] ?? 0) ^ 1;
        return 1;
      });
    await withGroup(openGroup(server.url, 2, { wrap }), async ({ members }) => {
      members[1]?.exchange.serve(() => blob(100));
      await expect(members[0]?.exchange.fetch('state', 1, 100, signal)).rejects.toThrow(/digest/);
    });
  });
});
