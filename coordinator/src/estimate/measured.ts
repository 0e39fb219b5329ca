import type { Experiment } from '@crossfold/shared/config/experiment';
import type { Preflight } from '../data/preflight.ts';
import type { DryRun } from './dry-run.ts';
import { dryRun, firstPlan } from './dry-run.ts';
import { measureSpeed } from './speed.ts';

/**
 * What an experiment comes to, its time by a few batches that are trained in this process.
 *
 * @param workers undefined: unknown
 * @param now milliseconds
 */
export async function measuredDryRun(
  experiment: Experiment,
  checked: Preflight,
  workers: number | undefined,
  now: () => number,
): Promise<DryRun> {
  const first = firstPlan(checked);
  return dryRun(experiment, checked, await measureSpeed(first.experiment, first.plan, now), workers);
}
