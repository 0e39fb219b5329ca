import { z } from 'zod';

/** Whether every fold has the classes in the data set's proportions. */
const stratified = z.boolean().default(true);

export const KFoldSpec = z
  .strictObject({
    method: z.literal('kfold'),
    folds: z.int().min(2).max(10_000).default(5),
    stratified,
    /** Without it, folds are made of neighbours in the data set's order. */
    shuffle: z.boolean().default(true),
  })
  .readonly();
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

/** `evaluation` of an experiment file: how its samples are split. */
export const EvaluationSpec = z.discriminatedUnion('method', [KFoldSpec, HoldoutSpec]).prefault({ method: 'kfold' });
export type EvaluationSpec = z.infer<typeof EvaluationSpec>;
