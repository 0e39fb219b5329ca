import { keptFromRemoval, removing } from '@crossfold/coordinator/datasets/removals';
import { removeDataset } from '@crossfold/coordinator/datasets/remove-dataset';
import { putJson } from '@crossfold/shared/broker/json-blobs';
import type { DatasetRecord } from '@crossfold/shared/data/dataset-record';
import type { BlobRef } from '@crossfold/shared/jobs/records';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { memoryLibrary } from '../support/memory-library.ts';

const record = (name: string, manifest: BlobRef): DatasetRecord => ({
  schema: 1,
  name,
  manifest,
  samples: 1,
  testSamples: 0,
  classes: 1,
  image: { height: 1, width: 1, channels: 1 },
  shards: 1,
  bytes: 1,
  skipped: [],
  source: 'here',
  importedAt: 0,
});

/** A library with one data set, `old`, of one piece (its manifest, as far as a removal can tell). */
async function withOld() {
  const library = memoryLibrary();
  const manifest = await putJson(library.blobs, 'a manifest that old and new share');
  const old = record('old', manifest);
  await library.records.create('old', old);
  const bytes = await library.blobs.get(manifest.digest, manifest.bytes);
  const store = async (): Promise<void> => void (await library.blobs.put(bytes));
  const announce = async (): Promise<boolean> => library.records.create('new', record('new', manifest));
  return { library, manifest, old, store, announce };
}

afterEach(() => {
  vi.useRealTimers();
});

describe('what is stored while something is removed', () => {
  it('is there in the end where the removal came and went before it was known to be needed', async () => {
    const { library, manifest, old, store, announce } = await withOld();
    await keptFromRemoval(library, store, async () => {
      // It found the blob there; only now is that taken away.
      await removeDataset(old, library);
      expect(library.blobs.blobs.has(manifest.digest)).toBe(false);
      return announce();
    });
    expect(library.blobs.blobs.has(manifest.digest)).toBe(true);
  });

  it('is there in the end where the removal had looked already and goes on', async () => {
    const { library, manifest, old, store, announce } = await withOld();
    const remove = library.blobs.remove;
    let kept: Promise<boolean> | undefined;
    library.blobs.remove = async (digest) => {
      const announced = new Promise<void>((resolve) => {
        const begun = keptFromRemoval(library, store, async () => {
          const done = await announce();
          resolve();
          return done;
        });
        kept = begun;
      });
      // It waits for this removal before it counts on what is there.
      await Promise.race([announced, new Promise((resolve) => setImmediate(resolve))]);
      return remove(digest);
    };
    await removeDataset(old, library);
    expect(await kept).toBe(true);
    expect(library.blobs.blobs.has(manifest.digest)).toBe(true);
  });

  it('is stored once where nothing is removed', async () => {
    const { library, announce } = await withOld();
    const store = vi.fn(async () => undefined);
    await keptFromRemoval(library, store, announce);
    expect(store).toHaveBeenCalledOnce();
  });

  it('is not kept waiting by a removal whose process has died', async () => {
    const { library, store, announce } = await withOld();
    await library.removals.create('now', { schema: 1, name: 'now', id: 'x', of: 'dead', seenAt: 1_000_000 });
    expect(await keptFromRemoval(library, store, announce, () => 1_060_001)).toBe(true);
    await removing(
      library,
      'old',
      'y',
      async () => undefined,
      () => 1_060_001,
    );
    expect(await library.removals.get('now')).toBeUndefined();
    expect((await library.removals.get('last'))?.id).toBe('y');
  });
});

it('one data set is removed at a time, and the other is named', async () => {
  const { library } = await withOld();
  await removing(library, 'one', 'a', async () => {
    await expect(removing(library, 'two', 'b', async () => undefined)).rejects.toThrow('data set one is being removed');
  });
  expect(await library.removals.get('now')).toBeUndefined();
});
