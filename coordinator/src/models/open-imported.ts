import { getJson } from '@crossfold/shared/broker/json-blobs';
import type { ImageShape, Samples, Shard } from '@crossfold/shared/data/manifest';
import { Manifest, readLabels, SampleNames, sampleBytesOf } from '@crossfold/shared/data/manifest';
import { ConfigError } from '@crossfold/shared/errors';
import { decodeShard } from '@crossfold/worker/data/decode-shard';
import type { Imported } from '../datasets/imported.ts';
import type { Labelled, PartName } from './labelled-pictures.ts';

/** Some samples of a part, as they lie in the data set. */
interface Stretch {
  readonly samples: Samples;
  readonly from: number;
  readonly to: number;
}

/**
 * Opens a data set that was imported, to evaluate a net on.
 *
 * @param part undefined: the test part where there is one, else everything
 * @param shape what the net takes; undefined: whatever the data set has
 * @throws ConfigError where it has no such part, or images of another size; DamagedDataError where it is damaged
 */
export async function openImported(
  { record, library }: Imported,
  part: PartName | undefined,
  shape?: ImageShape,
): Promise<Labelled> {
  const { blobs } = library;
  const { name } = record;
  const manifest = await getJson(blobs, record.manifest, Manifest);
  const { imageShape, classes } = manifest;
  checkShape(name, imageShape, shape ?? imageShape);
  const chosen = part ?? (manifest.test === null ? 'all' : 'test');
  const stretches = stretchesOf(manifest, chosen);
  if (stretches.length === 0)
    throw new ConfigError({ field: '--part', value: chosen, allowed: `${name} has no such part` });
  const names: string[] = [];
  for (const { samples, from, to } of stretches) {
    const known = samples.names === undefined ? [] : await getJson(blobs, samples.names, SampleNames);
    for (let i = from; i < to; i++) names.push(known[i] ?? `sample ${i}`);
  }
  let last: { readonly shard: Shard; readonly pixels: Uint8Array } | undefined;
  const pixelsOf = async (shard: Shard, samples: Samples): Promise<Uint8Array> => {
    if (last?.shard === shard) return last.pixels;
    const bytes = await blobs.get(shard.digest, shard.bytes);
    const pixels = samples.fileBytes === undefined ? bytes : await decodeShard(bytes, shard, manifest, samples);
    last = { shard, pixels };
    return pixels;
  };
  const sampleBytes = sampleBytesOf(imageShape);
  return {
    name: chosen === 'all' ? name : `${name}, ${chosen}`,
    classes,
    labels: Int32Array.from(
      stretches.flatMap(({ samples, from, to }) => Array.from(readLabels(samples).subarray(from, to))),
    ),
    skipped: [],
    nameOf: (sample) => names[sample] ?? '',
    async read(first, count) {
      const pixels = new Uint8Array(count * sampleBytes);
      let begin = 0;
      for (const { samples, from, to } of stretches) {
        // Of this stretch: what is asked for, in the part's own order.
        const [low, high] = [Math.max(from, from + first - begin), Math.min(to, from + first + count - begin)];
        for (const shard of samples.shards) {
          const [start, end] = [Math.max(low, shard.first), Math.min(high, shard.first + shard.count)];
          if (start >= end) continue;
          const own = await pixelsOf(shard, samples);
          const piece = own.subarray((start - shard.first) * sampleBytes, (end - shard.first) * sampleBytes);
          pixels.set(piece, (start - from + begin - first) * sampleBytes);
        }
        begin += to - from;
      }
      return pixels;
    },
  };
}

function stretchesOf({ train, validationFrom, test }: Manifest, part: PartName): Stretch[] {
  const { count } = train;
  const tested = test === null ? [] : [{ samples: test, from: 0, to: test.count }];
  switch (part) {
    case 'train':
      return [{ samples: train, from: 0, to: validationFrom ?? count }];
    case 'validation':
      return validationFrom === undefined ? [] : [{ samples: train, from: validationFrom, to: count }];
    case 'test':
      return tested;
    case 'all':
      return [{ samples: train, from: 0, to: count }, ...tested];
  }
}

function checkShape(name: string, has: ImageShape, takes: ImageShape): void {
  if (has.height === takes.height && has.width === takes.width && has.channels === takes.channels) return;
  const text = ({ height, width, channels }: ImageShape): string => `${height} x ${width} x ${channels}`;
  throw new ConfigError(
    `data set ${name} has images of ${text(has)}, and the net takes ${text(takes)}; import it with that size under another name, or name the folder of its pictures`,
  );
}
