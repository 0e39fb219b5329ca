import { getExperiment, getJson, putJson } from '@crossfold/shared/broker/json-blobs';
import { leaderProgressSubject } from '@crossfold/shared/broker/subjects';
import type { Experiment } from '@crossfold/shared/config/experiment';
import type { BlobStore } from '@crossfold/shared/data/blob-store';
import { canonicalJson, sha256 } from '@crossfold/shared/data/digest';
import { Manifest } from '@crossfold/shared/data/manifest';
import { CrossfoldError, ExitCode, isBrokerTrouble, TimeoutError } from '@crossfold/shared/errors';
import type { Fold } from '@crossfold/shared/folds/folds';
import { foldsDocument, makeFolds } from '@crossfold/shared/folds/folds';
import { scarceClasses } from '@crossfold/shared/folds/kfold';
import { readSplitSamples } from '@crossfold/shared/folds/samples';
import type { PlannedFold, PlannedTrial, SweepPlan, TrialPlan } from '@crossfold/shared/jobs/plan';
import type { ExperimentRecord, JobRecord, Presence } from '@crossfold/shared/jobs/records';
import { maxReasonLength } from '@crossfold/shared/jobs/records';
import { presetLayers } from '@crossfold/shared/model/presets';
import type { LogProgress } from '@crossfold/shared/progress';
import { tooManyExperiments } from '@crossfold/shared/quotas';
import { inLines } from '../data/count-progress.ts';
import type { Cut } from '../data/cut.ts';
import { imageKey } from '../data/image-shape.ts';
import type { KnownCuts } from '../data/known-cuts.ts';
import { SourceBundle } from '../data/source.ts';
import { bundleDemand, checkDemand, jobsDemand } from '../estimate/demand.ts';
import { inParallel } from '../in-parallel.ts';
import { checkSameSamples, imagesOf } from '../search/images.ts';
import type { Trial } from '../search/trials.ts';
import { fittingTrials } from '../search/trials.ts';
import type { LeaderContext } from './context.ts';
import { WaitingError } from './waiting.ts';

/** Plans written at a time. */
const writesAtOnce = 16;

/**
 * Prepares a submitted experiment: cuts its data set into shards, makes its folds, writes a plan for each trial, and then
 * says that it runs. What is wrong with the data or the configuration ends the experiment with the
 * reason, and so does what goes over a quota, before anything of it is written; what is wrong with the broker is thrown
 * and tried again.
 *
 * @returns whether it runs now
 * @param before experiments that are not over and come before this one
 * @param cuts what has been cut for others
 */
export async function prepare(
  context: LeaderContext,
  record: ExperimentRecord,
  before: number,
  cuts: KnownCuts,
): Promise<boolean> {
  const { broker, logger, now, quotas } = context;
  const say = (message: string): void => {
    logger.info({ experiment: record.id }, message);
    const event: LogProgress = { type: 'log', level: 'info', message };
    if (!broker.nats.isClosed()) broker.nats.publish(leaderProgressSubject(record.id), JSON.stringify(event));
  };
  try {
    const refused = tooManyExperiments(before, quotas);
    if (refused !== undefined) throw refused;
    const experiment = await getExperiment(broker.artifacts, record.spec);
    // Before anything is cut: this is tried again at every round until there is a worker.
    const identity = chooseIdentity(context.roster.alive(), experiment.threadsPerWorker);
    if (identity === undefined) throw new WaitingError(waitsFor(context.roster.alive(), experiment.threadsPerWorker));
    const bundle = await getJson(broker.data, record.source, SourceBundle);
    const images = imagesOf(experiment);
    checkDemand(bundleDemand(await believed(bundle, broker.data), images), quotas);
    const made = new Map<string, Cut>();
    for (const image of images) {
      const dataset = image === undefined ? experiment.dataset : { ...experiment.dataset, image };
      if (images.length > 1 && image !== undefined)
        say(`cutting the pictures to ${image.height} x ${image.width} x ${image.channels}`);
      made.set(imageKey(dataset), await cuts.cut(bundle, dataset, broker.data, inLines(say)));
    }
    // By now the first may have been cut long ago: what is found in the store counts as stored now, and is not swept.
    if (images.length > 1)
      for (const image of images)
        if (image !== undefined) await cuts.cut(bundle, { ...experiment.dataset, image }, broker.data, () => undefined);
    const [first, ...others] = made.values();
    if (first === undefined) throw new Error('a data set is cut at least once');
    const { manifest, reference } = first;
    for (const other of others) checkSameSamples(manifest, other.manifest);
    const samples = await readSplitSamples(manifest, broker.data);
    const folds = makeFolds(experiment.evaluation, samples, experiment.seed);
    for (const scarce of scarceClasses(experiment.evaluation, samples.labels))
      say(
        `class ${JSON.stringify(manifest.classes[scarce.label] ?? '')} has ${scarce.samples} ${scarce.samples === 1 ? 'sample' : 'samples'}, fewer than the ${scarce.folds} folds: some folds are validated without any of it`,
      );
    const { imageShape, classes } = manifest;
    const trials = fittingTrials(experiment, imageShape, classes.length);
    checkDemand(jobsDemand(experiment, trials, folds, imageShape, classes.length), quotas);
    const foldsReference = await putJson(broker.artifacts, foldsDocument(folds));
    const planned: PlannedTrial[] = [];
    await inParallel(trials, writesAtOnce, async (trial, i) => {
      const own = made.get(imageKey(trial.experiment.dataset))?.reference ?? reference;
      const data = { manifest: own, folds: foldsReference };
      const one = await planTrial(trial, data, classes.length, broker.artifacts);
      planned[i] = own.digest === reference.digest ? one : { ...one, manifest: own };
    });
    const plan: SweepPlan = {
      schema: 1,
      identity,
      manifest: reference,
      search: experiment.search ?? null,
      folds: folds.map(planFold),
      trials: planned,
    };
    const planReference = await putJson(broker.artifacts, plan);
    const prepared = {
      manifest: reference,
      ...(others.length === 0 ? {} : { otherManifests: others.map((other) => other.reference) }),
      folds: foldsReference,
      plan: planReference,
      startedAt: now(),
    };
    const runs = await broker.experiments.transition(record.id, (current) =>
      current.state === 'submitted' ? { ...current, ...prepared, state: 'running' } : undefined,
    );
    logger.info({ experiment: record.id, trials: trials.length, folds: folds.length }, 'experiment prepared');
    return runs !== undefined;
  } catch (error) {
    // What is wrong with the broker is not the experiment's fault: it is tried again.
    if (!(error instanceof CrossfoldError) || isBrokerTrouble(error) || error instanceof TimeoutError) throw error;
    await endWithError(context, record.id, error);
    return false;
  }
}

/**
 * A bundle that says how much it comes to by what is read later: no blob is taken that is longer than its reference says, and
 * no list of pictures of another length. What an imported data set comes to its client has written beside it; its manifest
 * says it shard by shard.
 */
async function believed(bundle: SourceBundle, blobs: BlobStore): Promise<SourceBundle> {
  if (bundle.kind !== 'imported') return bundle;
  const { train, test } = await getJson(blobs, bundle.manifest, Manifest);
  const shards = [...train.shards, ...(test?.shards ?? [])];
  return { ...bundle, bytes: shards.reduce((sum, { bytes }) => sum + bytes, 0) };
}

async function planTrial(
  { trial, parameters, experiment }: Trial,
  data: Pick<TrialPlan, 'manifest' | 'folds'>,
  classes: number,
  store: BlobStore,
): Promise<PlannedTrial> {
  const { model, training, augment, seed } = experiment;
  const net =
    'preset' in model
      ? { layers: presetLayers(model.preset, classes) }
      : 'h5' in model
        ? { layers: model.layers, weights: model.weights?.digest }
        : model;
  const plan: TrialPlan = { schema: 1, trial, parameters, experiment, ...data, model: null };
  return {
    trial,
    parameters,
    plan: await putJson(store, plan),
    recipe: sha256(canonicalJson({ model: net, training, augment, seed })),
    epochs: training.epochs,
    ...seatsOf(experiment),
  };
}

const planFold = ({ fold, repeat, within, train, validation }: Fold): PlannedFold => ({
  fold,
  repeat,
  ...(within === undefined ? {} : { within }),
  trainSamples: train.length,
  validationSamples: validation.length,
  digest: sha256(canonicalJson([Array.from(train), Array.from(validation)])),
});

/** What an experiment without a worker waits for, in words. */
function waitsFor(workers: readonly Presence[], threads: number): string {
  const wanted = `a worker with ${threads} ${threads === 1 ? 'thread' : 'threads'} (threadsPerWorker)`;
  const others = [...new Set(workers.map((worker) => worker.threads))].sort((m, n) => m - n);
  return others.length === 0
    ? `waiting for ${wanted}: there is no worker at all; start one with crossfold worker`
    : `waiting for ${wanted}: those there are have ${others.join(', ')}`;
}

/** Ends an experiment for a reason that trying again would not mend. */
export async function endWithError(context: LeaderContext, id: string, error: CrossfoldError): Promise<void> {
  context.logger.error({ experiment: id, reason: error.message }, 'the experiment failed');
  await context.broker.experiments.transition(id, (current) =>
    current.state === 'submitted' || current.state === 'running'
      ? {
          ...current,
          state: 'failed',
          error: error.message.slice(0, maxReasonLength),
          badConfiguration: error.exitCode === ExitCode.usage,
          finishedAt: context.now(),
        }
      : undefined,
  );
}

/**
 * The engine identity that most live workers with so many threads have; ties go to the first by name. Where some of them
 * compute on GPUs only these count: one GPU does more than many processors.
 */
export function chooseIdentity(workers: readonly Presence[], threads: number | undefined): string | undefined {
  const fitting = workers.filter((worker) => threads === undefined || worker.threads === threads);
  const onGpus = fitting.filter(({ gpu }) => gpu !== undefined);
  const counts = new Map<string, number>();
  for (const { identity } of onGpus.length > 0 ? onGpus : fitting)
    counts.set(identity, (counts.get(identity) ?? 0) + 1);
  return [...counts].sort(([a, m], [b, n]) => n - m || (a < b ? -1 : 1))[0]?.[0];
}

/** How many members the jobs of an experiment can have: with `auto` one to begin with, and up to one a slice. */
export const seatsOf = ({ workersPerJob, training }: Experiment): Pick<JobRecord, 'minSeats' | 'maxSeats'> =>
  workersPerJob === 'auto'
    ? { minSeats: 1, maxSeats: training.microBatches }
    : { minSeats: workersPerJob, maxSeats: workersPerJob };
