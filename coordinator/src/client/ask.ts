import { withAccess } from '@crossfold/shared/broker/address';
import { ConfigError } from '@crossfold/shared/errors';
import type { CommandContext } from '../cli/context.ts';
import type { ExperimentClient } from './types.ts';

/** The broker that a command is for, where it needs one. */
export function brokerUrl(given: string | undefined, context: Pick<CommandContext, 'env'>): string {
  const url = remoteUrl(given, context);
  if (url === undefined)
    throw new ConfigError(
      'no broker named: give --nats URL or set CROSSFOLD_NATS_URL (`crossfold up` starts a cluster here and prints its address)',
    );
  return url;
}

/** The broker that was named, if any, with the files that the environment names for it. */
export function remoteUrl(given: string | undefined, { env }: Pick<CommandContext, 'env'>): string | undefined {
  const url = given ?? env.CROSSFOLD_NATS_URL;
  return url === undefined || url === '' ? undefined : withAccess(url, env);
}

/** Asks the cluster something, and lets go of it. */
export async function ask<T>(
  context: Pick<CommandContext, 'env' | 'connect'>,
  nats: string | undefined,
  question: (client: ExperimentClient) => Promise<T>,
): Promise<T> {
  const client = await context.connect(brokerUrl(nats, context));
  try {
    return await question(client);
  } finally {
    await client.close();
  }
}
