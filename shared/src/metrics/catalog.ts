/**
 * Every metric of Crossfold, each declared once: what exposes, records, draws or checks metrics goes by this list.
 * Names follow Prometheus' conventions: base units (seconds, bytes, ratios from 0 to 1), `_total` for counters.
 */

import { attemptKinds, messageKinds } from '../border.ts';
import { transports } from '../config/exchange.ts';

/** A label's values: these, or as many as there are things of a kind. */
export type LabelValues = readonly string[] | { readonly oneFor: string };

/** Services that expose a metric. */
export type MetricsService = 'coordinator' | 'worker';

export interface Declaration {
  readonly kind: 'counter' | 'gauge' | 'histogram';
  readonly name: `crossfold_${string}`;
  readonly help: string;
  readonly unit: 'seconds' | 'bytes' | 'ratio' | 'count' | 'flag';
  readonly labels: Readonly<Record<string, LabelValues>>;
  readonly services: readonly MetricsService[];
  /** Upper bounds of a histogram's buckets. */
  readonly buckets?: readonly number[];
}

const coordinator = ['coordinator'] as const;
const worker = ['worker'] as const;
const both = ['coordinator', 'worker'] as const;

/** Experiments go from the metrics a while after they are over, and with them all that is labelled with them. */
const experiment = { oneFor: 'experiment that runs or has lately been over' } as const;
/** Of an experiment with more than 1000 folds: of the 500 best trials. */
const trial = { oneFor: 'trial of such an experiment' } as const;
/** Of an experiment with more than 1000 folds: of the 50 best trials, and what runs. `3`, or from the second repeat on `r1.3`. */
const fold = { oneFor: 'fold of such a trial' } as const;
const jobStates = ['queued', 'forming', 'running', 'paused', 'completed', 'failed', 'cancelled', 'pruned'] as const;
const ofExperiment = { experiment } as const;
const ofTrial = { experiment, trial } as const;
const ofFold = { experiment, trial, fold } as const;
const ofSplit = { experiment, trial, fold, split: ['train', 'validation'] } as const;

/** 1 ms to about two minutes: a step of a small net on a GPU, of a large one on a CPU. */
const stepBuckets = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120] as const;

export const catalog = {
  buildInfo: {
    kind: 'gauge',
    name: 'crossfold_build_info',
    help: 'Always 1; the labels say what runs: version of Crossfold, of Node, of TensorFlow, and the device it computes on (empty for a coordinator).',
    unit: 'flag',
    labels: {
      service: both,
      version: { oneFor: 'process' },
      node: { oneFor: 'process' },
      tensorflow: { oneFor: 'process' },
      device: { oneFor: 'process' },
    },
    services: both,
  },
  brokerConnected: {
    kind: 'gauge',
    name: 'crossfold_broker_connected',
    help: '1 while the process is connected to the broker.',
    unit: 'flag',
    labels: {},
    services: both,
  },
  brokerReconnects: {
    kind: 'counter',
    name: 'crossfold_broker_reconnects_total',
    help: 'Times that the process has lost the broker and found it again.',
    unit: 'count',
    labels: {},
    services: both,
  },
  generationChanges: {
    kind: 'counter',
    name: 'crossfold_generation_changes_total',
    help: 'Generations opened or closed, counted once each by whoever changed the record. started: a first or new group; joined: a member more; returned: a silent member came back before anybody took its place; lost: members silent; left: a member was asked to end; narrowed: a member gave its seat up to another job; reopened: the broker failed a member, and all began anew; failed: an attempt threw.',
    unit: 'count',
    labels: { reason: ['started', 'joined', 'returned', 'lost', 'left', 'narrowed', 'reopened', 'failed'] },
    services: both,
  },
  retries: {
    kind: 'counter',
    name: 'crossfold_retries_total',
    help: 'Things done again. job: given back to the queue after an attempt; block: part of a sum sent again because a peer lacked it; request: asked of the broker again.',
    unit: 'count',
    labels: { what: ['job', 'block', 'request'] },
    services: both,
  },
  waiting: {
    kind: 'gauge',
    name: 'crossfold_waiting_seconds',
    help: 'How long the process has waited, for whom: a worker by its name, or what it is in words (which have spaces in them). Absent while it does not wait.',
    unit: 'seconds',
    labels: { for: { oneFor: 'worker waited for, and kind of thing' } },
    services: both,
  },
  badMessages: {
    kind: 'counter',
    name: 'crossfold_bad_messages_total',
    help: 'Messages dropped because they are not what they should be: too large, not of their schema, or of somebody else. The first of each kind is named in the log.',
    unit: 'count',
    labels: { kind: messageKinds },
    services: both,
  },
  refused: {
    kind: 'counter',
    name: 'crossfold_refused_total',
    help: 'Attempts refused. peer: a connection to a worker that does not prove to be of its group; http: a request that would change something, or is none; broker: what the broker does not let this process do, or as whom it does not let it in; login: somebody whom the broker did not let in, from the leading coordinator, where CROSSFOLD_BROKER_MONITOR names its servers.',
    unit: 'count',
    labels: { kind: attemptKinds },
    services: both,
  },

  leader: {
    kind: 'gauge',
    name: 'crossfold_leader',
    help: '1 where this coordinator leads. Only the one that leads exposes experiments, jobs and workers.',
    unit: 'flag',
    labels: {},
    services: coordinator,
  },
  jobs: {
    kind: 'gauge',
    name: 'crossfold_jobs',
    help: 'Jobs (one trial on one fold) by state.',
    unit: 'count',
    labels: { experiment, state: jobStates },
    services: coordinator,
  },
  workers: {
    kind: 'gauge',
    name: 'crossfold_workers',
    help: 'Workers that give signs of life, by state.',
    unit: 'count',
    labels: { state: ['idle', 'busy', 'draining', 'aside'] },
    services: coordinator,
  },
  workerInfo: {
    kind: 'gauge',
    name: 'crossfold_worker_info',
    help: 'Always 1; the labels say what a live worker does: its state, and the experiment, trial and fold of its job (empty where it has none).',
    unit: 'flag',
    labels: {
      worker: { oneFor: 'live worker' },
      state: ['idle', 'busy', 'draining', 'aside'],
      experiment,
      trial,
      fold,
    },
    services: coordinator,
  },
  experimentInfo: {
    kind: 'gauge',
    name: 'crossfold_experiment_info',
    help: 'Always 1; the labels say how an experiment is called and how it stands.',
    unit: 'flag',
    labels: {
      experiment,
      name: { oneFor: 'experiment' },
      state: ['submitted', 'running', 'completed', 'failed', 'cancelled'],
    },
    services: coordinator,
  },
  experimentCreated: {
    kind: 'gauge',
    name: 'crossfold_experiment_created_timestamp_seconds',
    help: 'When an experiment was submitted, seconds since 1970: newer ones have more.',
    unit: 'seconds',
    labels: ofExperiment,
    services: coordinator,
  },
  experimentProgress: {
    kind: 'gauge',
    name: 'crossfold_experiment_progress_ratio',
    help: 'Share of an experiment that is done: the mean over its jobs of the share of their epochs.',
    unit: 'ratio',
    labels: ofExperiment,
    services: coordinator,
  },
  experimentElapsed: {
    kind: 'gauge',
    name: 'crossfold_experiment_elapsed_seconds',
    help: 'Time since the experiment began, up to its end.',
    unit: 'seconds',
    labels: ofExperiment,
    services: coordinator,
  },
  experimentRemaining: {
    kind: 'gauge',
    name: 'crossfold_experiment_remaining_seconds',
    help: 'Time that a running experiment needs still if it goes on as fast as it has. Absent before there is anything to go by.',
    unit: 'seconds',
    labels: ofExperiment,
    services: coordinator,
  },
  trialInfo: {
    kind: 'gauge',
    name: 'crossfold_trial_info',
    help: 'Always 1; the labels say which parameters a trial has.',
    unit: 'flag',
    labels: { experiment, trial, parameters: { oneFor: 'trial' } },
    services: coordinator,
  },
  trialParameter: {
    kind: 'gauge',
    name: 'crossfold_trial_parameter',
    help: "The value of a trial's numeric parameter.",
    unit: 'count',
    labels: { experiment, trial, parameter: { oneFor: 'parameter that is searched' } },
    services: coordinator,
  },
  trialMean: {
    kind: 'gauge',
    name: 'crossfold_trial_accuracy_mean_ratio',
    help: 'Mean over the folds of a trial of their validation accuracy: the final one of finished folds, the latest of running ones. Of a trial that has neither, of its pruned folds, as they were left.',
    unit: 'ratio',
    labels: ofTrial,
    services: coordinator,
  },
  trialStddev: {
    kind: 'gauge',
    name: 'crossfold_trial_accuracy_stddev_ratio',
    help: 'Sample standard deviation (n-1) over the same folds as the mean; 0 for a single one.',
    unit: 'ratio',
    labels: ofTrial,
    services: coordinator,
  },
  trialFolds: {
    kind: 'gauge',
    name: 'crossfold_trial_folds',
    help: 'Folds of a trial by the state of their job.',
    unit: 'count',
    labels: { experiment, trial, state: jobStates },
    services: coordinator,
  },
  foldState: {
    kind: 'gauge',
    name: 'crossfold_fold_state',
    help: "Always 1; the label says the state of a fold's job.",
    unit: 'flag',
    labels: { experiment, trial, fold, state: jobStates },
    services: coordinator,
  },
  foldProgress: {
    kind: 'gauge',
    name: 'crossfold_fold_progress_ratio',
    help: "Share of a fold's epochs that is done; 1 once its job is over.",
    unit: 'ratio',
    labels: ofFold,
    services: coordinator,
  },
  foldImages: {
    kind: 'gauge',
    name: 'crossfold_fold_images_per_second',
    help: 'Images a second that the group of a running fold trains on.',
    unit: 'count',
    labels: ofFold,
    services: coordinator,
  },
  foldGeneration: {
    kind: 'gauge',
    name: 'crossfold_fold_generation',
    help: 'Generation of the group that trains a fold: counts changes of its members.',
    unit: 'count',
    labels: ofFold,
    services: coordinator,
  },
  foldMembers: {
    kind: 'gauge',
    name: 'crossfold_fold_members',
    help: 'Workers that train a fold now.',
    unit: 'count',
    labels: ofFold,
    services: coordinator,
  },
  foldAttempts: {
    kind: 'gauge',
    name: 'crossfold_fold_attempts',
    help: "Attempts that a fold's job has lost without progress since.",
    unit: 'count',
    labels: ofFold,
    services: coordinator,
  },
  brokerStorage: {
    kind: 'gauge',
    name: 'crossfold_broker_storage_bytes',
    help: "The broker's JetStream storage of this account. used: taken now; limit: the most that it may take, the server's where the account has none and CROSSFOLD_BROKER_MONITOR names the server's monitoring port, else absent.",
    unit: 'bytes',
    labels: { kind: ['used', 'limit'] },
    services: coordinator,
  },

  foldAccuracy: {
    kind: 'gauge',
    name: 'crossfold_fold_accuracy_ratio',
    help: 'Accuracy of a fold. train: mean over the epoch under way, or of the last one; validation: of the last epoch, and of the epoch that counts once the fold is finished.',
    unit: 'ratio',
    labels: ofSplit,
    services: both,
  },
  foldLoss: {
    kind: 'gauge',
    name: 'crossfold_fold_loss',
    help: 'Loss of a fold, as its accuracy.',
    unit: 'count',
    labels: ofSplit,
    services: both,
  },
  foldEpoch: {
    kind: 'gauge',
    name: 'crossfold_fold_epoch',
    help: 'Epoch of a fold that is under way or was finished last, from 1; 0 before the first step.',
    unit: 'count',
    labels: ofFold,
    services: both,
  },
  foldValidatedEpoch: {
    kind: 'gauge',
    name: 'crossfold_fold_validated_epoch',
    help: 'Epoch of a fold that was validated last, from 1; absent before the first.',
    unit: 'count',
    labels: ofFold,
    services: coordinator,
  },
  foldEpochAccuracy: {
    kind: 'gauge',
    name: 'crossfold_fold_epoch_accuracy_ratio',
    help: 'Accuracy of the epoch that crossfold_fold_validated_epoch tells. train: mean over the whole epoch; validation: after it, of a finished fold too, whichever epoch it counts by.',
    unit: 'ratio',
    labels: ofSplit,
    services: coordinator,
  },

  samples: {
    kind: 'counter',
    name: 'crossfold_samples_total',
    help: "Training samples that this worker has computed gradients of; a group's workers count their own shares.",
    unit: 'count',
    labels: {},
    services: worker,
  },
  steps: {
    kind: 'counter',
    name: 'crossfold_train_steps_total',
    help: 'Train steps that this worker has taken part in.',
    unit: 'count',
    labels: {},
    services: worker,
  },
  stepDuration: {
    kind: 'histogram',
    name: 'crossfold_step_duration_seconds',
    help: 'Time of a train step by phase. data: getting the batch ready; compute: forward and backward; exchange: waiting for the sum over the group; update: the optimizer.',
    unit: 'seconds',
    labels: { phase: ['data', 'compute', 'exchange', 'update'] },
    services: worker,
    buckets: stepBuckets,
  },
  allreduceDuration: {
    kind: 'histogram',
    name: 'crossfold_allreduce_duration_seconds',
    help: 'Time of an all-reduce, from this worker being done with its sums to the total being there; groups of one have none.',
    unit: 'seconds',
    labels: { transport: transports },
    services: worker,
    buckets: stepBuckets,
  },
  gradientBytes: {
    kind: 'counter',
    name: 'crossfold_gradient_bytes_total',
    help: 'Bytes that this worker has exchanged with its group, frames included.',
    unit: 'bytes',
    labels: { direction: ['in', 'out'], transport: transports },
    services: worker,
  },
  badFrames: {
    kind: 'counter',
    name: 'crossfold_exchange_bad_frames_total',
    help: 'Frames dropped because they fit nothing that this worker expected.',
    unit: 'count',
    labels: {},
    services: worker,
  },
  checkpoints: {
    kind: 'counter',
    name: 'crossfold_checkpoints_total',
    help: 'Checkpoints that this worker has written, or could not write.',
    unit: 'count',
    labels: { outcome: ['written', 'failed'] },
    services: worker,
  },
  checkpointAge: {
    kind: 'gauge',
    name: 'crossfold_checkpoint_age_seconds',
    help: "Time since this worker has written its job's newest checkpoint, or has begun to train it where there is none. Absent where writing them is not its part.",
    unit: 'seconds',
    labels: {},
    services: worker,
  },
  divergences: {
    kind: 'counter',
    name: 'crossfold_divergences_total',
    help: 'Jobs that failed here because their loss was no number any more.',
    unit: 'count',
    labels: {},
    services: worker,
  },
} as const satisfies Readonly<Record<string, Declaration>>;

export type Catalog = typeof catalog;
