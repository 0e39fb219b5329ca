import { connectBroker } from '@crossfold/shared/broker/connection';
import type { Address } from '@crossfold/shared/jobs/records';
import { keyedRandom } from '@crossfold/shared/rng';
import type { Exchange, ExchangeOptions, GroupView } from '@crossfold/worker/exchange/exchange';
import { openExchange } from '@crossfold/worker/exchange/open-exchange';
import type { SliceRange } from '@crossfold/worker/exchange/tree';
import { completeSubtrees, NodeSum, rankRange } from '@crossfold/worker/exchange/tree';
import type { NatsConnection } from 'nats';
import type { z } from 'zod';

export interface TestMember {
  readonly rank: number;
  readonly exchange: Exchange;
  readonly nats: NatsConnection;
}

export interface TestGroup {
  readonly members: readonly TestMember[];
  readonly slices: number;
  /** What each member of the group gets as the sum for a step of vectors of `length` elements. */
  allReduce(step: number, length: number, signal?: AbortSignal): Promise<Float32Array[]>;
  close(): Promise<void>;
}

type Listen = (rank: number) => Promise<{ options: Partial<ExchangeOptions>; address: z.infer<typeof Address> | null }>;

/** A group whose members have a connection each, in one process. `wrap` may damage a member's connection. */
export async function openGroup(
  url: string,
  size: number,
  settings: {
    readonly job?: string;
    readonly generation?: number;
    readonly slices?: number;
    readonly options?: Partial<ExchangeOptions>;
    readonly wrap?: (nats: NatsConnection, rank: number) => NatsConnection;
    readonly listen?: Listen;
    /** What each rank takes for the group's secret. */
    readonly secrets?: (rank: number) => string;
  } = {},
): Promise<TestGroup> {
  const slices = settings.slices ?? 4;
  const ranks = Array.from({ length: size }, (_, rank) => rank);
  const listening = await Promise.all(ranks.map((rank) => settings.listen?.(rank)));
  const view: Omit<GroupView, 'rank'> = {
    job: settings.job ?? 'e.train.0.0.0',
    generation: settings.generation ?? 1,
    members: ranks.map((rank) => ({ worker: `worker-${rank}`, address: listening[rank]?.address ?? null })),
    slices,
    secret: 'a secret of this generation',
  };
  const members = await Promise.all(
    ranks.map(async (rank) => {
      const nats = await connectBroker(url, `member-${rank}`);
      const exchange = await openExchange(
        { ...view, rank, secret: settings.secrets?.(rank) ?? view.secret },
        {
          nats: settings.wrap?.(nats, rank) ?? nats,
          mode: 'nats',
          ...settings.options,
          ...listening[rank]?.options,
        },
        new AbortController().signal,
      );
      return { rank, exchange, nats };
    }),
  );
  return {
    members,
    slices,
    allReduce: (step, length, signal = new AbortController().signal) =>
      Promise.all(
        members.map(({ rank, exchange }) =>
          exchange.allReduce(step, nodesOf(rankRange(rank, size, slices), slices, step, length), length, signal),
        ),
      ),
    async close() {
      await Promise.all(
        members.map(async ({ exchange, nats }) => {
          await exchange.close();
          await nats.close();
        }),
      );
    },
  };
}

/** The vector of one slice at one step: magnitudes so far apart that the order of additions shows in the bits. */
export function sliceVector(slice: number, step: number, length: number): Float32Array {
  const random = keyedRandom('exchange-test', slice, step);
  // Few distinct draws, so that long vectors are quickly made.
  const pool = Float32Array.from({ length: 251 }, () => random.normal() * 10 ** (random.below(16) - 8));
  return Float32Array.from({ length }, (_, i) => pool[(i * 31 + (i >> 8)) % pool.length] ?? 0);
}

export function nodesOf(range: SliceRange, slices: number, step: number, length: number) {
  return completeSubtrees(slices, range).map((node) => ({ ...node, vector: sumOf(node, step, length) }));
}

/** The bits that every group must come to. */
export const expectedSum = (slices: number, step: number, length: number): Float32Array =>
  sumOf({ from: 0, to: slices }, step, length);

function sumOf(node: SliceRange, step: number, length: number): Float32Array {
  const sum = new NodeSum();
  for (let slice = node.from; slice < node.to; slice++) sum.add(sliceVector(slice, step, length));
  return sum.total();
}

export const sameBits = (a: Float32Array, b: Float32Array): boolean =>
  Buffer.from(a.buffer, a.byteOffset, a.byteLength).equals(Buffer.from(b.buffer, b.byteOffset, b.byteLength));
