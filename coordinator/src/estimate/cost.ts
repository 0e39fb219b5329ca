import type { Experiment } from '@crossfold/shared/config/experiment';
import type { ModelPlan } from '@crossfold/shared/model/plan';
import { stepsPerEpoch } from '@crossfold/worker/data/batches';
import { createOptimizer } from '@crossfold/worker/engine/optimizers';

/** What a job of a trial comes to on one fold, told from its numbers alone. */
export interface JobCost {
  readonly epochs: number;
  readonly stepsPerEpoch: number;
  /** Multiplications and additions of the whole training, validation included. */
  readonly flops: number;
}

/**
 * Seconds from a job's end to the next one's beginning: results are stored, a seat is given out and pulled. Measured on
 * loopback with jobs of a tenth of a second (46 ms a job); over a network, or on a busy machine, it is more.
 */
export const secondsBetweenJobs = 0.05;

/** A backward pass computes two products for each one of the forward pass. */
const trainedOverForward = 3;

/** Multiplications and additions of one sample's forward pass, those of convolutions and dense layers: the rest is small. */
export function forwardFlops({ layers }: ModelPlan): number {
  return layers.reduce((sum, { spec, outputShape, parameters }) => {
    const [height = 1, width = 1] = spec.type === 'dense' ? [] : outputShape;
    const kernels = parameters.filter(({ shape }) => shape.length > 1);
    // Each number of a kernel is multiplied once at every place of the output; of a depthwise one as well.
    const products = kernels.reduce((n, { length }) => n + length, 0);
    return sum + 2 * products * height * width;
  }, 0);
}

export function jobCost(
  { training }: Experiment,
  plan: ModelPlan,
  fold: { readonly train: ArrayLike<number>; readonly validation: ArrayLike<number> },
): JobCost {
  const steps = stepsPerEpoch(fold.train.length, training);
  const trained = training.stepsPerEpoch === undefined ? fold.train.length : steps * training.batchSize;
  const validated = Math.min(
    fold.validation.length,
    (training.validationSteps ?? Number.POSITIVE_INFINITY) * training.batchSize,
  );
  const perEpoch = (trainedOverForward * trained + validated) * forwardFlops(plan);
  return { epochs: training.epochs, stepsPerEpoch: steps, flops: perEpoch * training.epochs };
}

/**
 * A process with TensorFlow loaded and a small net trained, bytes; a peak of 523 to 539 MiB was measured (docs/performance.md).
 * Some 300 MiB of it are the library's own pages, which workers of one machine share.
 */
const processBytes = 540 * 2 ** 20;
/** Vectors like the weights that a worker holds at most: weights, slices' sums, kept ones, a checkpoint under way. */
const vectors = 8;
/** What layers give is there once for the forward pass, once for its gradient, and once as scratch of the kernels. */
const copies = 3;

/**
 * Memory of a worker that trains it, bytes; roughly, and rather too much.
 *
 * @param samples training samples of the data set, which a worker holds decoded
 */
export function workerBytes({ training }: Experiment, plan: ModelPlan, samples: number): number {
  const slice = Math.ceil(training.batchSize / training.microBatches);
  const activations = plan.layers.reduce((sum, { outputShape }) => sum + size(outputShape), size(plan.inputShape));
  const state = 4 * plan.weightCount * (vectors + createOptimizer(training.optimizer).slots);
  return processBytes + samples * size(plan.inputShape) + state + 4 * copies * slice * activations;
}

const size = (shape: readonly number[]): number => shape.reduce((product, n) => product * n, 1);
