import { connectBroker } from '@crossfold/shared/broker/connection';
import { ConfigError, UnreachableError } from '@crossfold/shared/errors';
import type { Logger } from '@crossfold/shared/logger';
import { pause } from '@crossfold/shared/wait';

const againMs = 1000;
const sayEveryMs = 10_000;
const variable = 'CROSSFOLD_NATS_WAIT';

/**
 * Waits for a broker that may start together with this service, for as many seconds as CROSSFOLD_NATS_WAIT says; not at
 * all where that is not set. Resolves once it can be connected to, when the time is over (who connects then says what
 * is wrong), or when the signal aborts.
 *
 * @throws ConfigError where the variable is no number of seconds, or the address names a file that cannot be read.
 */
export async function waitForBroker(
  url: string,
  env: NodeJS.ProcessEnv,
  { logger, signal }: { readonly logger: Logger; readonly signal: AbortSignal },
): Promise<void> {
  const text = env[variable] ?? '';
  if (text === '') return;
  const seconds = Number(text);
  if (!/^\d+$/.test(text.trim()) || seconds > 3600)
    throw new ConfigError({ field: variable, value: JSON.stringify(text), allowed: 'seconds, from 0 to 3600' });
  const started = performance.now();
  let saidAt = started;
  while (!signal.aborted && performance.now() - started < seconds * 1000) {
    try {
      await (await connectBroker(url, 'waiting')).close();
      return;
    } catch (error) {
      if (!(error instanceof UnreachableError)) throw error;
      if (performance.now() - saidAt >= sayEveryMs) {
        saidAt = performance.now();
        logger.warn(`waiting for the broker, for ${Math.round((saidAt - started) / 1000)} s so far: ${error.message}`);
      }
    }
    await pause(againMs, signal);
  }
}
