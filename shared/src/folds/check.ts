import { ExperimentFailedError } from '../errors.ts';

/** A fold, made or read back. */
export interface SplitIndices {
  readonly fold: number;
  readonly repeat?: number | undefined;
  readonly within?: number | undefined;
  readonly train: ArrayLike<number> & Iterable<number>;
  readonly validation: ArrayLike<number> & Iterable<number>;
}

export interface CheckOptions {
  /** Samples may be validated in no fold: the split came with the data. */
  readonly partial?: boolean;
  /** Name of each sample's group, where no fold may part one. */
  readonly groups?: readonly string[] | undefined;
}

/**
 * Makes sure that nothing leaks from training into validation:
 * - in every fold, each sample that the fold is about is on one side exactly once. A fold is about all samples; a fold
 *   that lies within another, about those which the other trains on, and about no sample that it validates on
 * - folds that belong together (of one repeat, or within one fold) validate no sample twice, and where there are several
 *   every one, unless `partial`
 * - no group is on both sides of a fold
 *
 * @throws ExperimentFailedError naming fold and sample: scores would count what was trained on
 */
export function checkFolds(folds: readonly SplitIndices[], samples: number, options: CheckOptions = {}): void {
  const outer = new Map(folds.filter(({ within }) => within === undefined).map((fold) => [fold.fold, fold]));
  const series = new Map<string, { readonly of: SplitIndices; readonly by: Int32Array; count: number }>();
  for (const fold of folds) {
    const { repeat = 0, within } = fold;
    const universe = universeOf(fold, outer, samples);
    checkSides(fold, universe, options.groups);
    const key = `${repeat}/${within ?? ''}`;
    const together = series.get(key) ?? { of: fold, by: new Int32Array(samples).fill(-1), count: 0 };
    series.set(key, together);
    together.count++;
    for (const sample of fold.validation) {
      const before = together.by[sample] ?? -1;
      if (before >= 0) throw leak(fold, sample, `is validated in fold ${before} as well`);
      together.by[sample] = fold.fold;
    }
  }
  if (options.partial === true) return;
  for (const { of, by, count } of series.values()) {
    const universe = universeOf(of, outer, samples);
    const never = by.findIndex((fold, sample) => fold < 0 && universe[sample] === 1);
    const { repeat = 0, within } = of;
    if (count > 1 && never >= 0)
      throw new ExperimentFailedError(
        `sample ${never} is validated in no fold of repeat ${repeat}${within === undefined ? '' : ` within fold ${within}`}`,
      );
  }
}

/** The samples that a fold is about, as 1 each. */
function universeOf(
  { fold, within }: SplitIndices,
  outer: ReadonlyMap<number, SplitIndices>,
  samples: number,
): Uint8Array {
  if (within === undefined) return new Uint8Array(samples).fill(1);
  const around = outer.get(within);
  if (around === undefined)
    throw new ExperimentFailedError(`fold ${fold} lies within fold ${within}, which is not there`);
  const universe = new Uint8Array(samples);
  for (const sample of around.train) universe[sample] = 1;
  return universe;
}

function checkSides(fold: SplitIndices, universe: Uint8Array, groups: readonly string[] | undefined): void {
  const { train, validation, within } = fold;
  if (train.length === 0 || validation.length === 0)
    throw new ExperimentFailedError(
      `fold ${fold.fold} has ${train.length} samples to train on, ${validation.length} to validate on`,
    );
  const seen = new Uint8Array(universe.length);
  const trainedGroups = new Set<string>();
  for (const side of [train, validation])
    for (const sample of side) {
      if (!(sample < universe.length)) throw leak(fold, sample, `is not one of the ${universe.length}`);
      if (universe[sample] !== 1)
        throw leak(fold, sample, `is validated in fold ${within}, which this one lies within`);
      if (seen[sample] !== 0)
        throw leak(fold, sample, side === train ? 'is trained on twice' : 'is in train and validation');
      seen[sample] = 1;
      const group = groups?.[sample];
      if (group === undefined) continue;
      if (side === train) trainedGroups.add(group);
      else if (trainedGroups.has(group))
        throw leak(fold, sample, `is validated, and others of its group ${JSON.stringify(group)} are trained on`);
    }
  const missing = universe.findIndex((about, sample) => about === 1 && seen[sample] === 0);
  if (missing >= 0) throw leak(fold, missing, 'is on neither side');
}

const leak = ({ fold, repeat = 0 }: SplitIndices, sample: number, what: string): ExperimentFailedError =>
  new ExperimentFailedError(`the split leaks: sample ${sample} ${what} (fold ${fold}, repeat ${repeat})`);
