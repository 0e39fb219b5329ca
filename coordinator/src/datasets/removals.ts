import type { RemovalNote } from '@crossfold/shared/data/dataset-record';
import type { NamedDocuments } from '@crossfold/shared/data/named-documents';
import { ConfigError, DamagedDataError } from '@crossfold/shared/errors';
import { pause } from '@crossfold/shared/wait';
import type { DatasetLibrary } from './library.ts';

/** How often whoever removes says that it still does; one that has not for so long is taken for dead. */
const renewMs = 15_000;
const staleMs = 4 * renewMs;
const lookAgainMs = 250;
const never = new AbortController().signal;

type Removals = NamedDocuments<RemovalNote>;

/** A note that cannot be read says no more than that there was one. */
const read = async (removals: Removals, name: RemovalNote['name']): Promise<RemovalNote | undefined> => {
  try {
    return await removals.get(name);
  } catch (error) {
    if (!(error instanceof DamagedDataError)) throw error;
    await removals.remove(name);
    return undefined;
  }
};

/** The removal that is under way; one whose process has died is none. */
const underWay = async (removals: Removals, now: () => number): Promise<RemovalNote | undefined> => {
  const note = await read(removals, 'now');
  return note === undefined || now() - note.seenAt > staleMs ? undefined : note;
};

/** Waits until nothing is being removed; whoever removes either goes on saying so, or is taken for dead before long. */
async function untilOver(removals: Removals, now: () => number): Promise<void> {
  while ((await underWay(removals, now)) !== undefined) await pause(lookAgainMs, never);
}

/**
 * Takes blobs away while nobody else does, and leaves word of it before and after.
 *
 * @param id of this removal, another one for each
 * @param act told how to say that it goes on, for something that takes long
 * @throws ConfigError while something else is being removed
 */
export async function removing<T>(
  { removals }: Pick<DatasetLibrary, 'removals'>,
  name: string,
  id: string,
  act: (goesOn: () => Promise<void>) => Promise<T>,
  now: () => number = Date.now,
): Promise<T> {
  const note = (): RemovalNote => ({ schema: 1, name: 'now', id, of: name, seenAt: now() });
  if ((await underWay(removals, now)) === undefined) await removals.remove('now');
  if (!(await removals.create('now', note()))) {
    const other = await read(removals, 'now');
    throw new ConfigError(
      `data set ${other?.of ?? ''} is being removed at this moment; remove ${name} once that is over`,
    );
  }
  let seenAt = now();
  const goesOn = async (): Promise<void> => {
    if (now() - seenAt < renewMs) return;
    seenAt = now();
    await removals.put('now', note());
  };
  try {
    return await act(goesOn);
  } finally {
    await removals.put('last', { ...note(), name: 'last' });
    await removals.remove('now');
  }
}

/**
 * Stores blobs and then makes it known that they are needed, so that none is lost to a removal at the same time: that one
 * may have looked for who needs them before it was known, and what was there already has not been stored again. Whoever
 * removes leaves word before it looks; so what no word is found of afterwards has seen that they are needed.
 *
 * @param store stores what is missing of them; called again where something was removed meanwhile
 * @param announce writes the record that refers to them
 */
export async function keptFromRemoval<S, T>(
  { removals }: Pick<DatasetLibrary, 'removals'>,
  store: () => Promise<S>,
  announce: (stored: S) => Promise<T>,
  now: () => number = Date.now,
): Promise<T> {
  const before = (await read(removals, 'last'))?.id;
  await untilOver(removals, now);
  const announced = await announce(await store());
  const during = await underWay(removals, now);
  if (during === undefined && (await read(removals, 'last'))?.id === before) return announced;
  await untilOver(removals, now);
  await store();
  return announced;
}
