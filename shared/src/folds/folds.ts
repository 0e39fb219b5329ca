import { z } from 'zod';
import type { EvaluationSpec } from '../config/evaluation.ts';
import { canonicalJson, sha256 } from '../data/digest.ts';
import { ExperimentFailedError } from '../errors.ts';
import { Digest } from '../jobs/records.ts';
import { keyedRandom } from '../rng.ts';
import { holdout } from './holdout.ts';
import { kFold } from './kfold.ts';

/** One split of the training samples; indices ascend and are the data set's own. */
export interface Fold {
  readonly fold: number;
  readonly repeat: number;
  readonly train: Uint32Array;
  readonly validation: Uint32Array;
}

/**
 * Splits an experiment's samples, once for all of its trials. The same for everyone: chance comes from (seed, repeat,
 * "split") alone.
 *
 * @param labels class of each training sample
 * @param classes names of the classes, for messages
 * @throws ConfigError where the samples cannot be split so
 */
export function makeFolds(
  evaluation: EvaluationSpec,
  labels: ArrayLike<number>,
  seed: number,
  classes: readonly string[] = [],
): Fold[] {
  const className = (label: number): string => JSON.stringify(classes[label] ?? String(label));
  const repeat = 0;
  const random = keyedRandom(seed, repeat, 'split');
  let folds: Fold[];
  switch (evaluation.method) {
    case 'kfold': {
      const foldOf = kFold(evaluation, labels, evaluation.shuffle ? random : undefined, className);
      folds = Array.from({ length: evaluation.folds }, (_, fold) => ({
        fold,
        repeat,
        ...part(foldOf, (of) => of === fold),
      }));
      break;
    }
    case 'holdout': {
      const held = holdout(evaluation, labels, random, className);
      folds = [{ fold: 0, repeat, ...part(held, (of) => of === 1) }];
      break;
    }
  }
  checkFolds(folds, labels.length);
  return folds;
}

function part(
  marks: Uint32Array | Uint8Array,
  isValidation: (mark: number) => boolean,
): Pick<Fold, 'train' | 'validation'> {
  const train: number[] = [];
  const validation: number[] = [];
  marks.forEach((mark, index) => {
    (isValidation(mark) ? validation : train).push(index);
  });
  return { train: Uint32Array.from(train), validation: Uint32Array.from(validation) };
}

/** A fold, made or read back. */
interface SplitIndices {
  readonly fold: number;
  readonly repeat?: number | undefined;
  readonly train: Uint32Array | readonly number[];
  readonly validation: Uint32Array | readonly number[];
}

/**
 * Makes sure that in every fold each sample is on one side exactly once, and that no sample is validated in two folds
 * of one repeat, or in none where there are several.
 *
 * @throws ExperimentFailedError naming fold and sample: scores would count what was trained on
 */
export function checkFolds(folds: readonly SplitIndices[], samples: number): void {
  const validatedIn = new Map<number, Int32Array>();
  for (const { fold, repeat = 0, train, validation } of folds) {
    const leak = (sample: number | undefined, what: string): ExperimentFailedError =>
      new ExperimentFailedError(`the split leaks: sample ${sample} ${what} (fold ${fold}, repeat ${repeat})`);
    if (train.length === 0 || validation.length === 0)
      throw new ExperimentFailedError(
        `fold ${fold} has ${train.length} samples to train on, ${validation.length} to validate on`,
      );
    const seen = new Uint8Array(samples);
    for (const side of [train, validation])
      for (const sample of side) {
        if (!(sample < samples)) throw leak(sample, `is not one of the ${samples}`);
        if (seen[sample] !== 0)
          throw leak(sample, side === train ? 'is trained on twice' : 'is in train and validation');
        seen[sample] = 1;
      }
    const missing = seen.indexOf(0);
    if (missing >= 0) throw leak(missing, 'is on neither side');
    const others = validatedIn.get(repeat) ?? new Int32Array(samples).fill(-1);
    validatedIn.set(repeat, others);
    for (const sample of validation) {
      if ((others[sample] ?? -1) >= 0) throw leak(sample, `is validated in fold ${others[sample]} as well`);
      others[sample] = fold;
    }
  }
  for (const [repeat, by] of validatedIn) {
    const several = folds.filter((f) => (f.repeat ?? 0) === repeat).length > 1;
    const never = by.indexOf(-1);
    if (several && never >= 0)
      throw new ExperimentFailedError(`sample ${never} is validated in no fold of repeat ${repeat}`);
  }
}

const Indices = z.array(z.int().min(0).max(0xffffffff)).readonly();

const FoldDocument = z
  .strictObject({
    fold: z.int().min(0),
    /** Left out where there is one repeat only. */
    repeat: z.int().min(0).optional(),
    train: Indices,
    validation: Indices,
  })
  .readonly();

/** `folds.json`. */
export const FoldsDocument = z
  .strictObject({ digest: Digest, folds: z.array(FoldDocument).min(1).readonly() })
  .readonly();
export type FoldsDocument = z.infer<typeof FoldsDocument>;

/**
 * The folds as they are written down. The digest is the SHA-256 of the canonical JSON (keys in order, no white space)
 * of `folds`; in Python: `sha256(json.dumps(d['folds'], sort_keys=True, separators=(',', ':')).encode()).hexdigest()`.
 */
export function foldsDocument(folds: readonly Fold[]): FoldsDocument {
  const repeated = folds.some(({ repeat }) => repeat > 0);
  const written = folds.map(({ fold, repeat, train, validation }) => ({
    fold,
    ...(repeated ? { repeat } : {}),
    train: Array.from(train),
    validation: Array.from(validation),
  }));
  return { digest: sha256(canonicalJson(written)), folds: written };
}
