import type { ExperimentRecord } from '@crossfold/shared/jobs/records';
import { isFinal } from '@crossfold/shared/jobs/records';
import { KnownCuts } from '../data/known-cuts.ts';
import type { Board } from './board.ts';
import type { LeaderContext } from './context.ts';
import { finish } from './finish.ts';
import { prepare } from './prepare.ts';
import { Sweep } from './sweeps.ts';

/** Experiments that are not over and come before this one: those that run, and those that were submitted earlier. */
const unfinishedBefore = ({ id, createdAt }: ExperimentRecord, { experiments }: Board): number =>
  [...experiments.values()].filter(
    (other) =>
      other.state === 'running' ||
      (other.state === 'submitted' &&
        (other.createdAt < createdAt || (other.createdAt === createdAt && other.id < id))),
  ).length;

/**
 * Takes experiments further, stage by stage: submitted -> prepared (data cut, folds made, trials planned) -> its jobs made
 * as its search wants them -> scored on the test set -> results. Every stage can be repeated: what is there already,
 * under its digest or its key, is left as it is.
 */
export class Experiments {
  readonly #sweeps = new Map<string, Sweep>();
  readonly #cuts = new KnownCuts();
  /** Experiments that have been held against the quotas here. */
  readonly #prepared = new Set<string>();

  /** @param changed jobs of the experiment that have changed since the last time */
  async advance(
    context: LeaderContext,
    experiment: ExperimentRecord,
    board: Board,
    changed: Iterable<string>,
  ): Promise<void> {
    if (experiment.state === 'submitted') {
      if (await prepare(context, experiment, unfinishedBefore(experiment, board), this.#cuts))
        this.#prepared.add(experiment.id);
      return;
    }
    // Whoever submits writes the record, and might write that it runs: of what has no jobs yet all is looked at again.
    if (board.jobsOf(experiment.id).size === 0 && !this.#prepared.has(experiment.id)) {
      context.logger.info({ experiment: experiment.id }, 'runs, and has no jobs: it is prepared anew');
      await context.broker.experiments.transition(experiment.id, asSubmitted);
      return;
    }
    const known = this.#sweeps.get(experiment.id);
    // Until it has done its work whole, it is taken up anew: an interrupted one does not know how far it came.
    this.#sweeps.delete(experiment.id);
    const sweep = known?.isUpToDate(experiment) ? known : await Sweep.take(context, experiment, board);
    if (sweep === known) await sweep.step(context, experiment, board, changed);
    this.#sweeps.set(experiment.id, sweep);
    if (!sweep.over) return;
    const jobs = [...board.jobsOf(experiment.id).values()];
    if (jobs.some((job) => job.kind === 'train' && !isFinal(job.state))) return;
    await finish(context, experiment, jobs, sweep.rounds);
  }

  /** Lets go of an experiment that is over. */
  forget(experiment: string): void {
    this.#sweeps.delete(experiment);
    this.#prepared.delete(experiment);
  }
}

function asSubmitted({ otherManifests: _, ...record }: ExperimentRecord): ExperimentRecord | undefined {
  if (record.state !== 'running') return undefined;
  return { ...record, state: 'submitted', manifest: null, folds: null, plan: null };
}
