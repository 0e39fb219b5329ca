import { z } from 'zod';
import { ImageSpec } from './config/dataset.ts';
import { travels } from './config/exchange.ts';
import { Digest, Token } from './jobs/records.ts';

const count = z.int().min(0);
const ratio = z.number().min(0).max(1);

/** How a model does on samples that it was not trained on. A score whose denominator is zero is 0. */
export const Scores = z
  .strictObject({
    loss: z.number(),
    accuracy: ratio,
    /** `confusionMatrix[true][predicted]`, in counts. */
    confusionMatrix: z.array(z.array(count).readonly()).readonly(),
    /** Of each class. */
    precision: z.array(ratio).readonly(),
    recall: z.array(ratio).readonly(),
    f1: z.array(ratio).readonly(),
    /** Where there are two classes: area under the ROC curve. */
    rocAuc: ratio.exactOptional(),
  })
  .readonly();
export type Scores = z.infer<typeof Scores>;

/** How often predictions are right, by how sure they are. */
export const Reliability = z
  .strictObject({
    /** Expected calibration error: mean distance of confidence and accuracy over the bins, weighted by their samples. */
    error: ratio,
    /** Equally wide ranges of the predicted class's probability that have samples in them. */
    bins: z
      .array(
        z
          .strictObject({
            from: ratio,
            to: ratio,
            samples: count,
            /** Mean probability of the predicted class. */
            confidence: z.number(),
            accuracy: ratio,
          })
          .readonly(),
      )
      .readonly(),
  })
  .readonly();
export type Reliability = z.infer<typeof Reliability>;

/** A sample that was taken for another class by a net that was not trained on it. */
export const Mistake = z
  .strictObject({
    /** Index in the test set, or in the data set, and the file it is of, if any. */
    sample: count,
    name: z.string().max(4096).exactOptional(),
    label: count,
    predicted: count,
    /** Probability of the predicted class. */
    confidence: z.number(),
    loss: z.number(),
    /** The picture as the net saw it, small: a `data:` address. */
    picture: z
      .string()
      .regex(/^data:image\/(png|jpeg);base64,[A-Za-z0-9+/=]+$/)
      .max(100_000),
  })
  .readonly();
export type Mistake = z.infer<typeof Mistake>;

/** A validation sample that was taken for another class by the net of its fold, which was not trained on it. */
export const OutOfFoldMistake = Mistake.unwrap().extend({ repeat: count, fold: count }).readonly();

/** What computed: bits are promised within one of these, closeness across them. */
export const EngineIdentity = z
  .strictObject({
    backend: z.enum(['tensorflow', 'wasm']),
    /** libtensorflow's, or the WebAssembly backend's. */
    version: z.string().max(100),
    /** Within and between operations. */
    threads: z.int().min(1),
    /** `cpu`, or the GPU's name. */
    device: z.string().max(200),
    /** CPU architecture and the instruction family that kernels choose by, e.g. `x64 avx512`. */
    instructions: z.string().max(100),
    oneDnn: z.boolean(),
  })
  .readonly();
export type EngineIdentity = z.infer<typeof EngineIdentity>;

export const FoldHistory = z
  .strictObject({
    loss: z.array(z.number()).readonly(),
    accuracy: z.array(z.number()).readonly(),
    valLoss: z.array(z.number()).readonly(),
    valAccuracy: z.array(z.number()).readonly(),
  })
  .readonly();

/** Nested: the outer fold whose training samples this inner one splits. */
const within = count.exactOptional();

/** A fold that was trained to its end. */
export const CompletedFold = z
  .strictObject({
    fold: count,
    repeat: count,
    within,
    status: z.literal('completed'),
    epochs: count,
    steps: count,
    trainSamples: count,
    validationSamples: count,
    history: FoldHistory,
    /** Wall time of each epoch. */
    epochSeconds: z.array(z.number()).readonly(),
    validation: Scores,
    /** From 0: the epoch that `validation`, `weightsSha256` and the model are of. */
    bestEpoch: count,
    /** Over the little-endian float32 weights in model order, BatchNorm's moving statistics included. */
    weightsSha256: Digest,
    /** Summed from the counts in the reduced vectors. */
    samplesSeen: count,
    engine: EngineIdentity,
    exchange: z.enum(travels),
    /** Everyone who had a part in it, in order of joining. */
    workers: z.array(Token).readonly(),
    generations: count,
    attempts: count,
    seconds: z.number().min(0),
    imagesPerSecond: z.number().min(0),
  })
  .readonly();
export type CompletedFold = z.infer<typeof CompletedFold>;

/** A training on all training samples, which leaves none to validate on. */
export const Refit = CompletedFold.unwrap()
  .pick({
    epochs: true,
    steps: true,
    trainSamples: true,
    epochSeconds: true,
    weightsSha256: true,
    samplesSeen: true,
    engine: true,
    exchange: true,
    workers: true,
    generations: true,
    attempts: true,
    seconds: true,
    imagesPerSecond: true,
  })
  .extend({ history: FoldHistory.unwrap().pick({ loss: true, accuracy: true }).readonly() })
  .readonly();
export type Refit = z.infer<typeof Refit>;

/** A fold that was not trained to its end; with what it had come to by then, where it had come to anything. */
export const EndedFold = z
  .strictObject({
    fold: count,
    repeat: count,
    within,
    /** `running` as of trials: it waits for the search to have it go on. */
    status: z.enum(['failed', 'pruned', 'cancelled', 'running']),
    epochs: count.exactOptional(),
    history: FoldHistory.exactOptional(),
    epochSeconds: z.array(z.number()).readonly().exactOptional(),
    validation: Scores.exactOptional(),
    trainSamples: count,
    validationSamples: count,
    workers: z.array(Token).readonly(),
    generations: count,
    attempts: count,
    error: z.string().max(4000).exactOptional(),
  })
  .readonly();

export type EndedFold = z.infer<typeof EndedFold>;

/** A fold's entry in the results. */
export const FoldResult = z.discriminatedUnion('status', [CompletedFold, EndedFold]);
export type FoldResult = z.infer<typeof FoldResult>;

/** Of one score over the folds that completed. */
export const Summary = z
  .strictObject({
    mean: z.number(),
    /** Sample standard deviation (n - 1); 0 for a single fold. */
    std: z.number().min(0),
    min: z.number(),
    max: z.number(),
    /**
     * 95 % confidence interval of the mean, corrected for overlapping training sets; [] for a single fold, and where all
     * folds came out equal.
     */
    ci95: z.array(z.number()).readonly(),
  })
  .readonly();
export type Summary = z.infer<typeof Summary>;

/** The best trial against another, on the folds that both have (corrected resampled t-test). */
export const Comparison = z
  .strictObject({
    /** Folds that both were trained on: to the end, or as far as `at` says. */
    folds: z.int().min(2),
    /** How much higher the best trial's mean accuracy is on these. */
    difference: z.number(),
    /** 95 % confidence interval of the difference; [] where it is the same on every fold. */
    ci95: z.array(z.number()).readonly(),
    /** Of the hypothesis that there is no difference; two-sided. */
    p: ratio,
    /** The same, adjusted for the number of trials that the best is compared with (Benjamini and Hochberg). */
    pAdjusted: ratio,
    /**
     * Where the search stopped the other before it had two whole folds: both are compared as they were after its last
     * epoch, from 1, with these mean accuracies. A training that had ended by itself counts as it ended.
     */
    at: z
      .strictObject({ epoch: z.int().min(1), best: z.number(), trial: z.number() })
      .readonly()
      .exactOptional(),
  })
  .readonly();
export type Comparison = z.infer<typeof Comparison>;

export const TrialResult = z
  .strictObject({
    trial: count,
    /** What distinguishes the trial, by dotted path. */
    parameters: z.record(z.string(), z.unknown()).readonly(),
    /** `running` is seen on the page of an experiment that is under way alone: results.json is written when all is over. */
    status: z.enum(['completed', 'failed', 'pruned', 'cancelled', 'running']),
    folds: z.array(FoldResult).readonly(),
    /** Numbers in the net, moving statistics included; left out where there could be no such net. */
    weights: count.exactOptional(),
    /** Of the best trial with this one; left out for the best itself, and where they share fewer than two folds. */
    comparison: Comparison.exactOptional(),
    /** Over the folds that have scores, nested the inner ones; null where none has. */
    summary: z.strictObject({ accuracy: Summary, loss: Summary }).readonly().nullable(),
  })
  .readonly();
export type TrialResult = z.infer<typeof TrialResult>;

/** One decision of a search; see docs/search.md. */
export const SearchRound = z
  .strictObject({
    /** Nested: the outer fold within which it was made. */
    within,
    /** It was made on the first so many folds, after so many epochs. */
    folds: count,
    epochs: count,
    /** Of the trials that were still in, best first. */
    scores: z.array(z.strictObject({ trial: count, accuracy: z.number(), loss: z.number() }).readonly()).readonly(),
    dropped: z
      .array(
        z
          .strictObject({
            trial: count,
            /** `lost`: a fold of it failed, or was cancelled. */
            reason: z.enum(['behind', 'lost']),
            /** The trial that it was compared with, and by how much its mean accuracy was lower. */
            versus: count.exactOptional(),
            behind: z.number().exactOptional(),
            /** Of a paired test, where one was made. */
            pValue: ratio.exactOptional(),
          })
          .readonly(),
      )
      .readonly(),
  })
  .readonly();
export type SearchRound = z.infer<typeof SearchRound>;

/** How a search went. */
export const SearchResult = z
  .strictObject({
    method: z.string(),
    /** Epochs trained, over all trials and folds, and how many it would have been without stopping anyone. */
    foldEpochs: count,
    exhaustiveFoldEpochs: count,
    rounds: z.array(SearchRound).readonly(),
  })
  .readonly();
export type SearchResult = z.infer<typeof SearchResult>;

/**
 * Nested: what the whole procedure, search included, is worth: in each outer fold the configuration that was found
 * within its training samples, scored on its validation samples.
 */
export const NestedResult = z
  .strictObject({
    outer: z
      .array(z.strictObject({ fold: count, trial: count, accuracy: ratio, loss: z.number() }).readonly())
      .readonly(),
    /** Null where no outer fold has a score. */
    accuracy: Summary.nullable(),
    loss: Summary.nullable(),
  })
  .readonly();
export type NestedResult = z.infer<typeof NestedResult>;

/** The net that an experiment was asked to leave in the end, where it is not that of a fold. */
export const Final = z.discriminatedUnion('of', [
  Refit.unwrap()
    .extend({ of: z.literal('refit'), trial: count })
    .readonly(),
  z
    .strictObject({
      of: z.literal('ensemble'),
      trial: count,
      /** The folds whose nets are averaged. */
      members: z.array(z.strictObject({ repeat: count, fold: count, weightsSha256: Digest }).readonly()).readonly(),
    })
    .readonly(),
]);
export type Final = z.infer<typeof Final>;

/** `results.json`. */
export const Results = z
  .strictObject({
    schema: z.literal(1),
    id: Token,
    name: z.string(),
    status: z.enum(['completed', 'failed', 'cancelled']),
    seed: z.int().min(0),
    /** When it was submitted, ISO 8601 in UTC. */
    submittedAt: z.iso.datetime(),
    /** From then to the end. */
    wallSeconds: z.number().min(0),
    /** Version of crossfold. */
    software: z.string().max(100),
    dataset: z
      .strictObject({
        name: z.string(),
        /** Of the manifest; where a search has the pictures in several sizes, of that of the first. */
        digest: Digest,
        /** Where it has: the manifest of each size. */
        sizes: z
          .array(z.strictObject({ image: ImageSpec, digest: Digest }).readonly())
          .readonly()
          .exactOptional(),
        samples: count,
        classes: z.array(z.string()).readonly(),
        /** Pictures that could not be used and were left out, as `dataset.onError: skip` allows. */
        skipped: z.int().min(1).exactOptional(),
      })
      .readonly(),
    /** How the samples were split; the digest is that of `folds.json`. */
    split: z
      .strictObject({
        digest: Digest,
        method: z.string(),
        folds: z.int().min(1),
        repeats: z.int().min(1),
        /** There where all repeats have the same split. */
        resplit: z.literal(false).exactOptional(),
      })
      .readonly(),
    /** Null where nothing was computed. */
    engine: EngineIdentity.nullable(),
    trials: z.array(TrialResult).readonly(),
    /** Null where no trial completed. */
    best: z
      .strictObject({
        trial: count,
        by: z.literal('accuracy'),
        /** Completed trials that cannot be told apart from it: their `pAdjusted` is 0.05 or more. */
        undecided: z.array(count).readonly(),
        /** The smallest net whose mean accuracy is within one standard error of the best; often the best itself. */
        oneStandardError: count,
      })
      .readonly()
      .nullable(),
    /**
     * Where there is no test set: what the nets of the best trial's folds tell of their validation samples, beyond scores;
     * nested, those that were found. A sample counts once a repeat.
     */
    outOfFold: z
      .strictObject({
        samples: count,
        reliability: Reliability,
        /** The most confident mistakes, those first, each sample once. */
        mistakes: z.array(OutOfFoldMistake).max(100).readonly(),
      })
      .readonly()
      .exactOptional(),
    /** Where there was a search. */
    search: SearchResult.exactOptional(),
    /** Where the evaluation was nested. */
    nested: NestedResult.exactOptional(),
    /** What was made of the best trial in the end, where that was asked for. */
    final: Final.exactOptional(),
    /** Scores on the held-out test set, where the data set has one. */
    test: Scores.unwrap()
      .extend({
        of: z.enum(['fold', 'refit', 'ensemble']),
        trial: count,
        /** Where it is the model of a fold. */
        fold: count.exactOptional(),
        repeat: count.exactOptional(),
        samples: count,
        /** How many nets of this experiment were scored on it, this one included; more than one makes it less of a test. */
        looks: z.int().min(1).exactOptional(),
        reliability: Reliability.exactOptional(),
        /** The most confident mistakes, those first. */
        mistakes: z.array(Mistake).max(100).readonly().exactOptional(),
      })
      .readonly()
      .exactOptional(),
  })
  .readonly();
export type Results = z.infer<typeof Results>;
