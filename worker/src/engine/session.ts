import type { AugmentSpec } from '@crossfold/shared/config/augment';
import type { TrainingSpec } from '@crossfold/shared/config/training';
import type { ModelPlan } from '@crossfold/shared/model/plan';
import type { SliceRange } from '../exchange/tree.ts';
import type { EngineState } from '../job/state.ts';

/** One job's data, as the engine thread sees it: shared memory, nothing is copied. */
export interface SessionData {
  /** One sample after another, as they lie in the store. */
  readonly pixels: SharedArrayBuffer;
  readonly sampleBytes: number;
  /** Class of each sample in the store. */
  readonly labels: Int32Array;
  /** Places in the store of the fold's training samples, in the order of the data set. */
  readonly train: Uint32Array;
  /** Places in the store of the samples to validate on. */
  readonly validation: Uint32Array;
}

export interface SessionOptions {
  readonly model: ModelPlan;
  readonly training: TrainingSpec;
  readonly keys: { readonly seed: number; readonly repeat: number; readonly fold: number };
  readonly data: SessionData;
  /** What the weights are before the first step; undefined: drawn at random. */
  readonly initialWeights?: Float32Array | undefined;
  /** How training pictures are varied; undefined: not at all. */
  readonly augment?: AugmentSpec | undefined;
}

/** The sum of the vectors of a node's slices. */
export interface NodeVector {
  readonly from: number;
  readonly to: number;
  readonly vector: Float32Array;
}

/** What a rank contributes to a step's sum. */
export interface Gradient {
  readonly nodes: NodeVector[];
  /** Time that getting the batch ready took, milliseconds. */
  readonly dataMs: number;
}

export interface StepFacts {
  /** Mean loss of the batch. */
  readonly loss: number;
  readonly correct: number;
  readonly samples: number;
}

/** What a session is about, known as soon as it is open. */
export interface SessionFacts {
  /** Numbers in a gradient vector: gradient, loss, counts, BatchNorm's sums. */
  readonly vectorLength: number;
  /** Numbers in a validation vector. */
  readonly validationLength: number;
  /** Upper bound of a state's encoded size. */
  readonly maxStateBytes: number;
}

/**
 * One job in the engine, which computes in a thread of its own; calls are carried out in the order they are made.
 * Vectors that are handed in or out change hands: the giver must not use them any more.
 */
export interface EngineSession extends SessionFacts {
  /** Class of each validation sample. */
  readonly validationLabels: Int32Array;
  /** Gradient sums of the complete subtrees that make up a range of slices of a step's batch. */
  gradient(
    at: { readonly epoch: number; readonly step: number; readonly update: number },
    slices: SliceRange,
  ): Promise<Gradient>;
  /** One update of the weights from the summed vector of all slices. */
  update(total: Float32Array, learningRate: number): Promise<StepFacts>;
  /** Outputs for the validation samples of a range of slices, as vectors to be summed over the group. */
  validate(slices: SliceRange): Promise<NodeVector[]>;
  /** Takes a summed validation vector apart. */
  readValidation(total: Float32Array): { outputs: Float32Array; digestsAgree: boolean };
  /** Loss, predicted class and score of each sample (places in the store), by the weights that are evaluated. */
  outputs(samples: Uint32Array): Promise<Float32Array>;
  /** What the net gives for samples (places in the store), [samples, outputs]: probabilities, as a rule. */
  netOutputs(samples: Uint32Array): Promise<Float32Array>;
  /** Back to the initial weights. */
  reset(): Promise<void>;
  load(state: EngineState): Promise<void>;
  state(): Promise<EngineState>;
  /** The weights that validation and result are of: their average over the updates where `training.average` says so. */
  evaluatedWeights(): Promise<Float32Array>;
  close(): Promise<void>;
}
