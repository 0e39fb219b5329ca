import { z } from 'zod';

/** A value that a parameter may take: anything that the experiment's field may hold; `null` takes the field away. */
const Value = z.json();
const choices = z.array(Value).min(1).max(10_000).readonly();

const bounds = z
  .tuple([z.number(), z.number()])
  .readonly()
  .refine(([low, high]) => low < high, { message: 'must be [from, to], the smaller one first' });
const positiveBounds = bounds.refine(([low]) => low > 0, { message: 'must be above 0: it is drawn by its logarithm' });
const wholeBounds = bounds.refine((range) => range.every(Number.isSafeInteger), { message: 'must be whole numbers' });
const positiveWholeBounds = wholeBounds.refine(([low]) => low > 0, {
  message: 'must be above 0: it is drawn by its logarithm',
});

/**
 * What a parameter is searched in: a list of values, or a range to draw from.
 *
 *     [16, 32, 64]                       one of these; short for { choice: [16, 32, 64] }
 *     { uniform: [0.2, 0.5] }            any number from 0.2 to 0.5
 *     { logUniform: [0.0001, 0.01] }     any number; from 0.0001 to 0.001 as often as from 0.001 to 0.01
 *     { integer: [8, 64], step: 8 }      8, 16, ... 64; without step every whole number, both ends included
 *     { logInteger: [8, 512] }           a whole number; as often from 8 to 64 as from 64 to 512
 *
 * Numbers are drawn to six significant digits.
 */
export const Domain = z.union([
  choices,
  z.strictObject({ choice: choices }).readonly(),
  z.strictObject({ uniform: bounds }).readonly(),
  z.strictObject({ logUniform: positiveBounds }).readonly(),
  z.strictObject({ integer: wholeBounds, step: z.int().min(1).default(1) }).readonly(),
  z.strictObject({ logInteger: positiveWholeBounds }).readonly(),
]);
export type Domain = z.infer<typeof Domain>;

/**
 * Dotted paths of fields of the experiment, and what each is searched in, e.g. `training.optimizer.learningRate`,
 * `model.layers.0.filters` (entries of lists count from 0; a preset's layers can be searched like any other's),
 * `augment`, `seed`, and of pictures `dataset.image` with its `height`, `width`, `channels`, `fit` and `kernel`. What all
 * trials share, the samples and how they are split, cannot be searched.
 */
const parameters = z
  .record(
    z
      .string()
      .max(200)
      .regex(/^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$/, 'must be a dotted path, as in training.optimizer.learningRate'),
    Domain,
  )
  .readonly()
  .refine((paths) => Object.keys(paths).length > 0, { message: 'must name at least one field to search' });

/** Configurations to draw. Where all parameters are lists, it may be left out: every combination is tried. */
const trials = z.int().min(1).max(10_000);

/** Every combination of the lists' values; the last parameter varies fastest. */
export const GridSpec = z.strictObject({ method: z.literal('grid'), parameters }).readonly();

/** Configurations drawn at random, no two alike. */
export const RandomSpec = z.strictObject({ method: z.literal('random'), trials, parameters }).readonly();

/**
 * Successive halving: all configurations are trained for a few epochs, the best of them for `factor` times as many, and
 * so on; the last few for `training.epochs`. A rung is decided when all of it is there, so that the outcome never
 * depends on who was faster; whoever goes on continues from the weights that it has.
 */
export const HalvingSpec = z
  .strictObject({
    method: z.literal('halving'),
    trials: trials.exactOptional(),
    parameters,
    /** One in so many goes on from each rung. */
    factor: z.int().min(2).max(100).default(2),
    /**
     * Epochs of the first rung are at least this many; left out, a quarter of `training.epochs`. Fewer cost less, and
     * overlook configurations that begin slowly.
     */
    minEpochs: z.int().min(1).max(100_000).exactOptional(),
  })
  .readonly();
export type HalvingSpec = z.infer<typeof HalvingSpec>;

/**
 * Racing: all configurations are trained on a few folds, then fold by fold; after each, those that are behind the leader
 * on the same folds by a paired test stop. A round is decided when all of it is there.
 */
export const RacingSpec = z
  .strictObject({
    method: z.literal('racing'),
    trials: trials.exactOptional(),
    parameters,
    /** Folds that everyone is trained on before anyone is stopped. */
    minFolds: z.int().min(2).max(10_000).default(2),
    /** How sure each comparison has to be, in every round anew, before it stops a configuration. */
    confidence: z.number().gt(0.5).lt(1).default(0.95),
  })
  .readonly();
export type RacingSpec = z.infer<typeof RacingSpec>;

/** `search` of an experiment file: the configurations to try, and how. Without it there is one. */
export const SearchSpec = z.discriminatedUnion('method', [GridSpec, RandomSpec, HalvingSpec, RacingSpec]);
export type SearchSpec = z.infer<typeof SearchSpec>;
export type SearchMethod = SearchSpec['method'];

/**
 * What a method spends on configurations that do badly: as much as on all, less by a known amount, or less by an amount
 * that turns out as it goes.
 */
export const searchCosts: Readonly<Record<SearchMethod, 'all' | 'less' | 'at most'>> = {
  grid: 'all',
  random: 'all',
  halving: 'less',
  racing: 'at most',
};

/** The values of a domain where it is a list; undefined where it is a range. */
export function listed(domain: Domain): readonly z.core.util.JSONType[] | undefined {
  if (Array.isArray(domain)) return domain as readonly z.core.util.JSONType[];
  return 'choice' in domain ? domain.choice : undefined;
}
