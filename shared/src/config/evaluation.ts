import { z } from 'zod';

/**
 * Whether every fold has the classes in the data set's proportions. A class with fewer samples than k-fold has folds is
 * missing from some of them, which is said as the experiment begins; folds that no class has enough samples for are
 * refused.
 */
const stratified = z.boolean().default(true);
const folds = (count: number, most = 10_000) => z.int().min(2).max(most).default(count);
/** A column of the table that the data set comes with, by its heading. */
const column = z.string().min(1).max(200);

const kFoldSpec = (count: number) =>
  z
    .strictObject({
      method: z.literal('kfold'),
      folds: folds(count),
      stratified,
      /** Without it, folds are made of neighbours in the data set's order. */
      shuffle: z.boolean().default(true),
    })
    .readonly();
export const KFoldSpec = kFoldSpec(5);
export type KFoldSpec = z.infer<typeof KFoldSpec>;

export const HoldoutSpec = z
  .strictObject({
    method: z.literal('holdout'),
    /** Share of the samples to validate on. */
    validation: z.number().gt(0).lt(1).default(0.2),
    stratified,
  })
  .readonly();
export type HoldoutSpec = z.infer<typeof HoldoutSpec>;

/**
 * What samples have in common that no fold may part (a patient, a scene, a recording): a value in the data set's table,
 * or the name of the folder that a picture lies in (1), that this one lies in (2), and so on. Samples are of one group
 * wherever the names are equal, whatever their classes.
 */
export const GroupBy = z.union([
  z.strictObject({ column }).readonly(),
  z.strictObject({ folder: z.int().min(1).max(32) }).readonly(),
]);
export type GroupBy = z.infer<typeof GroupBy>;

const groupKFoldSpec = (count: number) =>
  z
    .strictObject({
      method: z.literal('group-kfold'),
      /** At most 100: each group is tried in every fold, against all others. */
      folds: folds(count, 100),
      groupBy: GroupBy,
      /** Folds as alike in their classes as whole groups allow; otherwise as alike in size. */
      stratified,
      /** Which of several equally good ways to deal the groups out is taken is left to chance. */
      shuffle: z.boolean().default(true),
    })
    .readonly();
export const GroupKFoldSpec = groupKFoldSpec(5);
export type GroupKFoldSpec = z.infer<typeof GroupKFoldSpec>;

export const RepeatedKFoldSpec = z
  .strictObject({
    method: z.literal('repeated-kfold'),
    folds: folds(5),
    repeats: z.int().min(2).max(1000).default(3),
    stratified,
    /**
     * Whether every repeat splits anew. If not, repeats differ in their initial weights and in the order of samples
     * alone, so that what these contribute to the spread is told apart from what the split does.
     */
    resplit: z.boolean().default(true),
  })
  .readonly();
export type RepeatedKFoldSpec = z.infer<typeof RepeatedKFoldSpec>;

export const LeaveOneOutSpec = z.strictObject({ method: z.literal('leave-one-out') }).readonly();

/**
 * A split that comes with the data: its own train and validation parts or, by `column`, the number of the fold that each
 * sample is validated in (-1 or nothing: it is always trained on).
 */
export const PredefinedSpec = z
  .strictObject({ method: z.literal('predefined'), column: column.exactOptional() })
  .readonly();
export type PredefinedSpec = z.infer<typeof PredefinedSpec>;

/**
 * Searches within each outer fold's training samples, by the inner split of these, and scores the configuration that
 * was found on the outer fold's validation samples, which the search has never seen.
 */
export const NestedSpec = z
  .strictObject({
    method: z.literal('nested'),
    outer: z.discriminatedUnion('method', [kFoldSpec(5), groupKFoldSpec(5)]).prefault({ method: 'kfold' }),
    inner: z.discriminatedUnion('method', [kFoldSpec(3), HoldoutSpec, groupKFoldSpec(3)]).prefault({ method: 'kfold' }),
  })
  .readonly();
export type NestedSpec = z.infer<typeof NestedSpec>;

/** `evaluation` of an experiment file: how its samples are split. */
export const EvaluationSpec = z
  .discriminatedUnion('method', [
    KFoldSpec,
    HoldoutSpec,
    GroupKFoldSpec,
    RepeatedKFoldSpec,
    LeaveOneOutSpec,
    PredefinedSpec,
    NestedSpec,
  ])
  .prefault({ method: 'kfold' });
export type EvaluationSpec = z.infer<typeof EvaluationSpec>;
