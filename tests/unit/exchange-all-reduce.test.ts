import type { SendBlock } from '@crossfold/worker/exchange/all-reduce';
import { Reduction } from '@crossfold/worker/exchange/all-reduce';
import { BufferPool } from '@crossfold/worker/exchange/buffers';
import type { Header } from '@crossfold/worker/exchange/frame';
import { decodeHeader, decodeWants, encodeHeader, encodeWants, FrameKind } from '@crossfold/worker/exchange/frame';
import { layoutOf } from '@crossfold/worker/exchange/layout';
import { combineTree, completeSubtrees, NodeSum, rankRange } from '@crossfold/worker/exchange/tree';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { orderSensitive } from '../support/floats.ts';

const bits = (vector: Float32Array): number[] => [...new Uint32Array(vector.slice().buffer)];

interface Flight {
  readonly to: number;
  readonly header: Header;
  readonly payload: Uint8Array;
}

/** A group whose frames lie in one heap, to be delivered in any order, lost or repeated. */
class Group {
  readonly flights: Flight[] = [];
  readonly members: Reduction[];

  constructor(size: number, slices: number, length: number, blockLength: number) {
    const layout = layoutOf(size, slices, length, blockLength);
    this.members = Array.from(
      { length: size },
      (_, rank) => new Reduction(layout, rank, this.sender(rank), new BufferPool(64)),
    );
  }

  sender(sender: number): SendBlock {
    return (to, block, payload) => {
      const header = { ...block, sender, generation: 0, sequence: 0, step: 0, payload: payload.length };
      const everyone = this.members.map((_, rank) => rank).filter((rank) => rank !== sender);
      for (const rank of to === 'all' ? everyone : [to])
        this.flights.push({ to: rank, header, payload: payload.slice() });
    };
  }

  deliver(flight: Flight) {
    return this.members[flight.to]?.accept(flight.header, flight.payload);
  }

  /** Everyone asks everyone for what it lacks, over the same heap. */
  askAgain(): void {
    this.members.forEach((member, rank) => {
      this.members.forEach((peer, owing) => {
        if (rank === owing) return;
        const wants = decodeWants(encodeWants(member.wantsFrom(owing, 3))) ?? [];
        for (const { block, bytes } of peer.owes(wants, rank)) this.sender(owing)(rank, block, bytes);
      });
    });
  }
}

/** What the slices of a node come to, in tree order. */
function sumOf(vectors: readonly Float32Array[], node: { from: number; to: number }): Float32Array {
  const sum = new NodeSum();
  for (const vector of vectors.slice(node.from, node.to)) sum.add(vector.slice());
  return sum.total();
}

const groups = fc
  .record({
    size: fc.integer({ min: 1, max: 6 }),
    extraSlices: fc.integer({ min: 0, max: 6 }),
    length: fc.integer({ min: 0, max: 40 }),
    blockLength: fc.integer({ min: 1, max: 16 }),
  })
  .chain((shape) =>
    fc.record({
      shape: fc.constant(shape),
      vectors: fc.array(
        fc
          .array(orderSensitive, {
            minLength: shape.length,
            maxLength: shape.length,
          })
          .map((v) => Float32Array.from(v)),
        { minLength: shape.size + shape.extraSlices, maxLength: shape.size + shape.extraSlices },
      ),
      chance: fc.infiniteStream(fc.nat()),
    }),
  );

describe('an all-reduce', () => {
  it('gives every member the bits of a group of one, whatever is reordered, lost or repeated', () => {
    fc.assert(
      fc.property(groups, ({ shape: { size, length, blockLength }, vectors, chance }) => {
        const draw = (n: number): number => (chance.next().value ?? 0) % n;
        const slices = vectors.length;
        const alone = combineTree(slices, (n) => (n.to - n.from === 1 ? vectors[n.from]?.slice() : undefined));
        const group = new Group(size, slices, length, blockLength);
        const hand = group.members.flatMap((member, rank) =>
          completeSubtrees(slices, rankRange(rank, size, slices)).map((node) => ({ member, node })),
        );
        let losses = 30;
        while (group.members.some((m) => !m.complete)) {
          const { flights } = group;
          if (hand.length > 0 && (flights.length === 0 || draw(3) === 0)) {
            const [next] = hand.splice(draw(hand.length), 1);
            next?.member.contribute({ ...next.node, vector: sumOf(vectors, next.node) });
          } else if (flights.length === 0) group.askAgain();
          else {
            const [flight] = flights.splice(draw(flights.length), 1);
            if (flight === undefined) continue;
            const fate = draw(5);
            if (fate === 0 && losses-- > 0) continue;
            expect(group.deliver(flight)).not.toBe('bad');
            if (fate === 1 && losses-- > 0) flights.push(flight);
          }
        }
        for (const flight of group.flights) expect(group.deliver(flight)).toBe('duplicate');
        for (const member of group.members) expect(bits(member.take())).toEqual(bits(alone));
      }),
      { numRuns: 400 },
    );
  });

  it('sends about S bytes a rank where ranges are single subtrees, and nothing in a group of one', () => {
    const length = 1000;
    for (const size of [1, 2, 4]) {
      const group = new Group(size, 4, length, 100);
      const sent = group.members.map(() => 0);
      group.members.forEach((member, rank) => {
        for (const node of completeSubtrees(4, rankRange(rank, size, 4)))
          member.contribute({ ...node, vector: new Float32Array(length).fill(1) });
      });
      const seen = new Set<string>();
      for (let flight = group.flights.pop(); flight !== undefined; flight = group.flights.pop()) {
        const { header } = flight;
        // What is said to all leaves the sender once.
        const key = header.kind === FrameKind.finished ? `${header.owner} ${header.chunk}` : `${seen.size}`;
        if (!seen.has(key)) sent[header.sender] = (sent[header.sender] ?? 0) + flight.payload.length;
        seen.add(key);
        group.deliver(flight);
      }
      expect(group.members.every((m) => m.complete)).toBe(true);
      expect(sent).toEqual(group.members.map(() => (size === 1 ? 0 : 4 * length)));
    }
  });

  it('uses the vector that was handed in: a group of one copies nothing', () => {
    const [alone] = new Group(1, 4, 10, 4).members;
    const vector = new Float32Array(10).fill(2);
    alone?.contribute({ from: 0, to: 4, vector });
    expect(alone?.take()).toBe(vector);
  });

  it('names the nodes, and else the owners, that it waits for', () => {
    const group = new Group(3, 4, 9, 2);
    const [first, second, third] = group.members;
    const vector = (): Float32Array => new Float32Array(9);
    first?.contribute({ from: 0, to: 1, vector: vector() });
    second?.contribute({ from: 1, to: 2, vector: vector() });
    for (const flight of group.flights.splice(0)) group.deliver(flight);
    expect(first?.awaitedNodes()).toEqual([{ rank: 2, from: 2, to: 4 }]);
    third?.contribute({ from: 2, to: 4, vector: vector() });
    for (const flight of group.flights.splice(0)) if (flight.header.kind === FrameKind.partial) group.deliver(flight);
    expect(first?.awaitedNodes()).toEqual([]);
    expect(first?.awaitedOwners()).toEqual([1, 2]);
  });

  it('refuses a node that is not its own, comes twice or has another length', () => {
    const [first] = new Group(2, 4, 6, 4).members;
    const vector = new Float32Array(6);
    expect(() => first?.contribute({ from: 2, to: 4, vector })).toThrow(RangeError);
    expect(() => first?.contribute({ from: 0, to: 2, vector: new Float32Array(5) })).toThrow(RangeError);
    first?.contribute({ from: 0, to: 2, vector });
    expect(() => first?.contribute({ from: 0, to: 2, vector })).toThrow(RangeError);
  });
});

describe('a frame', () => {
  const good = (): { header: Header; payload: Uint8Array; group: Group } => {
    const group = new Group(2, 4, 8, 2);
    group.members[1]?.contribute({ from: 2, to: 4, vector: new Float32Array(8) });
    const flight = group.flights[0];
    if (flight === undefined) throw new Error('nothing was sent');
    return { ...flight, group };
  };

  it('is refused where any field does not fit what the group expects', () => {
    const { header, payload, group } = good();
    const wrong: Partial<Header>[] = [
      { owner: 1 },
      { owner: 7 },
      { chunk: 9 },
      { chunks: 1 },
      { total: 9 },
      { from: 0 },
      { to: 3 },
      { from: 0, to: 2 },
      { sender: 0 },
      { kind: FrameKind.finished },
    ];
    for (const change of wrong)
      expect(group.deliver({ to: 0, header: { ...header, ...change }, payload }), JSON.stringify(change)).toBe('bad');
    expect(group.deliver({ to: 0, header, payload: payload.subarray(4) })).toBe('bad');
    expect(group.deliver({ to: 0, header, payload })).toBe('taken');
    expect(group.deliver({ to: 0, header, payload })).toBe('duplicate');
  });

  it('survives its encoding, at any alignment', () => {
    const { header } = good();
    const shifted = new Uint8Array(80);
    shifted.set(encodeHeader(header), 3);
    expect(decodeHeader(shifted.subarray(3))).toEqual(header);
  });

  it('is not one if it is cut short, of another format or of an unknown kind', () => {
    const bytes = encodeHeader(good().header);
    expect(decodeHeader(bytes.subarray(0, 47))).toBeUndefined();
    for (const offset of [0, 4]) {
      const other = bytes.slice();
      other[offset] = 0;
      expect(decodeHeader(other)).toBeUndefined();
    }
    fc.assert(fc.property(fc.uint8Array({ maxLength: 100 }), (noise) => decodeHeader(noise) === undefined));
    expect(decodeWants(new Uint8Array(7))).toBeUndefined();
    expect(decodeWants(new Uint8Array(8 * 4097))).toBeUndefined();
  });
});
