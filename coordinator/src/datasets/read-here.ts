import type { ReadImported } from './imported.ts';
import { readImported } from './imported.ts';
import { localLibrary } from './local-library.ts';

/** Reads the data sets that were imported on this machine. */
export const readHere =
  (env: NodeJS.ProcessEnv): ReadImported =>
  (spec) =>
    readImported(spec, [localLibrary(env)]);
