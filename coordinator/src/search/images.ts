import type { ImageSpec } from '@crossfold/shared/config/dataset';
import type { Experiment } from '@crossfold/shared/config/experiment';
import { canonicalJson } from '@crossfold/shared/data/digest';
import type { Manifest } from '@crossfold/shared/data/manifest';
import { ConfigError } from '@crossfold/shared/errors';
import { imageKey } from '../data/image-shape.ts';
import { makeTrials } from './trials.ts';

/**
 * The different ways to make pictures into samples that an experiment's trials have, in the trials' order; the data
 * set is cut once for each. One where pictures are not searched, undefined where there are none.
 */
export function imagesOf(experiment: Experiment): readonly [ImageSpec | undefined, ...(ImageSpec | undefined)[]] {
  const own = experiment.dataset.image;
  const isSearched = Object.keys(experiment.search?.parameters ?? {}).some((name) => name.startsWith('dataset.'));
  const trials = isSearched ? makeTrials(experiment) : [];
  // What is wrong with a search is said where its trials are needed.
  if ('allowed' in trials) return [own];
  const images = new Map(trials.map(({ experiment: { dataset } }) => [imageKey(dataset), dataset.image]));
  const [first, ...others] = images.values();
  return [first ?? own, ...others];
}

/**
 * Checks that a data set that was cut another way has the very same samples, so that a fold's indices mean the same.
 *
 * @throws ConfigError where other pictures were left out
 */
export function checkSameSamples(first: Manifest, other: Manifest): void {
  const list = ({ train, test, validationFrom, skipped }: Manifest): string =>
    canonicalJson([
      ...[train, test].map((part) => [part?.count ?? 0, part?.labels ?? '', part?.names?.digest ?? '']),
      validationFrom ?? null,
      skipped ?? 0,
    ]);
  if (list(first) === list(other)) return;
  throw new ConfigError({
    field: 'search.parameters',
    allowed:
      'search dataset.image, and not the same pictures can be used with all of its values: trials would be validated on different samples (mend the pictures, or remove them)',
  });
}
