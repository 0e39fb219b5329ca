import { ask, remoteUrl } from '../client/ask.ts';
import type { ReadImported } from '../datasets/imported.ts';
import { readImported } from '../datasets/imported.ts';
import type { DatasetLibrary } from '../datasets/library.ts';
import { localLibrary } from '../datasets/local-library.ts';
import type { CommandContext } from './context.ts';

type Connects = Pick<CommandContext, 'env' | 'connect'>;

/** Does something with the data sets of the cluster that is named, or of this machine where none is. */
export function withLibrary<T>(
  context: Connects,
  nats: string | undefined,
  act: (library: DatasetLibrary) => Promise<T>,
): Promise<T> {
  if (remoteUrl(nats, context) === undefined) return act(localLibrary(context.env));
  return ask(context, nats, (client) => act(client.datasets));
}

/** Does something with the data sets of the cluster that is named, if any, and of this machine. */
export function withLibraries<T>(
  context: Connects,
  nats: string | undefined,
  act: (libraries: readonly DatasetLibrary[]) => Promise<T>,
): Promise<T> {
  const local = localLibrary(context.env);
  if (remoteUrl(nats, context) === undefined) return act([local]);
  return ask(context, nats, ({ datasets }) => act([datasets, local]));
}

/** Reads a data set that was imported to the cluster that is named, if any, or on this machine. */
export const importedReader =
  (context: Connects, nats: string | undefined): ReadImported =>
  (spec) =>
    withLibraries(context, nats, (libraries) => readImported(spec, libraries));
