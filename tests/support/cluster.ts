import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { EmbeddedCluster } from '@crossfold/coordinator/cluster/embedded';
import { startEmbedded } from '@crossfold/coordinator/cluster/embedded';
import type { Experiment } from '@crossfold/shared/config/experiment';
import { createLogger } from '@crossfold/shared/logger';
import type { ProgressEvent } from '@crossfold/shared/progress';
import type { z } from 'zod';
import { unsettledJobs } from './record-check.ts';
import type { FinishedRun } from './run-experiment.ts';
import { runExperiment } from './run-experiment.ts';

export type { FinishedRun } from './run-experiment.ts';

export interface TrainingCluster {
  readonly url: string;
  /** Logs of its processes lie in `logs` below it. */
  readonly folder: string;
  readonly cluster: EmbeddedCluster;
  /** Submits an experiment and follows it to its end; `onEvent` may do things meanwhile. */
  run(experiment: z.input<typeof Experiment>, onEvent?: (event: ProgressEvent) => void): Promise<FinishedRun>;
  /** Ends it, and fails where a job is left in a state that is not final. */
  stop(): Promise<void>;
}

export interface TrainingClusterOptions {
  readonly workers: number;
  readonly threads?: number;
  readonly exchange?: 'auto' | 'nats' | 'direct';
  readonly env?: NodeJS.ProcessEnv;
}

const runTimeoutMs = 200_000;

/** A broker, a coordinator and workers, as real processes that run what was built. */
export async function startTrainingCluster(options: TrainingClusterOptions): Promise<TrainingCluster> {
  const folder = await mkdtemp(join(tmpdir(), 'crossfold-training-'));
  const failed = new AbortController();
  const cluster = await startEmbedded(
    {
      folder,
      workers: options.workers,
      threads: options.threads ?? 1,
      exchange: options.exchange ?? 'auto',
      http: { host: '127.0.0.1', port: 0 },
      env: { ...process.env, CROSSFOLD_LOG_LEVEL: 'debug', ...options.env },
      logger: createLogger({ service: 'test', to: join(folder, 'logs', 'cli.log') }),
      onFailure: (error) => failed.abort(error),
    },
    failed.signal,
  );
  return {
    url: cluster.url,
    folder,
    cluster,
    run(input, onEvent) {
      const signal = AbortSignal.any([failed.signal, AbortSignal.timeout(runTimeoutMs)]);
      return runExperiment(cluster.url, input, signal, onEvent, folder);
    },
    async stop() {
      let unsettled: string[] = [];
      try {
        unsettled = await unsettledJobs(cluster.url);
      } finally {
        await cluster.stop('kill');
        await rm(folder, { recursive: true, force: true });
      }
      if (unsettled.length > 0) throw new Error(unsettled.join('; '));
    },
  };
}

/** A net and a training that take a second or two, with everything in them that could differ between groups. */
export const smallExperiment: z.input<typeof Experiment> = {
  name: 'small',
  seed: 7,
  dataset: { name: 'mnist', limit: 404 },
  evaluation: { method: 'kfold', folds: 2 },
  model: {
    layers: [
      { type: 'conv2d', filters: 4, kernelSize: 3, strides: 2, activation: 'relu' },
      { type: 'maxPooling2d' },
      { type: 'flatten' },
      { type: 'dense', units: 10, activation: 'softmax' },
    ],
  },
  // 202 training samples a fold: the last batch has 10, which four slices do not share evenly.
  training: { epochs: 2, batchSize: 32, microBatches: 4, optimizer: { name: 'rmsprop' } },
};
