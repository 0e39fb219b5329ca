import { connectClient } from '@crossfold/coordinator/client/client';
import type { ExperimentClient } from '@crossfold/coordinator/client/types';
import { connectTimeoutMs } from '@crossfold/shared/broker/connection';
import { Experiment, newExperimentId } from '@crossfold/shared/config/experiment';
import { isBrokerTrouble } from '@crossfold/shared/errors';
import type { ExperimentRecord, PublicJob } from '@crossfold/shared/jobs/records';
import type { ProgressEvent } from '@crossfold/shared/progress';
import { Results } from '@crossfold/shared/results';
import type { z } from 'zod';

export interface FinishedRun {
  readonly record: ExperimentRecord;
  readonly jobs: readonly PublicJob[];
  readonly results: Results;
  readonly folds: unknown;
  readonly events: readonly ProgressEvent[];
}

let runs = 0;

/** The broker may be away at this very moment. */
async function connect(url: string, patienceMs: number): Promise<ExperimentClient> {
  for (const until = performance.now() + patienceMs; ; ) {
    try {
      return await connectClient(url, patienceMs);
    } catch (error) {
      if (!isBrokerTrouble(error) || performance.now() > until) throw error;
    }
  }
}

/** Submits an experiment and follows it to its end; `onEvent` may do things meanwhile. */
export async function runExperiment(
  url: string,
  input: z.input<typeof Experiment>,
  signal: AbortSignal,
  onEvent: (event: ProgressEvent) => void = () => undefined,
  baseDir = '.',
  patienceMs = connectTimeoutMs,
): Promise<FinishedRun> {
  const experiment = Experiment.parse(input);
  const client = await connect(url, patienceMs);
  const events: ProgressEvent[] = [];
  try {
    const id = newExperimentId(experiment.name, new Date(), runs++);
    // Results of equal jobs are not what tests of training are about.
    await client.submit(experiment, baseDir, id, { fresh: true });
    for await (const event of client.follow(id, signal)) {
      events.push(event);
      onEvent(event);
    }
    signal.throwIfAborted();
    const { record, results, folds } = await client.outcome(id);
    return { record, jobs: await client.jobs(id), results: Results.parse(results), folds, events };
  } finally {
    await client.close();
  }
}
