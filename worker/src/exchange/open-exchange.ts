import { groupSubject } from '@crossfold/shared/broker/subjects';
import { ConfigError } from '@crossfold/shared/errors';
import type { Exchange, ExchangeOptions, GroupView } from './exchange.ts';
import { GroupExchange } from './group-exchange.ts';

/** The size of message that does best through the `nats` client. */
export const defaultBlockBytes = 128 * 1024;

const leastPayload = 4096;

/** What a frame's header takes up in a message, at most. */
const messageMargin = 256;

/**
 * Opens a generation's exchange for one member; resolves once frames of others can arrive, however long the broker is
 * away.
 *
 * @throws ConfigError where the broker takes only messages too small to be of use; the signal's reason when it aborts.
 */
export async function openExchange(view: GroupView, options: ExchangeOptions, signal: AbortSignal): Promise<Exchange> {
  const maxPayload = options.nats.info?.max_payload ?? 2 ** 20;
  if (maxPayload < leastPayload)
    throw new ConfigError(`the broker's max_payload is ${maxPayload} bytes; set it to at least ${leastPayload}`);
  // A power of two, so that members on brokers that differ a little in max_payload still agree.
  const fits = 2 ** Math.floor(Math.log2(maxPayload - messageMargin));
  const blockBytes = Math.min(options.blockBytes ?? defaultBlockBytes, fits);
  const exchange = new GroupExchange(view, blockBytes, (to) => groupSubject(view.job, view.generation, to), options);
  await exchange.open(signal);
  return exchange;
}
