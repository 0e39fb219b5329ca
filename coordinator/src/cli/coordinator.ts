import type { Replicas } from '@crossfold/shared/broker/streams';
import { ConfigError } from '@crossfold/shared/errors';
import { quotaSettingsOf } from '@crossfold/shared/quotas';
import type { ServiceHandles } from '@crossfold/shared/service';
import { runService } from '@crossfold/shared/service';
import { brokerUrl } from '../client/ask.ts';
import { keepHeapSmall } from '../heap.ts';
import { sweepTimingOf } from '../leader/sweep-timing.ts';
import { version } from '../version.ts';
import type { CommandContext } from './context.ts';
import type { Register } from './options.ts';
import {
  brokerMonitors,
  defaultHttp,
  examples,
  httpEndpoint,
  httpOption,
  natsOption,
  pagesHelp,
  wholeNumber,
} from './options.ts';
import { serviceLogger } from './service-logger.ts';
import { waitForBroker } from './wait-for-broker.ts';

/** `auto`, or how many. */
const replicasOf = (text: string): Replicas => (text.trim() === 'auto' ? 'auto' : wholeNumber(1, 5)(text));

function replicasFromEnv({ env }: CommandContext): Replicas {
  const text = env.CROSSFOLD_NATS_REPLICAS ?? '';
  try {
    return text === '' ? 'auto' : replicasOf(text);
  } catch {
    const allowed = 'must be auto, or a whole number from 1 to 5';
    throw new ConfigError({ field: 'CROSSFOLD_NATS_REPLICAS', value: JSON.stringify(text), allowed });
  }
}

/** `coordinator`: the service that gives out work. */
export const registerCoordinator: Register = (program, context) => {
  program
    .command('coordinator')
    .summary('run the service that gives out work')
    .description(
      `Runs a coordinator until SIGTERM or SIGINT. Any number may run; one of them leads. Logs are JSON, on stdout. ${pagesHelp}`,
    )
    .addOption(natsOption())
    .addOption(httpOption(defaultHttp.coordinator))
    .option('--name <name>', 'what its name in logs begins with (default: host and process)')
    .option(
      '--replicas <n>',
      'servers of the broker that keep a copy of everything, or auto (default: CROSSFOLD_NATS_REPLICAS, else auto: up to 3)',
      replicasOf,
    )
    .addHelpText('after', examples('coordinator --nats nats://cluster.example:4222'))
    .action(async (options: { nats?: string; name?: string; http?: string; replicas?: Replicas }) => {
      keepHeapSmall();
      const nats = brokerUrl(options.nats, context);
      const listen = httpEndpoint(options.http, context, defaultHttp.coordinator);
      const { createMetrics } = await import('@crossfold/shared/metrics/registry');
      const { WatchedBorder } = await import('@crossfold/shared/metrics/watched-border');
      const { runCoordinator } = await import('../coordinator.ts');
      const { writeTokenOf } = await import('@crossfold/shared/http/write-token');
      const { LiveSite } = await import('../live/site.ts');
      const metrics = createMetrics('coordinator');
      const build = { version: version(), node: process.version, tensorflow: '', device: '' };
      metrics.instruments.buildInfo.set({ service: 'coordinator', ...build }, 1);
      const { logger, logs } = serviceLogger(options.name ?? 'coordinator', context.env);
      const border = new WatchedBorder(metrics.instruments, logger, () => performance.now());
      const rest = {
        border,
        ...(options.name === undefined ? {} : { name: options.name }),
        replicas: options.replicas ?? replicasFromEnv(context),
        monitors: brokerMonitors(context),
        quotas: quotaSettingsOf(context.env),
        sweeps: sweepTimingOf(context.env),
      };
      const token = writeTokenOf(context.env);
      const site = new LiveSite({ canWrite: token !== undefined });
      const http = listen === undefined ? {} : { http: { listen, metrics, site, token, border } };
      const run = async (handles: ServiceHandles): Promise<void> => {
        await waitForBroker(nats, context.env, handles);
        await runCoordinator({ nats, metrics, logs, site, ...rest }, handles);
      };
      await runService(run, { logger, ...http });
    });
};
