import type { Broker } from '../broker/broker.ts';
import { followConnection, followRefusals } from '../broker/connection.ts';
import type { Health } from '../health.ts';
import type { Logger } from '../logger.ts';
import type { Waits } from '../waits.ts';
import type { Instruments } from './registry.ts';

/** Has readiness, metrics, waits and the log follow a service's connection to the broker. */
export function exposeConnection(
  { nats, border }: Pick<Broker, 'nats' | 'border'>,
  { brokerConnected, brokerReconnects }: Pick<Instruments<'worker'>, 'brokerConnected' | 'brokerReconnects'>,
  waits: Waits,
  logger: Logger,
  health: Health,
): void {
  let waited: (() => void) | undefined;
  brokerConnected.set({}, 1);
  followRefusals(nats, (what, why) => border.refused('broker', what, why));
  followConnection(nats, (connected) => {
    health.set('no broker', !connected);
    brokerConnected.set({}, connected ? 1 : 0);
    if (connected) brokerReconnects.inc({});
    waited?.();
    waited = connected ? undefined : waits.begin(logger, 'the broker to be back');
  });
}

/**
 * Brings the gauge of waits up to date.
 *
 * @param leastMs shorter waits for a worker are the ordinary course of an exchange
 */
export function exposeWaits({ waiting }: Pick<Instruments<'worker'>, 'waiting'>, waits: Waits, leastMs: number): void {
  waiting.reset();
  const seconds = new Map<string, number>();
  for (const { members, what, sinceMs } of waits.current()) {
    // A worker's name has no space in it. Counts would make a series of every number.
    const names = members.length > 0 ? members : [what.replaceAll(/\d+/g, 'n')];
    if (members.length > 0 && sinceMs < leastMs) continue;
    for (const name of names) seconds.set(name, Math.max(seconds.get(name) ?? 0, sinceMs / 1000));
  }
  for (const [name, value] of seconds) waiting.set({ for: name }, value);
}
