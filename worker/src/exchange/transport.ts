import type { TransportName } from '@crossfold/shared/config/exchange';
import type { Header } from './frame.ts';

/** Frames that wait to leave, at most: however often a peer asks for something, it is not queued without end. */
export const mostQueued = 65_536;

/** Takes a frame that has come in; header and payload are not checked beyond the format. */
export type Receive = (header: Header, payload: Uint8Array, via: TransportName) => void;

/**
 * Carries frames between the members of one generation, in order for each pair as long as nothing is lost. Sending
 * never blocks and never fails: what cannot leave yet waits in a queue that refers to the payload without copying it,
 * what is lost is asked for again by whoever lacks it.
 */
export interface Transport {
  readonly name: TransportName;
  /** Whether frames to this rank can leave now, as far as is known. */
  reaches(rank: number): boolean;
  send(to: number | 'all', header: Header, payload: Uint8Array): void;
  /** Bytes handed to the network and taken from it. */
  readonly bytesOut: number;
  readonly bytesIn: number;
  close(): Promise<void>;
}
