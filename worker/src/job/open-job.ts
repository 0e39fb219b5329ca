import type { Broker } from '@crossfold/shared/broker/broker';
import { groupSecret } from '@crossfold/shared/broker/group-key';
import { getJson } from '@crossfold/shared/broker/json-blobs';
import type { Roster } from '@crossfold/shared/broker/presence';
import { progressSubject } from '@crossfold/shared/broker/subjects';
import type { ExchangeMode } from '@crossfold/shared/config/exchange';
import type { ModelSpec } from '@crossfold/shared/config/model';
import { Manifest } from '@crossfold/shared/data/manifest';
import { DamagedDataError } from '@crossfold/shared/errors';
import type { Faults } from '@crossfold/shared/faults';
import { noFaults } from '@crossfold/shared/faults';
import { FoldsDocument } from '@crossfold/shared/folds/folds';
import { TrialPlan } from '@crossfold/shared/jobs/plan';
import type { JobRecord, Pace } from '@crossfold/shared/jobs/records';
import type { Logger } from '@crossfold/shared/logger';
import { decodeModel } from '@crossfold/shared/model/model-file';
import type { ModelPlan } from '@crossfold/shared/model/plan';
import { planModel } from '@crossfold/shared/model/plan';
import type { JobProgress } from '@crossfold/shared/progress';
import type { Waits } from '@crossfold/shared/waits';
import { spread, stepsPerEpoch } from '../data/batches.ts';
import type { DatasetCache } from '../data/dataset-cache.ts';
import type { EngineThread } from '../engine/remote.ts';
import type { ExchangeOptions } from '../exchange/exchange.ts';
import { peerClosed } from '../exchange/link.ts';
import type { DirectListener } from '../exchange/listener.ts';
import { openExchange } from '../exchange/open-exchange.ts';
import type { JobObserver } from '../observe/observer.ts';
import { Checkpoints } from './checkpoints.ts';
import type { Course } from './course.ts';
import { findingsOf } from './findings.ts';
import { PaceMeter } from './pace.ts';
import type { JobRunner } from './run-job.ts';
import type { JobState } from './state.ts';
import { storeTrainResult } from './store-result.ts';
import { testRunner } from './test-runner.ts';
import { trainRunner } from './train-runner.ts';

/** What a worker brings to each of its jobs. */
export interface JobParts {
  readonly broker: Broker;
  readonly worker: string;
  readonly engine: EngineThread;
  readonly exchange: ExchangeMode;
  readonly datasets: DatasetCache;
  /** Takes connections of peers; undefined where this worker takes none. */
  readonly listener: DirectListener | undefined;
  readonly roster: Roster;
  readonly logger: Logger;
  readonly waits: Waits;
  readonly now: () => number;
  readonly drain: AbortSignal;
  readonly observer: Required<JobObserver>;
  readonly faults: Faults;
  /** Told how fast the job goes, see `Pace`. */
  readonly onPace: (pace: Pace | undefined) => void;
}

const reportEveryMs = 500;

/** Fetches what a job needs (plan, folds, shards), builds its model, and makes it ready to run. A refit has no fold. */
export async function openJob(parts: JobParts, record: JobRecord): Promise<JobRunner> {
  const { broker, worker, logger, now, observer, faults } = parts;
  const plan = await getJson(broker.artifacts, { digest: record.plan }, TrialPlan);
  const manifest = await getJson(broker.data, plan.manifest, Manifest);
  const { experiment } = plan;
  const model = planModel(experiment.model, manifest.imageShape, manifest.classes.length, experiment.training.loss);
  const keys = { seed: experiment.seed, repeat: record.repeat, fold: record.fold };
  const open = { model, training: experiment.training, keys };

  if (record.kind === 'test') {
    const store = await parts.datasets.test(manifest);
    // What is tested are weights as they are given, of which there is nothing to average.
    const { average: _, ...training } = experiment.training;
    const data = { ...store, train: noSamples, validation: store.all };
    const engine = await parts.engine.open({ ...open, training, data });
    return testRunner({ broker, plan, engine, manifest, store });
  }

  const { train, validation } =
    record.kind === 'refit'
      ? { train: Array.from({ length: manifest.train.count }, (_, sample) => sample), validation: [] }
      : foldOf(await getJson(broker.artifacts, plan.folds, FoldsDocument), record);
  await faults.at('loading');
  const store = await parts.datasets.train(manifest);
  const { batchSize, validationSteps } = experiment.training;
  const validated = spread(Uint32Array.from(validation), (validationSteps ?? Number.POSITIVE_INFINITY) * batchSize);
  const data = { ...store, train: Uint32Array.from(train), validation: validated };
  const course = {
    epochs: experiment.training.epochs,
    until: Math.min(record.until, experiment.training.epochs),
    stepsPerEpoch: stepsPerEpoch(train.length, experiment.training),
  };
  const initialWeights = await startOf(broker, experiment.model, model);
  const engine = await parts.engine.open({ ...open, data, augment: experiment.augment, initialWeights });
  // The net is made ready for its first slice here, so that members that this worker joins need not wait for that.
  await engine.gradient({ epoch: 0, step: 0, update: 0 }, { from: 0, to: 1 });
  const { microBatches } = experiment.training;
  const mode = experiment.exchange === 'auto' ? parts.exchange : experiment.exchange;
  const likely = parts.listener === undefined ? 'nats' : 'direct';
  logger.info({ parameters: model.parameterCount, train: train.length, validation: validated.length }, 'job opened');
  return trainRunner({
    broker,
    worker,
    logger,
    waits: parts.waits,
    now,
    drain: parts.drain,
    plan,
    course,
    engine,
    observer,
    faults,
    checkpoints: new Checkpoints({
      broker,
      worker,
      now,
      faults,
      onEnd: (error, bytes, took) => {
        if (error !== undefined) logger.warn({ err: error }, 'no checkpoint could be written');
        observer.checkpointed(error === undefined, bytes, took);
      },
    }),
    meter: new PaceMeter(microBatches, engine.vectorLength, mode === 'auto' ? likely : mode),
    openExchange: async ({ record: job, rank, signal }) => {
      const wanted = mode !== 'nats' && job.members.length > 1;
      const key = wanted ? await broker.groupKey.read() : undefined;
      if (wanted && key === undefined)
        logger.warn('no coordinator has made a key for groups yet, or this worker may not read it: no direct exchange');
      return openExchange(
        {
          job: job.id,
          generation: job.generation,
          rank,
          members: job.members,
          slices: microBatches,
          secret: key === undefined ? '' : groupSecret(key, job),
        },
        {
          nats: broker.nats,
          mode: key === undefined ? 'nats' : mode,
          onBadFrame: (why) => broker.border.dropped('frame', `generation ${job.generation} of ${job.id}`, why),
          ...(parts.listener === undefined ? {} : { listener: parts.listener }),
          onLink: (peer, gone) =>
            gone === undefined
              ? logger.debug({ peer }, 'connected directly')
              : // A peer that is lost is named by the group that goes on without it.
                logger[gone === peerClosed ? 'debug' : 'info']({ peer, reason: gone }, 'the direct connection is gone'),
          onUnreached: (peer, why) =>
            logger.info(
              { peer, reason: why },
              'not reached directly: the broker carries what goes to this peer until it is',
            ),
          ...failingIn(faults, rank),
        },
        signal,
      );
    },
    onPace: parts.onPace,
    report: reporter(parts, course),
    store: (job, state) =>
      storeTrainResult({ broker, plan, model, manifest, engine: parts.engine.identity, now, faults }, job, state, {
        trainSamples: train.length,
        labels: engine.validationLabels,
        findings: (outputs) =>
          findingsOf({ outputs, places: validated, store, manifest, names: manifest.train.names }, broker.data),
      }),
  });
}

/** The weights of the net that an experiment begins with; undefined where it begins with none. */
async function startOf(broker: Broker, spec: ModelSpec, model: ModelPlan): Promise<Float32Array | undefined> {
  if (!('h5' in spec) || spec.weights === undefined) return undefined;
  const { weights } = decodeModel(
    await broker.artifacts.get(spec.weights.digest, spec.weights.bytes),
    'the net to begin with',
  );
  if (weights.length !== model.weightCount)
    throw new DamagedDataError(`the net to begin with has ${weights.length} weights, not ${model.weightCount}`);
  return weights;
}

const noSamples = new Uint32Array(0);

/** The points of an exchange at which a member may be made to fail. */
function failingIn(faults: Faults, rank: number): Pick<ExchangeOptions, 'onBlock'> {
  if (faults === noFaults) return {};
  return {
    onBlock: (what, position, moment) => {
      if (moment === 'before') faults.passing(what === 'partial' ? 'sending' : 'owning', { rank, position });
      // Once it has really left.
      else if (what === 'finished') setTimeout(() => faults.passing('handing out', { rank, position }), 2);
    },
  };
}

function foldOf(folds: FoldsDocument, record: JobRecord): FoldsDocument['folds'][number] {
  const fold = folds.folds.find((f) => f.fold === record.fold && (f.repeat ?? 0) === record.repeat);
  if (fold === undefined) throw new Error(`the folds document has no fold ${record.fold} of repeat ${record.repeat}`);
  return fold;
}

/** Publishes how a job stands, twice a second and at the end of each epoch; at most once, nobody relies on it. */
function reporter(
  parts: JobParts,
  course: Course,
): (record: JobRecord, state: JobState, imagesPerSecond: number) => void {
  let last = 0;
  return (record, state, imagesPerSecond) => {
    const perEpoch = course.stepsPerEpoch + 1;
    const step = state.position % perEpoch;
    const endOfEpoch = step === 0;
    if (!endOfEpoch && parts.now() - last < reportEveryMs) return;
    last = parts.now();
    const { history, running } = state;
    const valLoss = history.valLoss.at(-1);
    const valAccuracy = history.valAccuracy.at(-1);
    const progress: JobProgress = {
      type: 'job',
      job: record.id,
      kind: record.kind,
      trial: record.trial,
      fold: record.fold,
      repeat: record.repeat,
      state: 'running',
      workers: record.members.map((m) => m.worker),
      epoch: endOfEpoch ? history.loss.length : history.loss.length + 1,
      epochs: course.epochs,
      step: endOfEpoch ? course.stepsPerEpoch : step,
      steps: course.stepsPerEpoch,
      loss: endOfEpoch ? (history.loss.at(-1) ?? 0) : running.loss / running.samples,
      accuracy: endOfEpoch ? (history.accuracy.at(-1) ?? 0) : running.correct / running.samples,
      ...(endOfEpoch && valLoss !== undefined && valAccuracy !== undefined ? { valLoss, valAccuracy } : {}),
      imagesPerSecond,
    };
    parts.observer.progressed(record, progress);
    if (!parts.broker.nats.isClosed()) parts.broker.nats.publish(progressSubject(record.id), JSON.stringify(progress));
  };
}
