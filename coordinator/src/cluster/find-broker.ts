import { constants } from 'node:fs';
import { access, stat } from 'node:fs/promises';
import { delimiter, join, resolve } from 'node:path';
import { CrossfoldError, ExitCode } from '@crossfold/shared/errors';

/** Where setup/broker.mjs leaves a link to the nats-server that it fetched; the same from src/ and from dist/. */
const leftBySetup = resolve(import.meta.dirname, '../../../node_modules/.crossfold/nats-server');

/**
 * The nats-server to run an embedded cluster on: the first on the PATH, else the one that set-up fetched.
 * @returns its absolute path
 * @throws CrossfoldError (usage) with the remedy, when there is none
 */
export async function findBroker(env: NodeJS.ProcessEnv, fallback: string = leftBySetup): Promise<string> {
  const folders = (env.PATH ?? '').split(delimiter).filter((folder) => folder !== '');
  for (const file of [...folders.map((folder) => resolve(join(folder, 'nats-server'))), fallback]) {
    if (await isExecutable(file)) return file;
  }
  throw new CrossfoldError(
    'no nats-server found: run `npm run setup` in the checkout, install one (Debian, Ubuntu: apt-get install nats-server;' +
      ' macOS: brew install nats-server) and put it on the PATH, or name a running one with --nats URL',
    ExitCode.usage,
  );
}

async function isExecutable(file: string): Promise<boolean> {
  try {
    await access(file, constants.X_OK);
    return (await stat(file)).isFile();
  } catch {
    return false;
  }
}
