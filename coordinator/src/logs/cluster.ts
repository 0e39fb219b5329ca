import type { Broker } from '@crossfold/shared/broker/broker';
import { keptLogs } from '@crossfold/shared/broker/log-stream';
import { logSubject } from '@crossfold/shared/broker/subjects';
import { isFinal } from '@crossfold/shared/jobs/records';
import { pause } from '@crossfold/shared/wait';
import type { LogFilter } from './select.ts';
import { mergeLogs } from './select.ts';

const lookEveryMs = 300;
const maxLineBytes = 2 ** 17;
/** Lines of both, kept and live, are told apart by themselves: time, process and text are in them. */
const remembered = 2000;

/** What the broker has kept of an experiment's logs, in order of time. */
export async function clusterLogs({ nats }: Broker, filter: LogFilter): Promise<string[]> {
  const lines = await keptLogs(nats.jetstream(), await nats.jetstreamManager(), filter.experiment);
  return mergeLogs([lines], filter, false);
}

/** The same, and then what is said from now on, until the experiment is over or the signal aborts. */
export async function* followCluster(
  broker: Broker,
  filter: LogFilter,
  signal: AbortSignal,
): AsyncIterable<readonly string[]> {
  let live: string[] = [];
  const subscription = broker.nats.subscribe(logSubject(filter.experiment), {
    callback: (error, message) => {
      if (error === null && message.data.length <= maxLineBytes) live.push(message.string());
    },
  });
  try {
    const kept = await keptLogs(broker.nats.jetstream(), await broker.nats.jetstreamManager(), filter.experiment);
    const seen = new Set(kept.slice(-remembered));
    yield mergeLogs([kept], filter, false);
    for (let over = false; !over && !signal.aborted; ) {
      over = isFinal((await broker.experiments.get(filter.experiment))?.value.state ?? 'failed');
      // What is said last may come a moment after the record.
      await pause(over ? 3 * lookEveryMs : lookEveryMs, signal);
      const fresh = live.filter((line) => !seen.has(line));
      live = [];
      const lines = mergeLogs([fresh], filter, false);
      if (lines.length > 0) yield lines;
    }
  } finally {
    if (!broker.nats.isClosed()) subscription.unsubscribe();
  }
}
