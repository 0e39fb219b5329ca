import type { HalvingSpec } from '@crossfold/shared/config/search';
import type { Contest, Decision, Evidence, Round, Standing, Want } from './contest.ts';
import { conclude, contestants, gather, wantsOf } from './contest.ts';

/** So many trials are trained until so many epochs are done. */
export interface Rung {
  readonly trials: number;
  readonly epochs: number;
}

/**
 * The rungs of a halving: as many as epochs (from `minEpochs` on) and trials allow, each with `factor` times the epochs
 * of the one before and one in `factor` of its trials (rounded down, but for the last one); the last has all epochs.
 */
export function rungsOf(spec: Pick<HalvingSpec, 'factor' | 'minEpochs'>, trials: number, epochs: number): Rung[] {
  const { factor, minEpochs = Math.ceil(epochs / 4) } = spec;
  let steps = 0;
  for (let power = factor; power * minEpochs <= epochs && power < trials * factor; power *= factor) steps++;
  return Array.from({ length: steps + 1 }, (_, i) => ({
    trials: Math.max(1, Math.floor(trials / factor ** i)),
    epochs: Math.round(epochs / factor ** (steps - i)),
  }));
}

/**
 * Synchronous successive halving (K. Jamieson and A. Talwalkar, "Non-stochastic Best Arm Identification and
 * Hyperparameter Optimization", AISTATS 2016) with epochs as the resource, each rung on all folds.
 */
export function halving(contest: Contest, spec: HalvingSpec, evidence: Evidence): Decision {
  const all = contestants(contest);
  const total = Math.max(...contest.epochs);
  const rungs = rungsOf(spec, all.length, total);
  const epochsOf = new Map<number, number>();
  const dropped = new Set<number>();
  const rounds: Round[] = [];
  const wants = (): Want[] => [...epochsOf].flatMap(([trial, epochs]) => wantsOf(trial, contest.folds, epochs));
  let left: readonly number[] = all;
  let standing: readonly Standing[] = [];
  for (const [i, rung] of rungs.entries()) {
    for (const trial of left) epochsOf.set(trial, rung.epochs);
    const known = gather(left, contest.folds, () => rung.epochs, evidence);
    if (known === undefined) return { wants: wants(), dropped, rounds, over: false };
    standing = known.standing;
    const room = rungs[i + 1]?.trials ?? standing.length;
    const behind = standing.slice(room);
    const [leader] = standing;
    rounds.push({
      folds: contest.folds,
      epochs: rung.epochs,
      scores: standing.map(({ trial, accuracy, loss }) => ({ trial, accuracy, loss })),
      dropped: [
        ...behind.map(({ trial, accuracy }) => ({
          trial,
          reason: 'behind' as const,
          ...(leader === undefined ? {} : { versus: leader.trial, behind: leader.accuracy - accuracy }),
        })),
        ...known.lost.map((trial) => ({ trial, reason: 'lost' as const })),
      ],
    });
    for (const { trial } of behind) dropped.add(trial);
    for (const trial of known.lost) dropped.add(trial);
    left = standing.slice(0, room).map(({ trial }) => trial);
  }
  return conclude({ wants: wants(), dropped, rounds, over: true }, standing);
}
