import type { ExchangeMode, TransportName, Travel } from '@crossfold/shared/config/exchange';
import type { Member } from '@crossfold/shared/jobs/records';
import type { Wait } from '@crossfold/shared/waits';
import type { NatsConnection } from 'nats';
import type { NodeVector } from './all-reduce.ts';
import type { DirectListener } from './listener.ts';

/** One generation of a job's group, as one of its members sees it. */
export interface GroupView {
  readonly job: string;
  readonly generation: number;
  /** This member's place in `members`. */
  readonly rank: number;
  readonly members: readonly Member[];
  /** Number of micro-batches (M) of the job. */
  readonly slices: number;
  /** Proves membership to peers on the direct transport. */
  readonly secret: string;
}

/** A sum over a group, under way: nodes may be handed in as they are computed. */
export interface Reducing {
  /** Hands in one of this rank's nodes; the vector is the exchange's from then on. */
  contribute(node: NodeVector): void;
  /** Resolves with the sum, which is the caller's, once every node of every rank is in it. */
  finish(): Promise<Float32Array>;
}

/**
 * What the members of one generation exchange. Every member calls for the same sums in the same order; nobody is ever
 * more than one ahead of another.
 */
export interface Exchange {
  /** How gradients travel now: not at all in a group of one; `direct` where every peer is reached directly. */
  readonly transport: Travel;
  /**
   * How the blocks of the last sum went that is complete here: `direct` where none of them went over the broker. A peer
   * that is done with it may be gone by now, see `transport`.
   */
  readonly travelled: Travel;
  /**
   * Sums vectors of `length` elements over the tree of the group's slices. `step` says what the sum is for and must be
   * the same for all members. The vectors of `nodes` (this rank's complete subtrees) are used up; the sum is the
   * caller's, and lies in one of them.
   *
   * @throws the signal's reason as soon as it aborts.
   */
  allReduce(step: number, nodes: readonly NodeVector[], length: number, signal: AbortSignal): Promise<Float32Array>;
  /** The same, for nodes that come one by one. */
  begin(step: number, length: number, signal: AbortSignal): Reducing;
  /** Offers blobs to the other members by name; called again for each fetch, must be cheap where the answer is undefined. */
  serve(offer: (what: string) => Uint8Array | undefined): void;
  /**
   * Fetches what another member offers, asking until it does.
   *
   * @throws the signal's reason as soon as it aborts; DamagedDataError where it has more than `maxBytes` or does not
   * match its digest.
   */
  fetch(what: string, fromRank: number, maxBytes: number, signal: AbortSignal): Promise<Uint8Array>;
  /** Undefined while this member waits for nobody. */
  waitingFor(): Wait | undefined;
  counters(): ExchangeCounters;
  /** Ends the generation here; what is under way is rejected. */
  close(): Promise<void>;
}

export interface ExchangeCounters {
  readonly bytesOut: number;
  readonly bytesIn: number;
  readonly byTransport: Readonly<Record<TransportName, { readonly in: number; readonly out: number }>>;
  /** Frames dropped because they fit nothing that this member expects. */
  readonly badFrames: number;
  /** Blocks sent again because a peer lacked them. */
  readonly resent: number;
}

export interface ExchangeOptions {
  readonly nats: NatsConnection;
  readonly mode: ExchangeMode;
  /** Where this process takes connections of peers; without one it only dials. */
  readonly listener?: DirectListener;
  /** Called when the direct connection to a worker has come up, or has gone, with the reason. */
  readonly onLink?: (worker: string, gone: string | undefined) => void;
  /** Called where a generation begins over the broker for want of a direct connection to a worker, with the reason. */
  readonly onUnreached?: (worker: string, why: string) => void;
  /** Called with every frame that is dropped because it fits nothing that is expected. */
  readonly onBadFrame?: (why: string) => void;
  /** Monotonic clock, milliseconds. */
  readonly now?: () => number;
  /** A peer that was silent for this long is asked for what is missing; doubled with each time, up to 16 times that. */
  readonly askAfterMs?: number;
  /** Called around the sending of each block of a sum: for tests of members that die at such a moment. */
  readonly onBlock?: (what: 'partial' | 'finished', step: number, moment: 'before' | 'after') => void;
  /** Payload of a frame, at most. The same for all members. */
  readonly blockBytes?: number;
}
