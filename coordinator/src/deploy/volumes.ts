import { randomBytes } from 'node:crypto';
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { UserKey } from '@crossfold/shared/broker/keys';
import { createUserKey, userKeyOf } from '@crossfold/shared/broker/keys';
import type { BrokerUser } from './broker-users.ts';
import { brokerUsers, renderAuthorization } from './broker-users.ts';

/** What a deployment on one machine keeps its secrets in: a folder each, so that each part is given its own alone. */
export interface DeploymentFolders {
  /** The broker's configuration: public keys, no secret. */
  readonly broker: string;
  /** Holds a folder per user of the broker, and `grafana`. */
  readonly secrets: string;
}

export const seedFile = 'nats.nk';
export const passwordFile = 'password';

/**
 * Makes the secrets that are not there yet and writes the broker's configuration. Can be repeated: what is there stays,
 * and permissions become those of this version.
 *
 * @returns names of the secrets that were made
 */
export async function prepareVolumes({ broker, secrets }: DeploymentFolders): Promise<string[]> {
  const made: string[] = [];
  const keys = new Map<BrokerUser, UserKey>();
  for (const user of brokerUsers) {
    const file = join(secrets, user, seedFile);
    const there = userKeyOf((await readIfThere(file)) ?? '');
    const key = there ?? createUserKey();
    // The command line runs as whoever owns the checkout, the services as one and the same user.
    if (there === undefined) await writeWhole(file, key.seed, user === 'client' ? 0o444 : 0o400);
    if (there === undefined) made.push(user);
    keys.set(user, key);
  }
  const password = join(secrets, 'grafana', passwordFile);
  if ((await readIfThere(password)) === undefined) {
    await writeWhole(password, randomBytes(18).toString('base64url'), 0o444);
    made.push('grafana');
  }
  await writeWhole(join(broker, 'nats.conf'), brokerConfig(keys), 0o444);
  return made;
}

const brokerConfig = (keys: ReadonlyMap<BrokerUser, UserKey>): string => `# Written anew at every start.
server_name: crossfold
listen: "0.0.0.0:4222"
http: "0.0.0.0:8222"
jetstream: { store_dir: "/data" }
${renderAuthorization((user) => keys.get(user)?.publicKey ?? '')}`;

async function readIfThere(file: string): Promise<string | undefined> {
  try {
    return (await readFile(file, 'utf8')).trim();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

/** Written aside and renamed: whoever looks sees the old file or the new one. */
async function writeWhole(file: string, text: string, mode: number): Promise<void> {
  await mkdir(join(file, '..'), { recursive: true });
  const aside = `${file}.new`;
  await writeFile(aside, text, { mode: mode | 0o200 });
  await rename(aside, file);
}
