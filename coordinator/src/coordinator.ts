import { hostname } from 'node:os';
import type { Border } from '@crossfold/shared/border';
import type { Broker } from '@crossfold/shared/broker/broker';
import { openBroker, servicePatienceMs } from '@crossfold/shared/broker/broker';
import { LeaseKeeper, leaseMs } from '@crossfold/shared/broker/lease';
import type { LogShipper } from '@crossfold/shared/broker/log-stream';
import { Roster } from '@crossfold/shared/broker/presence';
import { limitStores } from '@crossfold/shared/broker/quotas';
import type { Replicas } from '@crossfold/shared/broker/streams';
import type { Logger } from '@crossfold/shared/logger';
import { exposeConnection } from '@crossfold/shared/metrics/connection';
import type { ServiceMetrics } from '@crossfold/shared/metrics/registry';
import type { QuotaSettings } from '@crossfold/shared/quotas';
import { quotasOf } from '@crossfold/shared/quotas';
import type { ServiceHandles } from '@crossfold/shared/service';
import { uniqueName } from '@crossfold/shared/unique-name';
import { pause } from '@crossfold/shared/wait';
import { Waits } from '@crossfold/shared/waits';
import { lead } from './leader/leader.ts';
import type { SweepTiming } from './leader/sweep-timing.ts';
import { defaultSweeps } from './leader/sweep-timing.ts';
import type { LiveSite } from './live/site.ts';
import { storageLimit } from './metrics/broker-monitor.ts';
import { Exporter } from './metrics/exporter.ts';

export interface CoordinatorOptions {
  /** Address of the broker, credentials included. */
  readonly nats: string;
  readonly metrics: ServiceMetrics<'coordinator'>;
  /** Monitoring ports of the broker's servers, `http://host:port`. */
  readonly monitors?: readonly string[];
  readonly border: Border;
  /** Takes the log's lines along to the broker. */
  readonly logs?: LogShipper;
  /** Shows people how experiments stand. */
  readonly site?: LiveSite;
  /** Begins its name in logs and in the lease; host and process where not given. */
  readonly name?: string;
  /** Servers of the broker's cluster that keep a copy of everything: three, or all there are, where not given. */
  readonly replicas?: Replicas;
  /** What experiments may take, where that is not the default. */
  readonly quotas?: QuotaSettings;
  /** When what nobody needs any more is removed, where that is not the default. */
  readonly sweeps?: SweepTiming;
}

/** How often it is looked whether the broker's cluster has grown, and could keep more copies. */
const growCopiesEveryMs = 60_000;

/**
 * The coordinator service: any number may run, the one that holds the lease leads. Resolves when the signal aborts.
 *
 * @throws UnreachableError where the broker does not answer at the start.
 */
export async function runCoordinator(options: CoordinatorOptions, handles: ServiceHandles): Promise<void> {
  const { logger, signal, onReady, health } = handles;
  const name = uniqueName(options.name ?? `${hostname()}-${process.pid}`);
  const broker = await openBroker(options.nats, `coordinator ${name}`, {
    role: 'coordinator',
    border: options.border,
    replicas: options.replicas ?? 'auto',
    patienceMs: servicePatienceMs,
    onWaiting: (message) => logger.warn(message),
  });
  const now = (): number => performance.timeOrigin + performance.now();
  const waits = new Waits(now);
  options.logs?.attach(broker.nats);
  exposeConnection(broker, options.metrics.instruments, waits, logger, health);
  const roster = new Roster(broker.nats, signal, now, broker.border);
  const exporter = new Exporter({
    metrics: options.metrics,
    broker,
    monitors: options.monitors ?? [],
    roster,
    waits,
    logger,
    now,
  });
  options.site?.attach({ broker, logger, now, signal });
  const { storage, limits } = options.quotas ?? { storage: undefined, limits: {} };
  await keepToShares(broker, storage, logger);
  const quotas = quotasOf(
    limits,
    storage ?? (await storageLimit(broker, options.monitors ?? []).catch(() => undefined)),
  );
  const lease = new LeaseKeeper(broker.leases, name, now);
  let leading: AbortController | undefined;
  let rounds: Promise<void> = Promise.resolve();
  let copiesLookedAt = now();

  const poll = async (): Promise<void> => {
    const held = await lease.poll().catch((error: unknown) => {
      logger.warn({ err: error }, 'could not reach the lease');
      return lease.held;
    });
    if (held && leading === undefined) {
      leading = new AbortController();
      logger.info({ name }, 'leading');
      const { sweeps = defaultSweeps } = options;
      const context = { broker, roster, logger, now, leads: () => lease.held, observer: exporter, quotas, sweeps };
      const term = leading;
      // The term before may still be ending a request.
      rounds = rounds
        .then(() => lead(context, term.signal))
        .catch((error: unknown) => {
          logger.error({ err: error }, 'leading ended; trying again');
          if (leading === term) leading = undefined;
        });
    }
    if (held && now() - copiesLookedAt > growCopiesEveryMs) {
      copiesLookedAt = now();
      void growCopies();
    }
    if (!held && leading !== undefined) {
      logger.warn({ name }, 'lost the lease');
      leading.abort();
      leading = undefined;
    }
  };

  const growCopies = async (): Promise<void> => {
    try {
      const grown = await broker.growCopies();
      if (grown.length > 0) logger.info({ streams: grown }, 'the broker keeps more copies now');
    } catch (error) {
      logger.warn({ err: error }, 'could not have the broker keep more copies');
    }
  };

  try {
    await poll();
    onReady();
    while (!signal.aborted) {
      await pause(leaseMs / 5, signal);
      if (!signal.aborted) await poll();
    }
  } finally {
    leading?.abort();
    await rounds;
    await lease.release().catch(() => undefined);
    await broker.close();
  }
}

/** A store that cannot be limited is as it was: said, and no reason not to run. */
async function keepToShares(broker: Broker, storage: number | undefined, logger: Logger): Promise<void> {
  try {
    for (const why of await limitStores(await broker.nats.jetstreamManager(), storage))
      logger.warn({ why }, 'a store of the broker could not be limited to its share of CROSSFOLD_QUOTA_STORAGE');
  } catch (error) {
    logger.warn({ err: error }, "the broker's stores could not be limited to their shares of CROSSFOLD_QUOTA_STORAGE");
  }
}
