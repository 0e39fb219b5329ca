import { timelineSubject } from '@crossfold/shared/broker/subjects';
import { decodeJson } from '@crossfold/shared/decode';
import { TimelineBatch, TimelineClock, type TimelineWanted, wantedEveryMs } from '@crossfold/shared/timeline';
import type { NatsConnection } from 'nats';
import type { z } from 'zod';
import { Clocks } from './clocks.ts';
import type { TraceFile } from './trace-file.ts';

const maxMessageBytes = 2 ** 20;
/** What workers say last comes within this. */
const lastWordsMs = 700;
/** Batches of a worker whose clock is not known yet. */
const maxHeld = 64;
/** Workers that have a place in a timeline. */
const maxWorkers = 1024;

export interface TimelineRecording {
  /** Takes in what was said last, and ends the file; says what is in it. */
  stop(): Promise<{ readonly events: number; readonly left: number; readonly uncertaintyMs: number }>;
}

/** Records what workers do for an experiment, on this process's clock, until it is stopped. */
export function recordTimeline(
  nats: NatsConnection,
  experiment: string,
  file: TraceFile,
  now: () => number,
): TimelineRecording {
  const clocks = new Clocks();
  const began = now();
  const held = new Map<string, TimelineBatch[]>();
  const workers = new Set<string>();
  const named = new Set<string>();
  let asked = 0;

  const ask = (): void => {
    if (nats.isClosed()) return;
    const wanted: TimelineWanted = { asked };
    clocks.asked(asked++, now());
    nats.publish(timelineSubject(experiment, 'wanted'), JSON.stringify(wanted));
  };
  const isKnown = (worker: string): boolean => {
    if (named.size < maxWorkers) named.add(worker);
    return named.has(worker);
  };
  const take = ({ worker, events, dropped }: TimelineBatch): void => {
    workers.add(worker);
    file.lost(dropped);
    for (const event of events) {
      const from = clocks.here(worker, event.from) ?? event.from;
      const to = event.to === undefined ? undefined : (clocks.here(worker, event.to) ?? event.to);
      file.add(worker, event, { from: from - began, to: to === undefined ? undefined : to - began });
    }
  };
  const release = (worker: string): void => {
    for (const batch of held.get(worker) ?? []) take(batch);
    held.delete(worker);
  };
  const subscriptions = [
    nats.subscribe(timelineSubject(experiment, 'clock'), {
      callback: (error, message) => {
        const at = now();
        const clock = error === null ? read(TimelineClock, message.data) : undefined;
        if (clock === undefined || !isKnown(clock.worker)) return;
        clocks.answered(clock.worker, clock.asked, clock.at, at);
        if (clocks.settled(clock.worker)) release(clock.worker);
      },
    }),
    nats.subscribe(timelineSubject(experiment, 'events'), {
      callback: (error, message) => {
        const batch = error === null ? read(TimelineBatch, message.data) : undefined;
        if (batch === undefined || !isKnown(batch.worker)) return;
        const waiting = held.get(batch.worker) ?? [];
        if (clocks.settled(batch.worker)) take(batch);
        else held.set(batch.worker, [...waiting, batch]);
        if (waiting.length + 1 >= maxHeld) release(batch.worker);
      },
    }),
  ];
  const timer = setInterval(ask, wantedEveryMs);
  // Workers that are there from the beginning are known within half a second.
  const first = setInterval(ask, wantedEveryMs / 10);
  const settle = setTimeout(() => clearInterval(first), wantedEveryMs);
  ask();
  return {
    async stop() {
      await new Promise((resolve) => setTimeout(resolve, lastWordsMs));
      clearInterval(timer);
      clearInterval(first);
      clearTimeout(settle);
      for (const worker of [...held.keys()]) release(worker);
      if (!nats.isClosed()) for (const subscription of subscriptions) subscription.unsubscribe();
      const uncertaintyMs = Math.max(0, ...[...workers].map((worker) => clocks.uncertainty(worker) ?? 0));
      await file.close({ experiment, began: new Date(began).toISOString(), clocksWithinMs: uncertaintyMs });
      return { events: file.written, left: file.left, uncertaintyMs };
    },
  };
}

function read<T>(schema: z.ZodType<T>, bytes: Uint8Array): T | undefined {
  const decoded = decodeJson(schema, bytes, maxMessageBytes);
  return 'value' in decoded ? decoded.value : undefined;
}
