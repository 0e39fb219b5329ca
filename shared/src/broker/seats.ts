import { randomUUID } from 'node:crypto';
import type { Consumer, JetStreamClient, JetStreamManager } from 'nats';
import { AckPolicy, JSONCodec, NatsError } from 'nats';
import type { Border } from '../border.ts';
import { decodeJson } from '../decode.ts';
import { Seat } from '../jobs/records.ts';
import type { Link } from './link.ts';
import { requestMs } from './link.ts';
import { allSeats, SeatStream, seatConsumer, seatIdentity, seatSubject } from './subjects.ts';
import { troubleOf } from './trouble.ts';

/**
 * The work queue of seats. Each is given out at least once, never exactly once: one that is taken and not acknowledged
 * comes again after `redeliverMs`, and so does one whose acknowledgement was lost, on its way or with a broker that was
 * killed before it had written it down. So a seat is a hint that a job wants a worker, and the job's record says whether
 * it does: whoever takes one that is not wanted any more drops it, and does no harm.
 */
export interface SeatQueue {
  offer(identity: string, job: string): Promise<void>;
  /** Seats not acknowledged yet, taken or not, by the identity that they are for. */
  waiting(): Promise<ReadonlyMap<string, number>>;
  /** Throws away every seat that nobody has taken: a new leader gives out its own. */
  clear(): Promise<void>;
  /** Where workers of an identity pull their seats, one at a time. */
  line(identity: string): SeatLine;
}

export interface SeatLine {
  /** The next seat, or undefined where none came within the time. */
  next(waitMs: number): Promise<TakenSeat | undefined>;
}

export interface TakenSeat {
  readonly job: string;
  /**
   * Takes the seat off the queue: to be called once membership, or that it is not wanted, is on record. Nothing is waited
   * for, and nothing depends on it: a seat that comes again nevertheless is one that is not wanted any more.
   */
  acknowledge(): void;
  /** Keeps it from being given out again for another `redeliverMs`. */
  stillWanted(): void;
  /** Gives it back to the queue, for another worker. */
  refuse(): void;
}

/** A worker that holds a seat says more often than this that it still wants it. */
export const redeliverMs = 3000;
const refusedMs = 500;
const maxSeatBytes = 1024;
/** JetStream's errors for a consumer, or a stream, that is not there any more. */
const goneCodes: ReadonlySet<number> = new Set([10014, 10059]);

export function seatQueue(
  jetstream: JetStreamClient,
  manager: JetStreamManager,
  link: Link,
  border: Border,
): SeatQueue {
  const codec = JSONCodec<Seat>();
  return {
    async offer(identity, job) {
      // By its id the broker knows an offer that is asked a second time because the first answer was lost.
      const msgID = randomUUID();
      await link.request(`to offer a seat of ${job}`, () =>
        jetstream.publish(seatSubject(identity), codec.encode({ job }), { msgID, timeout: requestMs }),
      );
    },
    async waiting() {
      const info = await link.request('to count the seats', () =>
        manager.streams.info(SeatStream, { subjects_filter: allSeats }),
      );
      const counts = new Map<string, number>();
      for (const [subject, count] of Object.entries(info.state.subjects ?? {})) {
        const identity = seatIdentity(subject);
        if (identity !== undefined) counts.set(identity, count);
      }
      return counts;
    },
    async clear() {
      await link.request('to clear the seats', () => manager.streams.purge(SeatStream));
    },
    line: (identity) => seatLine(jetstream, manager, link, border, identity),
  };
}

function seatLine(
  jetstream: JetStreamClient,
  manager: JetStreamManager,
  link: Link,
  border: Border,
  identity: string,
): SeatLine {
  let consumer: Consumer | undefined;
  const join = async (): Promise<Consumer> => {
    await manager.consumers.add(SeatStream, {
      durable_name: seatConsumer(identity),
      filter_subject: seatSubject(identity),
      ack_policy: AckPolicy.Explicit,
      ack_wait: redeliverMs * 1e6,
      max_deliver: -1,
    });
    return jetstream.consumers.get(SeatStream, seatConsumer(identity));
  };
  return {
    async next(waitMs) {
      const queue = consumer ?? (await link.request('to line up for seats', join, 2 * requestMs));
      consumer = queue;
      let message: Awaited<ReturnType<Consumer['next']>>;
      try {
        message = await link.once(() => queue.next({ expires: waitMs }), waitMs + requestMs);
      } catch (error) {
        // Whether the broker is away or has forgotten the line: next time it is joined anew.
        consumer = undefined;
        if (troubleOf(error) !== undefined || isGone(error)) return undefined;
        throw error;
      }
      if (message === null) return undefined;
      const taken = message;
      const seat = decodeJson(Seat, taken.data, maxSeatBytes);
      if ('why' in seat) {
        border.dropped('seat', taken.subject, seat.why);
        taken.term('not a seat');
        return undefined;
      }
      return {
        job: seat.value.job,
        acknowledge: () => taken.ack(),
        stillWanted: () => taken.working(),
        refuse: () => taken.nak(refusedMs),
      };
    },
  };
}

const isGone = (error: unknown): boolean => error instanceof NatsError && goneCodes.has(error.api_error?.err_code ?? 0);
