import { once } from 'node:events';
import type { WriteStream } from 'node:fs';
import { createWriteStream } from 'node:fs';
import { rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { finished } from 'node:stream/promises';
import { ConfigError } from '@crossfold/shared/errors';
import type { TimelineEvent } from '@crossfold/shared/timeline';
import { timelineTracks } from '@crossfold/shared/timeline';

/** Perfetto takes a few million; what is beyond is counted. */
const maxEvents = 2_000_000;

/**
 * A file in Chrome's trace format, as Perfetto (ui.perfetto.dev) and chrome://tracing open it: a process for each
 * worker, a thread for each track. Written as events come, beside its place, and moved there in the end.
 *
 * Format: https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU (Trace Event Format)
 */
export class TraceFile {
  readonly #file: string;
  readonly #aside: string;
  readonly #stream: WriteStream;
  readonly #workers = new Map<string, number>();
  #written = 0;
  #left = 0;
  #error: Error | undefined;

  private constructor(file: string, aside: string, stream: WriteStream) {
    this.#file = file;
    this.#aside = aside;
    this.#stream = stream;
    stream.on('error', (error) => {
      this.#error ??= error;
    });
    stream.write('{"displayTimeUnit":"ms","traceEvents":[');
  }

  /** @throws ConfigError where nothing can be written there. */
  static async create(file: string): Promise<TraceFile> {
    const aside = join(dirname(file), `.${basename(file)}.${process.pid}`);
    const stream = createWriteStream(aside);
    try {
      await once(stream, 'open');
    } catch (error) {
      throw new ConfigError({
        field: '--timeline',
        value: file,
        allowed: `a file that can be written (${error instanceof Error ? error.message : String(error)})`,
      });
    }
    return new TraceFile(file, aside, stream);
  }

  /** Events that were not written for want of room, here or at a worker. */
  get left(): number {
    return this.#left;
  }

  get written(): number {
    return this.#written;
  }

  /** @param at the event's times, in milliseconds since the recording began */
  add(worker: string, event: TimelineEvent, at: { readonly from: number; readonly to: number | undefined }): void {
    if (this.#written >= maxEvents) {
      this.#left++;
      return;
    }
    const pid = this.#pidOf(worker);
    const tid = timelineTracks.indexOf(event.track) + 1;
    const { name, kind: cat, args } = event;
    const what = { name, cat, pid, tid, ts: micros(at.from), ...(args === undefined ? {} : { args }) };
    this.#write(
      at.to === undefined ? { ...what, ph: 'i', s: 'p' } : { ...what, ph: 'X', dur: micros(at.to - at.from) },
    );
  }

  lost(events: number): void {
    this.#left += events;
  }

  /**
   * Ends the file and moves it to its place.
   * @param about shown with the trace
   */
  async close(about: Readonly<Record<string, string | number>>): Promise<void> {
    this.#stream.end(`\n],"otherData":${JSON.stringify({ ...about, left: this.#left })}}\n`);
    await finished(this.#stream).catch((error: Error) => {
      this.#error ??= error;
    });
    if (this.#error === undefined) await rename(this.#aside, this.#file);
    else {
      await rm(this.#aside, { force: true });
      throw new ConfigError(`the timeline could not be written to ${this.#file}: ${this.#error.message}`);
    }
  }

  #pidOf(worker: string): number {
    const known = this.#workers.get(worker);
    if (known !== undefined) return known;
    const pid = this.#workers.size + 1;
    this.#workers.set(worker, pid);
    const meta = (name: string, tid: number, args: object): void => this.#write({ name, ph: 'M', pid, tid, args });
    meta('process_name', 0, { name: worker });
    meta('process_sort_index', 0, { sort_index: pid });
    timelineTracks.forEach((track, index) => {
      meta('thread_name', index + 1, { name: track });
      meta('thread_sort_index', index + 1, { sort_index: index + 1 });
    });
    return pid;
  }

  #write(event: object): void {
    this.#stream.write(`${this.#written === 0 ? '\n' : ',\n'}${JSON.stringify(event)}`);
    this.#written++;
  }
}

/** Microseconds, to the tenth. */
const micros = (ms: number): number => Math.round(ms * 10_000) / 10;
