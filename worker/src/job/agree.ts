import type { Border } from '@crossfold/shared/border';
import { groupSubject } from '@crossfold/shared/broker/subjects';
import type { Decoded } from '@crossfold/shared/decode';
import { decodeJson } from '@crossfold/shared/decode';
import type { ReadWait } from '@crossfold/shared/waits';
import type { NatsConnection } from 'nats';
import { z } from 'zod';

/** What each member says of itself when a generation opens. */
const Hello = z.strictObject({
  rank: z.int().min(0),
  /** Position of the state that it holds; -1 where it holds none. */
  position: z.int().min(-1),
  /** How many members it has heard, itself included. */
  heard: z.int().min(1),
});
type Hello = z.infer<typeof Hello>;

/** Where a generation begins, and who hands the state to those who lack it. */
export interface Agreement {
  /** The newest position that a member holds; -1 where none holds any state. */
  readonly position: number;
  /** Lowest rank that holds it. */
  readonly provider: number;
  /** Whether some member lacks it. */
  readonly someLack: boolean;
}

const repeatMs = 150;
const maxHelloBytes = 256;

/** What a member of a group of `size` says of itself. */
export function decodeHello(bytes: Uint8Array, size: number): Decoded<Hello> {
  const decoded = decodeJson(Hello, bytes, maxHelloBytes);
  if ('why' in decoded || decoded.value.rank < size) return decoded;
  return { why: `there is no rank ${decoded.value.rank} in a group of ${size}` };
}

/** Pure: what follows from every member's position. Members differ by at most one step, so the newest is rolled forward to. */
export function agree(positions: readonly number[]): Agreement {
  const position = Math.max(...positions);
  return { position, provider: positions.indexOf(position), someLack: positions.some((p) => p !== position) };
}

/** The generation that has opened, and this member's place in it. */
export interface Opened {
  readonly job: string;
  readonly generation: number;
  readonly rank: number;
  /** Names of the members, in order of rank. */
  readonly members: readonly string[];
}

/**
 * Every member of a generation says where it stands until all have heard all. A member that already knows answers those
 * who do not, for as long as `signal` is not aborted: so the last to hear is never left alone. Bounded by the
 * generation's signal: a member that does not speak is found out by its missing sign of life, and removed.
 */
export async function agreeOnPosition(
  { nats, border }: { readonly nats: NatsConnection; readonly border: Border },
  group: Opened,
  position: number,
  signal: AbortSignal,
  watch: (read: ReadWait) => () => void,
): Promise<Agreement> {
  const size = group.members.length;
  if (size === 1) return agree([position]);
  const positions = new Map<number, number>([[group.rank, position]]);
  const subject = groupSubject(group.job, group.generation, 'hello');
  const say = (): void => {
    const hello: Hello = { rank: group.rank, position, heard: positions.size };
    if (!nats.isClosed()) nats.publish(subject, JSON.stringify(hello));
  };
  return new Promise<Agreement>((resolve, reject) => {
    const startedAt = performance.now();
    const unwatch = watch(() => ({
      members: group.members.filter((_, rank) => !positions.has(rank)),
      what: `word of where they stand at the beginning of generation ${group.generation}`,
      sinceMs: performance.now() - startedAt,
    }));
    const subscription = nats.subscribe(subject, {
      callback: (error, message) => {
        if (error !== null) return;
        const hello = decodeHello(message.data, size);
        if ('why' in hello) {
          border.dropped('hello', message.subject, hello.why);
          return;
        }
        const { rank, position: theirs, heard } = hello.value;
        // This member's own comes back to it.
        if (rank === group.rank) return;
        const complete = positions.size === size;
        positions.set(rank, theirs);
        if (complete) {
          if (heard < size) say();
        } else if (positions.size === size) {
          clearInterval(timer);
          unwatch();
          say();
          resolve(agree([...positions].sort(([a], [b]) => a - b).map(([, p]) => p)));
        }
      },
    });
    const timer = setInterval(say, repeatMs);
    const end = (): void => {
      clearInterval(timer);
      unwatch();
      if (!nats.isClosed()) subscription.unsubscribe();
      reject(signal.reason);
    };
    if (signal.aborted) end();
    else signal.addEventListener('abort', end, { once: true });
    say();
  });
}
