import { randomBytes } from 'node:crypto';
import { z } from 'zod';
import type { NamedDocuments } from '../data/named-documents.ts';
import { BrokerFullError } from '../errors.ts';
import type { BlobEntries } from './blob-entries.ts';
import type { Link } from './link.ts';

/** How often whoever uploads says that it still does, and how long that is good for. */
const againMs = 60_000;
export const uploadGoodForMs = 5 * againMs;
const listMs = 60_000;

export const UploadNote = z.strictObject({ name: z.string().max(100) }).readonly();
export type UploadNote = z.infer<typeof UploadNote>;

/**
 * Uploads that are under way. A data set can take hours to upload, and nothing refers to it before it is whole: whoever
 * removes what nothing refers to waits until nobody uploads.
 */
export interface Uploads {
  /** Does something that uploads, and then refers to what it has. */
  during<T>(work: () => Promise<T>): Promise<T>;
  /** When each upload was last heard of, epoch milliseconds on the broker's clock. */
  list(): Promise<readonly { readonly name: string; readonly heardAt: number }[]>;
  remove(name: string): Promise<void>;
}

/** @param documents kept in the store that `entries` are of, under `prefix` */
export function uploadsIn(
  documents: NamedDocuments<UploadNote>,
  entries: BlobEntries,
  link: Link,
  prefix: string,
): Uploads {
  return {
    async during(work) {
      const name = randomBytes(12).toString('hex');
      const say = (): Promise<void> => documents.put(name, { name });
      // A store that is full takes not even that; whoever finds in it what was uploaded before can go on all the same.
      await say().catch((error: unknown) => {
        if (!(error instanceof BrokerFullError)) throw error;
      });
      // A word that is lost is made up for by the next.
      const timer = setInterval(() => void say().catch(() => undefined), againMs);
      timer.unref();
      try {
        return await work();
      } finally {
        clearInterval(timer);
        await documents.remove(name).catch(() => undefined);
      }
    },
    async list() {
      const found = await link.request('to list uploads', (signal) => entries.list(signal), listMs);
      return found
        .filter(({ name, deleted }) => !deleted && name.startsWith(`${prefix}.`))
        .map(({ name, storedAt }) => ({ name: name.slice(prefix.length + 1), heardAt: storedAt }));
    },
    remove: (name) => documents.remove(name),
  };
}
