import { LogShipper } from '@crossfold/shared/broker/log-stream';
import type { Logger } from '@crossfold/shared/logger';
import { createLogger } from '@crossfold/shared/logger';

/**
 * The log of a service: to standard output, and what is about an experiment to the broker as well, once there is one.
 *
 * @param fields that every line has as well
 */
export function serviceLogger(
  service: string,
  env: NodeJS.ProcessEnv,
  fields?: () => Readonly<Record<string, unknown>>,
): { readonly logger: Logger; readonly logs: LogShipper } {
  const logs = new LogShipper();
  const more = fields === undefined ? {} : { fields };
  return { logger: createLogger({ service, env, tap: (line) => logs.take(line), ...more }), logs };
}
