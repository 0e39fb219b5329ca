import { drawActivations } from '@crossfold/coordinator/pictures/activations';
import type { Captioned } from '@crossfold/coordinator/pictures/sheet';
import { drawSheet } from '@crossfold/coordinator/pictures/sheet';
import { curves } from '@crossfold/coordinator/results/report/charts/curves';
import { completedFolds } from '@crossfold/coordinator/results/select';
import { decimal, percent } from '@crossfold/coordinator/results/text';
import type { ImageShape } from '@crossfold/shared/data/manifest';
import { ConfigError } from '@crossfold/shared/errors';
import type { Results } from '@crossfold/shared/results';
import type { Model } from './model.ts';

/** Pictures side by side with captions, as PNG. */
export const contactSheet = (pictures: readonly Captioned[], shape: ImageShape, perRow = 5): Promise<Buffer> =>
  drawSheet(pictures, shape, perRow).png();

/** Every channel of every convolution and pooling layer for a picture, as PNG. */
export const featureMaps = async (model: Model, picture: string | Uint8Array): Promise<Buffer> =>
  drawActivations(await model.activations(picture), model.layers).png();

/** Colours of a plot that stands by itself; in the report the page has them. */
const style = `.plot{font:12px sans-serif;background:#fff}.plot text{fill:#555}.plot text.x{text-anchor:middle}
.plot text.y{text-anchor:end}.plot .grid line{stroke:#e4e4e4}.plot path{fill:none}.plot .train{stroke:#b35309}
.plot .val{stroke:#0a5fc4}.plot .fold{opacity:.4}.plot .mean{stroke-width:2.5}.plot .band{fill:#0a5fc4;opacity:.1;stroke:none}
.plot circle.val{fill:#0a5fc4}.plot .stop{display:none}`;

/**
 * Learning curves of a trial as SVG: every fold a thin line, their mean a thick one; training in brown, validation in
 * blue with its standard deviation.
 *
 * @param trial the best one where not given
 * @throws ConfigError where no fold of it was trained to its end
 */
export function plotCurves(results: Results, what: 'accuracy' | 'loss', trial = results.best?.trial ?? 0): string {
  const folds = results.trials.filter((t) => t.trial === trial).flatMap(completedFolds);
  if (folds.length === 0) throw new ConfigError(`no fold of trial ${trial} was trained to its end`);
  const spec =
    what === 'accuracy'
      ? ({ title: 'accuracy', train: 'accuracy', validation: 'valAccuracy', format: percent } as const)
      : ({ title: 'loss', train: 'loss', validation: 'valLoss', format: decimal } as const);
  return curves(folds, spec).html.replace(
    /^<svg ([^>]*)>/,
    `<svg xmlns="http://www.w3.org/2000/svg" width="480" $1><style>${style}</style>`,
  );
}
