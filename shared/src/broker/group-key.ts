import { createHmac, randomBytes } from 'node:crypto';
import type { JetStreamClient, JetStreamManager } from 'nats';
import { DiscardPolicy, ErrorCode, NatsError, StorageType } from 'nats';
import type { JobRecord } from '../jobs/records.ts';
import type { Link } from './link.ts';
import type { Replicas } from './streams.ts';
import { ensure, settled } from './streams.ts';
import { GroupKeyStream, groupKeySubject } from './subjects.ts';
import { isApiError, storeFailed } from './trouble.ts';

const wellFormed = /^[\w-]{43}$/;
/** Of a broker that answers already; where it takes longer the key is made later. */
const settleMs = 5000;

/** What the members of a job's open generation prove to each other that they know. */
export const groupSecret = (
  key: string,
  { id, generation, secret }: Pick<JobRecord, 'id' | 'generation' | 'secret'>,
): string => createHmac('sha256', key).update(`${id}\0${generation}\0${secret}`).digest('base64url');

/**
 * The key of a cluster, which makes secrets of what stands in jobs' records: one message in a stream of its own, that
 * coordinators make and workers read, and no client. The stream takes one message and none after it, so that nobody can
 * have JetStream put something known in its place.
 */
export class GroupKey {
  readonly #jetstream: JetStreamClient;
  readonly #manager: JetStreamManager;
  readonly #link: Link;
  #known: string | undefined;

  constructor(jetstream: JetStreamClient, manager: JetStreamManager, link: Link) {
    this.#jetstream = jetstream;
    this.#manager = manager;
    this.#link = link;
  }

  /** The key; undefined where no coordinator has made it yet, or this role may not read it. */
  async read(): Promise<string | undefined> {
    this.#known ??= (await this.#link.request("to read the groups' key", () => this.#stored()))?.key;
    return this.#known;
  }

  /**
   * Makes the key where there is none, see `ensureStreams` for `replicas` and `grow`.
   *
   * @returns whether more copies of it are kept than before
   * @throws UnreachableError where that is not to be had, or not permitted
   */
  async make(replicas: Replicas, grow: boolean): Promise<boolean> {
    const config = {
      name: GroupKeyStream,
      subjects: [groupKeySubject],
      storage: StorageType.File,
      max_msgs: 1,
      discard: DiscardPolicy.New,
    };
    return settled(`stream ${GroupKeyStream}`, settleMs, async () => {
      const add = (copies: number): Promise<unknown> => this.#manager.streams.add({ ...config, num_replicas: copies });
      const grown = await ensure(this.#manager, GroupKeyStream, add, replicas, grow);
      const found = await this.#stored();
      if (found?.key !== undefined) return grown;
      // What is there is no key.
      if (found !== undefined) await this.#manager.streams.purge(GroupKeyStream, { seq: found.revision + 1 });
      await this.#jetstream.publish(groupKeySubject, randomBytes(32).toString('base64url')).catch((error: unknown) => {
        // Another coordinator was faster.
        if (!isApiError(error, storeFailed)) throw error;
      });
      return grown;
    });
  }

  async #stored(): Promise<{ readonly key: string | undefined; readonly revision: number } | undefined> {
    try {
      const message = await this.#manager.streams.getMessage(GroupKeyStream, { last_by_subj: groupKeySubject });
      const key = message.string();
      return { key: wellFormed.test(key) ? key : undefined, revision: message.seq };
    } catch (error) {
      if (error instanceof NatsError && absent.has(error.code)) return undefined;
      throw error;
    }
  }
}

/** No message, no stream, or none for this role. */
const absent: ReadonlySet<string> = new Set([ErrorCode.JetStream404NoMessages, ErrorCode.PermissionsViolation]);
