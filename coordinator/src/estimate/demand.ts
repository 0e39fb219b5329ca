import type { ImageSpec } from '@crossfold/shared/config/dataset';
import type { Experiment } from '@crossfold/shared/config/experiment';
import type { ImageShape } from '@crossfold/shared/data/manifest';
import { sampleBytesOf } from '@crossfold/shared/data/manifest';
import { ConfigError } from '@crossfold/shared/errors';
import type { Fold } from '@crossfold/shared/folds/folds';
import { mostFindingsBytes } from '@crossfold/shared/jobs/findings-size';
import { maxWorkersNamed } from '@crossfold/shared/jobs/records';
import { planModel } from '@crossfold/shared/model/plan';
import type { Demand, Quotas } from '@crossfold/shared/quotas';
import { overQuota } from '@crossfold/shared/quotas';
import { createOptimizer } from '@crossfold/worker/engine/optimizers';
import { imageShapeOf } from '../data/image-shape.ts';
import type { LocalData } from '../data/local-data.ts';
import type { SourceBundle } from '../data/source.ts';
import { imagesOf } from '../search/images.ts';
import type { Trial } from '../search/trials.ts';

/** What an experiment takes of the broker, as far as it is known before anything is uploaded. */
export const demandOf = (
  experiment: Experiment,
  {
    data,
    trials,
    folds,
  }: { readonly data: LocalData; readonly trials: readonly Trial[]; readonly folds: readonly Fold[] },
): Demand => ({
  ...datasetDemand(imagesOf(experiment), data.samples.labels.length + data.testSamples, data.sourceBytes),
  ...jobsDemand(experiment, trials, folds, data.image, data.classes),
});

/** @throws ConfigError naming the first quota that the demand goes over. */
export function checkDemand(demand: Demand, limits: Quotas): void {
  const problem = overQuota(demand, limits);
  if (problem !== undefined) throw new ConfigError(problem);
}

/**
 * Bytes that a data set takes on the broker: its files as they are uploaded, and beside them its shards, where these are
 * not the very same.
 *
 * @param images the ways that pictures are made into samples, see `imagesOf`
 * @param sourceBytes of the files that are uploaded
 */
export function datasetDemand(
  images: readonly (ImageSpec | undefined)[],
  samples: number,
  sourceBytes: number,
): Demand {
  // IDX files are cut where shards will be, and pictures that are kept as files are packed as shards will be.
  const cutTo = (image: ImageSpec | undefined): number =>
    image !== undefined && image.store !== 'files' ? samples * sampleBytesOf(image) : 0;
  const cut = images.reduce((sum, image) => sum + cutTo(image), 0);
  return { datasetBytes: { value: sourceBytes + cut, field: 'dataset' } };
}

/** As `datasetDemand`, of what has been uploaded. */
export function bundleDemand(bundle: SourceBundle, images: readonly (ImageSpec | undefined)[]): Demand {
  const sum = (parts: readonly { readonly bytes: number }[]): number =>
    parts.reduce((all, { bytes }) => all + bytes, 0);
  if (bundle.kind === 'imported') return { datasetBytes: { value: bundle.bytes, field: 'dataset' } };
  if (bundle.kind === 'idx') {
    const pairs = [bundle.train, ...(bundle.test === null ? [] : [bundle.test])];
    const bytes = sum(pairs.flatMap(({ images, labels }) => [...images.parts, ...labels.parts]));
    return { datasetBytes: { value: bytes, field: 'dataset' } };
  }
  const parts = [bundle.train, ...(bundle.test === null ? [] : [bundle.test])];
  const samples = parts.reduce((all, { count }) => all + count, 0);
  return datasetDemand(images, samples, sum(parts.flatMap(({ packs }) => packs)));
}

/** Bytes that a number of a JSON document has at most. */
const numberBytes = 24;

/** What the jobs of an experiment take of the broker, known before any of them is there. */
export function jobsDemand(
  experiment: Experiment,
  trials: readonly Trial[],
  folds: readonly Fold[],
  image: ImageShape,
  classes: number,
): Demand {
  const inner = folds.filter(({ within }) => within !== undefined);
  const outer = folds.length - inner.length;
  const [searched, after] = inner.length === 0 ? [outer, 0] : [inner.length, outer];
  const samples = folds.reduce((most, { validation }) => Math.max(most, validation.length), 1);
  const sizes = trials.map(({ experiment: { model, training, dataset } }) => {
    const shape = imageShapeOf(dataset, image);
    const findings = mostFindingsBytes(shape);
    const { weightCount, parameterCount } = planModel(model, shape, classes, training.loss);
    const net = 4 * weightCount;
    const history = 5 * training.epochs * numberBytes;
    // Where early stopping goes back to the best weights they are kept beside the newest.
    const optimizer = 4 * parameterCount * createOptimizer(training.optimizer).slots;
    const outputs = 4 * 3 * samples;
    // A confusion matrix has a count for every two classes, and no more of them than samples are not 0.
    const matrix = 2 * classes * (classes + 1) + numberBytes * (samples + 3 * classes);
    return {
      checkpoint: 2 * net + optimizer + outputs + history,
      result: net + matrix + history + maxWorkersNamed * 100 + findings,
    };
  });
  const most = (of: 'checkpoint' | 'result'): number => sizes.reduce((max, size) => Math.max(max, size[of]), 0);
  const all = sizes.reduce((sum, { result }) => sum + searched * result, 0) + after * most('result');
  const field = experiment.search === undefined ? 'evaluation' : 'search';
  return {
    jobs: { value: trials.length * searched + after, field },
    checkpointBytes: { value: most('checkpoint'), field: 'model' },
    resultBytes: { value: most('result'), field: 'model' },
    experimentBytes: { value: all, field },
  };
}
