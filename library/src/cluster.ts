import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connectClient } from '@crossfold/coordinator/client/client';
import type { ExperimentClient, SubmitOptions } from '@crossfold/coordinator/client/types';
import { defaultWorkers, startEmbedded } from '@crossfold/coordinator/cluster/embedded';
import { preflight } from '@crossfold/coordinator/data/preflight';
import { readImported } from '@crossfold/coordinator/datasets/imported';
import type { Removal, RemoveOptions, Unwanted } from '@crossfold/coordinator/removal/remove-experiments';
import { withAccess } from '@crossfold/shared/broker/address';
import type { ExchangeMode } from '@crossfold/shared/config/exchange';
import { newExperimentId } from '@crossfold/shared/config/experiment';
import { ConfigError } from '@crossfold/shared/errors';
import type { ExperimentRecord } from '@crossfold/shared/jobs/records';
import { createLogger } from '@crossfold/shared/logger';
import { Datasets } from './datasets.ts';
import type { LoadedExperiment } from './experiment.ts';
import { Run } from './run.ts';

/** A cluster to run experiments on: one of its own processes, or one that runs elsewhere. */
export interface Cluster {
  /** Address of its broker, credentials included: not to be shown. */
  readonly url: string;
  /**
   * Uploads the data set and hands the experiment over.
   *
   * @param options `fresh`: compute everything, whatever results the cluster has of equal jobs; `onProgress`: told how
   * far a long upload is
   * @throws ConfigError where its data set, net or split cannot be, or it goes over a quota of the cluster
   */
  submit(experiment: LoadedExperiment, options?: Omit<SubmitOptions, 'checked'>): Promise<Run>;
  /**
   * An experiment that was submitted before, here or elsewhere.
   * @throws ConfigError where there is none of that id
   */
  run(id: string): Promise<Run>;
  /** Data sets that are kept on it. */
  readonly datasets: Datasets;
  /** All experiments, newest first. */
  list(): Promise<readonly ExperimentRecord[]>;
  /**
   * Removes an experiment that is over: it is gone at once, and what nothing else needs of what was stored for it within
   * minutes. Says what it took up.
   *
   * @param options `dryRun`: only say what would be removed
   * @throws ConfigError where there is none of that id, or it is not over
   */
  remove(id: string, options?: RemoveOptions): Promise<Removal>;
  /**
   * Removes several in the same way: `{ ids }`, or `{ overForMs }`, all that have been over for so long.
   * @throws ConfigError where one is not there or not over, before any is removed
   */
  removeAll(unwanted: Unwanted, options?: RemoveOptions): Promise<readonly Removal[]>;
  /** Ends what was started, or lets go of what was connected to. What runs elsewhere goes on. */
  close(): Promise<void>;
}

export interface ClusterOptions {
  /** One a core where not given. */
  readonly workers?: number;
  /** TensorFlow's threads of each worker; an experiment's `threadsPerWorker` has to be the same. */
  readonly threads?: number;
  readonly exchange?: ExchangeMode;
  /**
   * Folder for its state and logs, which stay, so that another start on the folder goes on there. Where not given both
   * go with the cluster.
   */
  readonly folder?: string;
  readonly env?: NodeJS.ProcessEnv;
  /** Gives up starting. */
  readonly signal?: AbortSignal;
}

/**
 * Starts a broker, a coordinator and workers on this machine, as processes that end with this one.
 *
 * @throws ConfigError where another cluster uses the folder; TimeoutError naming what was not ready in time
 */
export async function startCluster(options: ClusterOptions = {}): Promise<Cluster> {
  const { threads = 1, exchange = 'auto', env = process.env, signal = new AbortController().signal } = options;
  const folder = options.folder ?? (await mkdtemp(join(tmpdir(), 'crossfold-cluster-')));
  const broken = new AbortController();
  const embedded = await startEmbedded(
    {
      ...{ folder, threads, exchange, env },
      workers: options.workers ?? defaultWorkers(threads),
      logger: createLogger({ service: 'library', to: join(folder, 'logs', 'library.log'), env }),
      onFailure: (error) => broken.abort(error),
    },
    signal,
  );
  const stop = async (how: 'drain' | 'kill'): Promise<void> => {
    await embedded.stop(how);
    if (options.folder === undefined) await rm(folder, { recursive: true, force: true });
  };
  try {
    const client = await connectClient(embedded.url);
    return clusterOf(embedded.url, client, broken.signal, async () => {
      await client.close();
      await stop(options.folder === undefined ? 'kill' : 'drain');
    });
  } catch (error) {
    await stop('kill');
    throw error;
  }
}

/**
 * Connects to a cluster.
 *
 * @param url as in `nats://host:4222`; CROSSFOLD_NATS_URL where not given
 * @throws ConfigError where no address is known; UnreachableError where its broker does not answer within 5 s
 */
export async function connect(url: string | undefined = process.env.CROSSFOLD_NATS_URL): Promise<Cluster> {
  if (url === undefined || url === '')
    throw new ConfigError('no broker named: give connect() its address, or set CROSSFOLD_NATS_URL');
  const client = await connectClient(withAccess(url, process.env));
  return clusterOf(url, client, new AbortController().signal, () => client.close());
}

function clusterOf(url: string, client: ExperimentClient, broken: AbortSignal, close: () => Promise<void>): Cluster {
  let closing: Promise<void> | undefined;
  const datasets = new Datasets(client.datasets);
  return {
    url,
    datasets,
    async submit(loaded, options) {
      const { experiment, baseDir } = loaded;
      const checked = await preflight(loaded, (spec) => readImported(spec, Datasets.librariesOf(datasets)));
      const id = newExperimentId(experiment.name, new Date(), Math.floor(performance.now() * 1000));
      await client.submit(experiment, baseDir, id, { ...options, checked });
      return new Run(id, client, broken);
    },
    async run(id) {
      const known = await client.list();
      if (!known.some((record) => record.id === id)) throw new ConfigError(`there is no experiment ${id}`);
      return new Run(id, client, broken);
    },
    list: () => client.list(),
    async remove(id, options) {
      const [removal] = await client.remove({ ids: [id] }, options);
      if (removal === undefined) throw new ConfigError(`there is no experiment ${id}`);
      return removal;
    },
    removeAll: (unwanted, options) => client.remove(unwanted, options),
    close() {
      closing ??= close();
      return closing;
    },
  };
}
