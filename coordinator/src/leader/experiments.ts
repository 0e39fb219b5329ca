import type { ExperimentRecord, JobRecord } from '@crossfold/shared/jobs/records';
import { isFinal } from '@crossfold/shared/jobs/records';
import { finish } from './finish.ts';
import type { LeaderContext } from './leader.ts';
import { prepare } from './prepare.ts';

/**
 * Takes an experiment one stage further: submitted -> prepared (data cut, folds made, jobs queued) -> scored on the test
 * set -> results. Every stage can be repeated: what is there already, under its digest or its key, is left as it is.
 */
export async function advanceExperiment(
  context: LeaderContext,
  experiment: ExperimentRecord,
  jobs: readonly JobRecord[],
): Promise<void> {
  if (experiment.state === 'submitted') return prepare(context, experiment);
  const train = jobs.filter((job) => job.kind === 'train');
  if (train.length < experiment.jobs || !train.every((job) => isFinal(job.state))) return;
  return finish(context, experiment, jobs);
}
