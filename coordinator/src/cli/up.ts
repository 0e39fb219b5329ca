import { join, resolve } from 'node:path';
import type { ExchangeMode } from '@crossfold/shared/config/exchange';
import { createLogger } from '@crossfold/shared/logger';
import { aborted } from '@crossfold/shared/wait';
import { defaultWorkers, stateFolder, targetsFile } from '../cluster/embedded.ts';
import { interruptible } from './follow-run.ts';
import type { Register } from './options.ts';
import {
  defaultHttp,
  examples,
  exchangeOption,
  httpEndpoint,
  httpOption,
  jsonOption,
  pagesHelp,
  wholeNumber,
  workersOption,
} from './options.ts';
import { makeRunFolder } from './run-folder.ts';

interface UpOptions {
  readonly workers?: number;
  readonly threads: number;
  readonly exchange: ExchangeMode;
  readonly port?: number;
  readonly http?: string;
  readonly dir: string;
  readonly json?: boolean;
}

/** `up`: a cluster on this machine that stays up until it is interrupted. */
export const registerUp: Register = (program, context) => {
  program
    .command('up')
    .summary('start a cluster here that stays up')
    .description(
      `Starts a cluster on this machine that stays up until Ctrl-C, and keeps its experiments for the next time. ${pagesHelp}`,
    )
    .addOption(workersOption())
    .option('--threads <n>', "TensorFlow's threads of each worker", wholeNumber(1, 256), 1)
    .addOption(exchangeOption())
    .addOption(httpOption(`${defaultHttp.coordinator} and the ports after it`))
    .option('--port <port>', "the broker's port (default: a free one)", wholeNumber(1, 65535))
    .option('--dir <folder>', 'folder for its state and logs', join('runs', 'up'))
    .addOption(jsonOption())
    .addHelpText('after', examples('up --workers 2', 'up --port 4222 --dir /var/tmp/crossfold'))
    .action(async (options: UpOptions) => {
      await makeRunFolder(options.dir);
      const { dir, threads, exchange, workers = defaultWorkers(threads, context.env) } = options;
      const http = httpEndpoint(options.http, context, defaultHttp.coordinator);
      let end: () => void = () => undefined;
      const { controller, dispose } = interruptible(
        context,
        () => 'ended',
        () => end(),
      );
      try {
        const cluster = await context.startCluster(
          {
            folder: dir,
            workers,
            threads,
            exchange,
            ...(http === undefined ? {} : { http }),
            ...(options.port === undefined ? {} : { port: options.port }),
            env: context.env,
            logger: createLogger({ service: 'cli', to: join(dir, 'logs', 'cli.log'), env: context.env }),
            onFailure: (error) => controller.abort(error),
          },
          controller.signal,
        );
        end = () => void cluster.stop('kill');
        context.err.write(
          `${workers} ${workers === 1 ? 'worker is' : 'workers are'} ready, until Ctrl-C; logs are in ${join(dir, 'logs')}; in another shell:\n`,
        );
        const page = cluster.http().get('coordinator');
        if (page !== undefined) context.err.write(`# experiments, live: ${page}/\n`);
        for (const [service, url] of cluster.http()) context.err.write(`# ${service}: ${url}/metrics\n`);
        if (cluster.http().size > 0)
          context.err.write(`# for Prometheus, as file_sd_configs: ${resolve(stateFolder(dir), targetsFile)}\n`);
        const document = { nats: cluster.url, http: Object.fromEntries(cluster.http()) };
        context.out.write(
          options.json === true ? `${JSON.stringify(document)}\n` : `export CROSSFOLD_NATS_URL='${cluster.url}'\n`,
        );
        await aborted(controller.signal);
        await cluster.stop('drain');
        controller.signal.throwIfAborted();
      } finally {
        dispose();
      }
    });
};
