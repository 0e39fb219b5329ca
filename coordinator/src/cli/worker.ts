import { join } from 'node:path';
import type { ExchangeMode } from '@crossfold/shared/config/exchange';
import { parseEndpoint } from '@crossfold/shared/endpoint';
import { faultsFrom } from '@crossfold/shared/faults';
import type { ServiceHandles } from '@crossfold/shared/service';
import { runService } from '@crossfold/shared/service';
import { cacheFolder } from '../cache-folder.ts';
import { brokerUrl } from '../client/ask.ts';
import { version } from '../version.ts';
import type { Register } from './options.ts';
import { defaultHttp, examples, exchangeOption, httpEndpoint, httpOption, natsOption, wholeNumber } from './options.ts';
import { serviceLogger } from './service-logger.ts';
import { waitForBroker } from './wait-for-broker.ts';

interface WorkerVerbOptions {
  readonly nats?: string;
  readonly threads: number;
  readonly exchange: ExchangeMode;
  readonly name?: string;
  readonly http?: string;
  readonly listen?: string;
  readonly advertise?: string;
  readonly cache?: string;
  readonly hungAfter?: number;
}

/** `worker`: the service that trains. */
export const registerWorker: Register = (program, context) => {
  program
    .command('worker')
    .summary('run the service that trains')
    .description(
      'Runs a worker until SIGTERM or SIGINT, on which it hands over what it does. Logs are JSON, on stdout.',
    )
    .addOption(natsOption())
    .option(
      '--threads <n>',
      "TensorFlow's threads; jobs go to workers with their experiment's number",
      wholeNumber(1, 256),
      1,
    )
    .addOption(exchangeOption())
    .option(
      '--listen <addr:port>',
      'where peers reach this worker directly, as in 0.0.0.0:4300 (default: a free port of 127.0.0.1)',
    )
    .option(
      '--advertise <addr:port>',
      'the address that peers are told, where it is not the one listened on (containers, NAT)',
    )
    .addOption(httpOption(defaultHttp.worker))
    .option('--name <name>', 'what its name in the cluster begins with (default: host and process)')
    .option('--cache <folder>', "folder for pieces of data sets (default: the user's cache)")
    .option(
      '--hung-after <seconds>',
      'how long one computation (a slice of a batch) may take before TensorFlow is taken to hang and this worker ends, so that others go on (default: 300)',
      wholeNumber(1, 86_400),
    )
    .addHelpText('after', examples('worker --nats nats://cluster.example:4222', 'worker --threads 4 --exchange nats'))
    .action(async (options: WorkerVerbOptions) => {
      const nats = brokerUrl(options.nats, context);
      const http = httpEndpoint(options.http, context, defaultHttp.worker);
      const { createMetrics } = await import('@crossfold/shared/metrics/registry');
      const { WatchedBorder } = await import('@crossfold/shared/metrics/watched-border');
      const { runWorker } = await import('@crossfold/worker/worker');
      const { LogPlace } = await import('@crossfold/worker/observe/log-place');
      const place = new LogPlace();
      const { logger, logs } = serviceLogger(options.name ?? 'worker', context.env, () => place.fields());
      const { threads, exchange, cache = shardCache(context.env) } = options;
      const rest = {
        ...(options.name === undefined ? {} : { name: options.name }),
        ...(options.hungAfter === undefined ? {} : { hungMs: 1000 * options.hungAfter }),
        ...(options.listen === undefined ? {} : { listen: parseEndpoint(options.listen, '--listen') }),
        ...(options.advertise === undefined ? {} : { advertise: parseEndpoint(options.advertise, '--advertise') }),
      };
      const metrics = createMetrics('worker');
      const border = new WatchedBorder(metrics.instruments, logger, () => performance.now());
      const faults = faultsFrom(context.env, logger);
      const run = async (handles: ServiceHandles): Promise<void> => {
        await waitForBroker(nats, context.env, handles);
        const observed = { metrics, border, logs, observers: [place], version: version() };
        await runWorker({ nats, threads, exchange, cache, faults, ...observed, ...rest }, handles);
      };
      await runService(run, { logger, ...(http === undefined ? {} : { http: { listen: http, metrics, border } }) });
    });
};

/** Where workers keep pieces of data sets: named by their content, so that all workers of a user can share them. */
const shardCache = (env: NodeJS.ProcessEnv): string => join(cacheFolder(env), 'shards');
