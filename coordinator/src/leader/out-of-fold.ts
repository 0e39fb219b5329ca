import type { Broker } from '@crossfold/shared/broker/broker';
import { getJson } from '@crossfold/shared/broker/json-blobs';
import { DamagedDataError } from '@crossfold/shared/errors';
import { Findings } from '@crossfold/shared/jobs/job-result';
import type { Results } from '@crossfold/shared/results';
import { inParallel } from '../in-parallel.ts';
import type { FinishedJob } from '../results/aggregate.ts';
import { subjectOf } from '../results/nested.ts';
import type { FoldFindings } from '../results/out-of-fold.ts';
import { pooledFindings } from '../results/out-of-fold.ts';
import { completedFolds } from '../results/select.ts';

const readsAtOnce = 16;
/** Of more folds they are not read: each is a blob of its own, and with so many folds each has few samples. */
const maxFolds = 500;

/**
 * What the nets that the results are about tell of their validation samples, where their jobs have kept it.
 *
 * What is lost or damaged leaves all of it out: of some folds alone it would be told as if of all.
 *
 * @throws UnreachableError
 */
export async function outOfFoldOf(
  broker: Pick<Broker, 'artifacts'>,
  results: Results,
  finished: readonly FinishedJob[],
): Promise<Pick<Results, 'outOfFold'>> {
  const subject = subjectOf(results);
  const folds = subject === undefined || subject.status === 'running' ? [] : completedFolds(subject);
  if (folds.length === 0 || folds.length > maxFolds) return {};
  const found = new Map(results.nested?.outer.map(({ fold, trial }) => [fold, trial]));
  const place = (trial: number, repeat: number, fold: number): string => `${trial}.${repeat}.${fold}`;
  const jobs = new Map(finished.map((one) => [place(one.job.trial, one.job.repeat, one.job.fold), one.result]));
  const all: FoldFindings[] = [];
  await inParallel(folds, readsAtOnce, async ({ repeat, fold }, i) => {
    const stored = jobs.get(place(found.get(fold) ?? subject?.trial ?? 0, repeat, fold))?.findings;
    if (stored === undefined) return;
    try {
      all[i] = { ...(await getJson(broker.artifacts, stored, Findings)), repeat, fold };
    } catch (error) {
      // The results are worth having without the pictures of one fold.
      if (!(error instanceof DamagedDataError)) throw error;
    }
  });
  const known = all.filter((each) => each !== undefined);
  const outOfFold = known.length < folds.length ? undefined : pooledFindings(known);
  return outOfFold === undefined ? {} : { outOfFold };
}
