import type { JetStreamClient, JetStreamManager, NatsConnection } from 'nats';
import { consumerOpts } from 'nats';
import { LogStream, logSubject } from './subjects.ts';

/** What the broker keeps of logs: the newest, for so long and up to so much. */
export const logsKept = { days: 7, bytes: 64 * 2 ** 20, lineBytes: 32 * 1024 } as const;

/** Lines a second that a process sends; it can say more than anybody reads when something goes wrong in a circle. */
const maxPerSecond = 200;
/** Lines from before the broker is there. */
const maxHeld = 500;

/**
 * Sends the lines of a log that are about an experiment to the broker, for `crossfold logs`. Sending waits for nobody, and
 * what cannot be sent is not missed by the process: its own log has every line.
 */
export class LogShipper {
  readonly #now: () => number;
  #nats: NatsConnection | undefined;
  #held: string[] = [];
  #second = { at: Number.NEGATIVE_INFINITY, lines: 0 };

  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  take(line: string): void {
    if (this.#nats !== undefined) this.#send(this.#nats, line);
    else if (this.#held.length < maxHeld) this.#held.push(line);
  }

  /** From now on lines are sent, those from before included. */
  attach(nats: NatsConnection): void {
    this.#nats = nats;
    for (const line of this.#held.splice(0)) this.#send(nats, line);
  }

  #send(nats: NatsConnection, line: string): void {
    const experiment = experimentOf(line);
    if (experiment === undefined || nats.isClosed() || line.length > logsKept.lineBytes) return;
    const now = this.#now();
    if (now - this.#second.at >= 1000) this.#second = { at: now, lines: 0 };
    if (this.#second.lines++ < maxPerSecond) nats.publish(logSubject(experiment), line.trimEnd());
  }
}

/** The experiment that a line is about; undefined where it is about none. */
function experimentOf(line: string): string | undefined {
  // Most lines name none: not worth parsing.
  if (!line.includes('"experiment":') && !line.includes('"job":')) return undefined;
  try {
    const { experiment, job } = JSON.parse(line) as { experiment?: unknown; job?: unknown };
    const name =
      typeof experiment === 'string' ? experiment : typeof job === 'string' ? job.split('.', 1)[0] : undefined;
    return name !== undefined && /^[A-Za-z0-9_-]+$/.test(name) ? name : undefined;
  } catch {
    return undefined;
  }
}

/** Lines of an experiment that the broker has kept, in the order that they came. */
export async function keptLogs(
  jetstream: JetStreamClient,
  manager: JetStreamManager,
  experiment: string,
): Promise<string[]> {
  const subject = logSubject(experiment);
  const { state } = await manager.streams.info(LogStream, { subjects_filter: subject });
  let left = state.subjects?.[subject] ?? 0;
  const lines: string[] = [];
  if (left === 0) return lines;
  const options = consumerOpts();
  options.orderedConsumer();
  options.bindStream(LogStream);
  const subscription = await jetstream.subscribe(subject, options);
  for await (const message of subscription) {
    lines.push(message.string());
    left = Math.min(left - 1, message.info.pending);
    if (left <= 0) break;
  }
  return lines;
}
