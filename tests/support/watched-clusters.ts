import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Broker } from '@crossfold/shared/broker/broker';
import { openBroker } from '@crossfold/shared/broker/broker';
import { SeenRecords } from './record-check.ts';

const lookEveryMs = 100;

/**
 * Follows the records of every embedded cluster whose folder lies in one of some folders, whoever started it, until it
 * ends: its records end with it, so what they came to is what was seen of them last.
 */
export class WatchedClusters {
  readonly #parents: readonly string[];
  readonly #over = new AbortController();
  readonly #timer: NodeJS.Timeout;
  /** By folder: a cluster that is started again on one goes on with its records. */
  readonly #seen = new Map<string, SeenRecords>();
  /** Addresses that were connected to. */
  readonly #known = new Set<string>();
  readonly #brokers: Promise<Broker | undefined>[] = [];
  #closing: Promise<string[]> | undefined;

  private constructor(parents: readonly string[]) {
    this.#parents = parents;
    this.#timer = setInterval(() => this.#look(), lookEveryMs);
  }

  static below(...parents: readonly string[]): WatchedClusters {
    return new WatchedClusters(parents);
  }

  /** What was wrong in any of them, and that none had a job, if that is so. To be called when all have ended. */
  close(): Promise<string[]> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<string[]> {
    clearInterval(this.#timer);
    const brokers = await Promise.all(this.#brokers);
    this.#over.abort();
    for (const broker of brokers) await broker?.close();
    const all = [...this.#seen.values()];
    if (!all.some(({ jobs }) => jobs > 0)) return ['no job was seen on any cluster'];
    return all.flatMap((seen) => seen.faults());
  }

  #look(): void {
    for (const parent of this.#parents)
      for (const name of namesIn(parent)) {
        const url = addressOf(join(parent, name));
        if (url === undefined || this.#known.has(url)) continue;
        this.#known.add(url);
        const seen = this.#seen.get(join(parent, name)) ?? new SeenRecords();
        this.#seen.set(join(parent, name), seen);
        this.#brokers.push(this.#follow(url, seen));
      }
  }

  async #follow(url: string, seen: SeenRecords): Promise<Broker | undefined> {
    try {
      const broker = await openBroker(url, 'checker', { patienceMs: 10_000 });
      await seen.follow(broker, this.#over.signal);
      return broker;
    } catch {
      // Over before it could be connected to.
      return undefined;
    }
  }
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

/** The address of the broker of the cluster on a folder, once it is known. */
function addressOf(folder: string): string | undefined {
  try {
    const config = readFileSync(join(folder, '.cluster', 'nats.conf'), 'utf8');
    const port = /^port: (\d+)$/m.exec(config)?.[1];
    const [, user, password] = /user: "(.+)", password: "(.+)"/.exec(config) ?? [];
    return port === undefined || user === undefined ? undefined : `nats://${user}:${password}@127.0.0.1:${port}`;
  } catch {
    return undefined;
  }
}
