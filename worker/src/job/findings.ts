import { getJson } from '@crossfold/shared/broker/json-blobs';
import type { BlobStore } from '@crossfold/shared/data/blob-store';
import type { ImageShape, Manifest } from '@crossfold/shared/data/manifest';
import { SampleNames } from '@crossfold/shared/data/manifest';
import { losslessPixels, shownMistakes, shownPixels } from '@crossfold/shared/jobs/findings-size';
import type { Findings } from '@crossfold/shared/jobs/job-result';
import type { BlobRef } from '@crossfold/shared/jobs/records';
import { reliabilityOf } from '@crossfold/shared/metrics/calibration';
import { outputsPerSample } from '@crossfold/shared/metrics/scores';
import sharp from 'sharp';
import type { DatasetStore } from '../data/dataset-store.ts';

/** Samples that a net was scored on, and was not trained on. */
export interface Judged {
  /** Loss, predicted class and score of each, in the order of `places`. */
  readonly outputs: Float32Array;
  /** Where they lie in the store. */
  readonly places: Uint32Array;
  readonly store: DatasetStore;
  readonly manifest: Manifest;
  /** The list of all samples' names, where they have any. */
  readonly names: BlobRef | undefined;
}

/** What a net tells beyond its scores: how sure it is when it is right, and its worst mistakes as pictures. */
export async function findingsOf(
  { outputs, places, store, manifest, names: list }: Judged,
  blobs: BlobStore,
): Promise<Findings> {
  const labels = Int32Array.from(places, (place) => store.labels[place] ?? -1);
  const of = (sample: number, what: number): number => outputs[sample * outputsPerSample + what] ?? Number.NaN;
  // The score is the probability of class 1 where there are two, else that of the predicted class.
  const confidences = Float32Array.from({ length: labels.length }, (_, sample) => {
    const score = of(sample, 2);
    const confidence = manifest.classes.length === 2 && of(sample, 1) === 0 ? 1 - score : score;
    // A net with a squared error may give any number.
    return Math.min(1, Math.max(0, confidence));
  });
  const wrong = [...places.keys()].filter((sample) => of(sample, 1) !== labels[sample]);
  const worst = wrong
    .sort((a, b) => (confidences[b] ?? 0) - (confidences[a] ?? 0) || (places[a] ?? 0) - (places[b] ?? 0))
    .slice(0, shownMistakes);
  const names = list === undefined || worst.length === 0 ? [] : await getJson(blobs, list, SampleNames);
  const mistakes: Findings['mistakes'][number][] = [];
  for (const sample of worst) {
    const place = places[sample] ?? 0;
    const name = names[place];
    mistakes.push({
      sample: place,
      ...(name === undefined ? {} : { name }),
      label: labels[sample] ?? 0,
      predicted: of(sample, 1),
      confidence: confidences[sample] ?? 0,
      loss: of(sample, 0),
      picture: await pictureOf(store, place, manifest.imageShape),
    });
  }
  return { reliability: reliabilityOf(confidences, (sample) => of(sample, 1) === labels[sample]), mistakes };
}

/** A sample as an address that holds all of it. */
async function pictureOf({ pixels, sampleBytes }: DatasetStore, sample: number, shape: ImageShape): Promise<string> {
  const { height, width, channels } = shape;
  const own = new Uint8Array(pixels, sample * sampleBytes, sampleBytes).slice();
  const raw = sharp(own, {
    raw: { width, height, channels: channels === 1 || channels === 2 || channels === 3 ? channels : 4 },
  });
  const picture = raw.resize({ width: shownPixels, height: shownPixels, fit: 'inside', withoutEnlargement: true });
  if (Math.max(height, width) <= losslessPixels)
    return `data:image/png;base64,${(await picture.png().toBuffer()).toString('base64')}`;
  return `data:image/jpeg;base64,${(await picture.jpeg({ quality: 80 }).toBuffer()).toString('base64')}`;
}
