import type { JetStreamManager, KV, KvEntry, QueuedIterator } from 'nats';
import { ErrorCode, NatsError } from 'nats';
import type { Link } from './link.ts';
import { recordStream } from './subjects.ts';

/** How often a watch is compared with the bucket. */
const checkEveryMs = 1000;
const againAfterMs = 200;
/** How long the records that are there at the beginning may take to come. */
const initialMs = 10_000;

export interface WatchParts {
  readonly kv: KV;
  readonly manager: JetStreamManager;
  readonly link: Link;
  /** Name of the bucket. */
  readonly bucket: string;
}

/**
 * Follows the records of a bucket that match `filter` through everything that can befall a watch. The client's own
 * watch lags or ends when the broker restarts, when the server that served it is gone, or when its consumer is removed;
 * so it is begun again after every return of the connection, whenever it ends, and when the bucket turns out to hold
 * something newer than what the watch has brought. `seen` gets the newest revision of each record at least, never an
 * older one after a newer one; revisions in between may be left out.
 *
 * @returns once all that was there at the start has been seen
 * @throws UnreachableError where the watch cannot even be begun
 */
export async function watchBucket(
  parts: WatchParts,
  filter: string,
  signal: AbortSignal,
  seen: (entry: KvEntry) => void,
): Promise<void> {
  const watch = new BucketWatch(parts, filter, signal, seen);
  await watch.begin();
}

class BucketWatch {
  readonly #parts: WatchParts;
  readonly #filter: string;
  readonly #signal: AbortSignal;
  readonly #seen: (entry: KvEntry) => void;
  /** Newest revision seen, of each key and of all. */
  readonly #revisions = new Map<string, number>();
  #newest = 0;
  #iterator: QueuedIterator<KvEntry> | undefined;
  /** Counts beginnings: what an earlier one still brings is ignored. */
  #round = 0;
  #starting = false;
  #checking = false;

  constructor(parts: WatchParts, filter: string, signal: AbortSignal, seen: (entry: KvEntry) => void) {
    this.#parts = parts;
    this.#filter = filter;
    this.#signal = signal;
    this.#seen = seen;
  }

  async begin(): Promise<void> {
    const { link } = this.#parts;
    await this.#start();
    if (this.#signal.aborted) return;
    const stopListening = link.onChange((connected) => {
      if (connected) this.#again();
    });
    const timer = setInterval(() => this.#check(), checkEveryMs);
    this.#signal.addEventListener(
      'abort',
      () => {
        clearInterval(timer);
        stopListening();
        this.#iterator?.stop();
      },
      { once: true },
    );
  }

  async #start(): Promise<void> {
    const round = ++this.#round;
    this.#iterator?.stop();
    this.#starting = true;
    try {
      await this.#parts.link.request(`to follow ${this.#filter}`, () => this.#open(round), initialMs);
    } finally {
      if (round === this.#round) this.#starting = false;
    }
  }

  async #open(round: number): Promise<void> {
    let whole: () => void = () => undefined;
    const initial = new Promise<void>((resolve) => {
      whole = resolve;
    });
    // The client calls back at once where nothing matches.
    const iterator = await this.#parts.kv.watch({ key: this.#filter, initializedFn: () => whole() });
    if (this.#signal.aborted || round !== this.#round) return iterator.stop();
    this.#iterator?.stop();
    this.#iterator = iterator;
    const ended = this.#follow(iterator, round).then(() => {
      throw NatsError.errorForCode(ErrorCode.Disconnect);
    });
    ended.catch(() => undefined);
    await Promise.race([initial, ended]);
  }

  async #follow(iterator: QueuedIterator<KvEntry>, round: number): Promise<void> {
    try {
      for await (const entry of iterator) {
        if (this.#signal.aborted || round !== this.#round) break;
        if (entry.revision <= (this.#revisions.get(entry.key) ?? 0)) continue;
        // Nothing older comes after a deletion: what is not there any more takes no room here.
        if (entry.operation === 'PUT') this.#revisions.set(entry.key, entry.revision);
        else this.#revisions.delete(entry.key);
        this.#newest = Math.max(this.#newest, entry.revision);
        this.#seen(entry);
      }
    } catch {
      // A watch that fails is begun again like one that ends.
    }
    if (round === this.#round && this.#iterator === iterator) setTimeout(() => this.#again(round), againAfterMs);
  }

  #again(round = this.#round): void {
    if (this.#signal.aborted || round !== this.#round) return;
    this.#start().catch(() => undefined);
  }

  /** Looks whether the bucket holds something newer than the watch has brought, now and a little later. */
  #check(): void {
    const { link } = this.#parts;
    if (this.#checking || this.#starting || !link.connected) return;
    this.#checking = true;
    const round = this.#round;
    const before = this.#newest;
    this.#latest()
      .then((latest) => {
        if (latest > before && this.#newest < latest) this.#again(round);
      })
      .catch(() => undefined)
      .finally(() => {
        this.#checking = false;
      });
  }

  async #latest(): Promise<number> {
    const { manager, bucket } = this.#parts;
    try {
      const message = await manager.streams.getMessage(recordStream(bucket), {
        last_by_subj: `$KV.${bucket}.${this.#filter}`,
      });
      return message.seq;
    } catch (error) {
      if (error instanceof NatsError && error.code === ErrorCode.JetStream404NoMessages) return 0;
      throw error;
    }
  }
}
