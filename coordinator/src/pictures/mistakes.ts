import type { ImageShape } from '@crossfold/shared/data/manifest';
import type { Judged } from '../models/evaluation.ts';
import type { Labelled } from '../models/labelled-pictures.ts';
import { percent } from '../results/text.ts';
import { drawSheet } from './sheet.ts';

const shown = 20;

/** Writes the most confident mistakes as one picture. */
export async function drawMistakes(
  file: string,
  mistakes: readonly Judged[],
  classes: readonly string[],
  shape: ImageShape,
  data: Labelled,
): Promise<void> {
  const pictures = [];
  for (const { sample, name, label, predicted, confidence } of mistakes.slice(0, shown))
    pictures.push({
      pixels: await data.read(sample, 1),
      lines: [
        name.split('/').at(-1) ?? name,
        `is ${classes[label]}`,
        `not ${classes[predicted]} (${percent(confidence)})`,
      ],
    });
  await drawSheet(pictures, shape, 5).write(file, '--mistakes');
}
