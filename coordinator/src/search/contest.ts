import type { SearchSpec } from '@crossfold/shared/config/search';

/** How a trial did on one fold after so many epochs. */
export interface Score {
  readonly accuracy: number;
  readonly loss: number;
}

/** What is to be decided: which of some trials is best, by their scores on some folds. */
export interface Contest {
  /** Undefined where every trial is trained to its end on every fold. */
  readonly search: SearchSpec | undefined;
  /** Epochs of each trial's whole training, by trial; 0 for a trial that takes no part. */
  readonly epochs: readonly number[];
  /** Number of folds; the contest counts them from 0. */
  readonly folds: number;
  /** Samples validated on for each one trained on, of a fold; overlapping training sets make scores alike. */
  readonly validationShare: number;
  /** The split that each fold is of, by number: repeats may share one. Where it is left out, each fold has its own. */
  readonly splits?: readonly number[];
}

/**
 * What is known of a trial on a fold after so many epochs (or fewer, where its training ended by itself): its score,
 * `lost` where there will be none, undefined as long as that is open.
 */
export type Evidence = (trial: number, fold: number, epochs: number) => Score | 'lost' | undefined;

/** A trial is to be trained for so many epochs on a fold. */
export interface Want {
  readonly trial: number;
  readonly fold: number;
  readonly epochs: number;
}

/** A trial that goes no further, and why. */
export interface Dropped {
  readonly trial: number;
  /** The trial that it was compared with. */
  readonly versus?: number;
  /** By how much its mean accuracy is lower. */
  readonly behind?: number;
  /** Probability of such a lead if the two were alike. */
  readonly pValue?: number;
  readonly reason: 'behind' | 'lost';
}

/** One decision, with what it was made on. */
export interface Round {
  /** Folds that it is about: the first so many. */
  readonly folds: number;
  readonly epochs: number;
  /** Of the trials that were still in, best first. */
  readonly scores: readonly { readonly trial: number; readonly accuracy: number; readonly loss: number }[];
  readonly dropped: readonly Dropped[];
}

export interface Decision {
  /** All that is wanted by now, what is there already included; each trial and fold once. */
  readonly wants: readonly Want[];
  /** Trials that nothing more is wanted of, though they have not been trained to their end on every fold. */
  readonly dropped: ReadonlySet<number>;
  readonly rounds: readonly Round[];
  /** Everything wanted is there, and nothing more will be. */
  readonly over: boolean;
  /** Once over: the best of those that are left. Undefined where all were lost. */
  readonly winner?: number;
}

/** The decision, with the best of the standing as its winner. */
export function conclude(decision: Decision, standing: readonly Standing[]): Decision {
  const [first] = standing;
  return first === undefined ? decision : { ...decision, winner: first.trial };
}

/** Trials that take part. */
export const contestants = ({ epochs }: Contest): number[] => [...epochs.keys()].filter((trial) => epochs[trial] !== 0);

export const wantsOf = (trial: number, folds: number, epochs: number): Want[] =>
  Array.from({ length: folds }, (_, fold) => ({ trial, fold, epochs }));

/** How a trial stands after some folds. */
export interface Standing {
  readonly trial: number;
  /** Means over the folds. */
  readonly accuracy: number;
  readonly loss: number;
  /** Accuracy on each fold. */
  readonly accuracies: readonly number[];
}

/**
 * How trials stand on the first `folds` folds, best first (by accuracy, then loss, then number), and those that are
 * lost; undefined as long as any evidence is missing.
 */
export function gather(
  trials: readonly number[],
  folds: number,
  epochsOf: (trial: number) => number,
  evidence: Evidence,
): { readonly standing: readonly Standing[]; readonly lost: readonly number[] } | undefined {
  const standing: Standing[] = [];
  const lost: number[] = [];
  for (const trial of trials) {
    const scores = Array.from({ length: folds }, (_, fold) => evidence(trial, fold, epochsOf(trial)));
    if (scores.includes(undefined)) return undefined;
    const known = scores.filter((score) => score !== 'lost' && score !== undefined);
    if (known.length < folds) lost.push(trial);
    else
      standing.push({
        trial,
        accuracy: meanOf(known.map(({ accuracy }) => accuracy)),
        loss: meanOf(known.map(({ loss }) => loss)),
        accuracies: known.map(({ accuracy }) => accuracy),
      });
  }
  return { standing: standing.sort(byStanding), lost };
}

const byStanding = (a: Standing, b: Standing): number =>
  b.accuracy - a.accuracy || a.loss - b.loss || a.trial - b.trial;

const meanOf = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;
