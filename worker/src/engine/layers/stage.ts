import type { Parameter } from '@crossfold/shared/model/plan';
import type { Ops } from '../ops/ops.ts';

/** What a stage computes with, apart from its input and parameters. */
export interface Context<T> {
  readonly ops: Ops<T>;
  /** Samples in the batch, the first dimension of every input and output. */
  readonly samples: number;
  readonly device: 'cpu' | 'gpu';
  /** Training or evaluation: BatchNorm and dropout differ. */
  readonly training: boolean;
  /** A stage's mask, drawn anew for every step: for each element of its input 0 or what to multiply it by. */
  mask(stage: Stage): T;
}

/** A forward pass through a stage, with all that the way back needs. */
export interface Pass<T> {
  readonly x: T;
  readonly y: T;
  readonly parameters: readonly T[];
  /** Whatever else the stage keeps. */
  readonly saved?: readonly T[];
}

export interface Gradients<T> {
  /** By the input; undefined where it was not asked for. */
  readonly dx: T | undefined;
  /**
   * Of each parameter, in their order and shapes, summed over the samples. Where a parameter is not trainable: the
   * batch's statistic times the number of samples.
   */
  readonly parameters: readonly T[];
}

/**
 * One step of a net's computation: a layer, or the activation of a layer. Written once over `Ops`, forward and back, and
 * so the same when executed at once and as a graph. Shapes are without the samples' dimension.
 */
export interface Stage {
  readonly name: string;
  readonly parameters: readonly Parameter[];
  readonly inputShape: readonly number[];
  readonly outputShape: readonly number[];
  /** Set where training needs a mask of the input's shape: the share of elements that are dropped. */
  readonly dropRate?: number;
  /** Set where max pooling after this stage may take its gradients first: see `pooledStages`. */
  readonly poolable?: 'bias' | 'relu';
  forward<T>(context: Context<T>, x: T, parameters: readonly T[]): Pass<T>;
  backward<T>(context: Context<T>, dy: T, pass: Pass<T>, wantsDx: boolean): Gradients<T>;
}

/** The tensor at a place that the stage itself has filled. */
export function at<T>(tensors: readonly T[] | undefined, index: number): T {
  const tensor = tensors?.[index];
  if (tensor === undefined) throw new RangeError(`a stage has no tensor ${index}`);
  return tensor;
}
