import { homedir } from 'node:os';
import { join } from 'node:path';

/** Where this user's pieces of data sets are kept, for all runs and workers together. */
export function cacheFolder(env: NodeJS.ProcessEnv): string {
  const home = env.XDG_CACHE_HOME || join(homedir(), '.cache');
  return env.CROSSFOLD_CACHE || join(home, 'crossfold');
}
