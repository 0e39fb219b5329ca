import { drawActivations } from '@crossfold/coordinator/pictures/activations';
import type { Captioned } from '@crossfold/coordinator/pictures/sheet';
import { drawSheet } from '@crossfold/coordinator/pictures/sheet';
import { overfitsFrom } from '@crossfold/coordinator/results/overfitting';
import { curves } from '@crossfold/coordinator/results/report/charts/curves';
import type { DotRow } from '@crossfold/coordinator/results/report/charts/dots';
import { dots } from '@crossfold/coordinator/results/report/charts/dots';
import { completedFolds, scoredFolds } from '@crossfold/coordinator/results/select';
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
.plot circle.val{fill:#0a5fc4}.plot .stop{display:none}.plot .dot{fill:#0a5fc4;opacity:.55}.plot .dot.best{opacity:1}
.plot .overfits{stroke:#555;stroke-dasharray:5 3}.plot .row{stroke:#eee}.plot .strong{font-weight:bold}.plot .whisker,.plot .meanmark{stroke:#b35309;stroke-width:2}`;

/** A chart of the report as a picture of its own. */
const standalone = (svg: string): string =>
  svg.replace(/^<svg ([^>]*)>/, `<svg xmlns="http://www.w3.org/2000/svg" width="480" $1><style>${style}</style>`);

/**
 * Learning curves of a trial as SVG: every fold a thin line, their mean a thick one; training in brown, validation in
 * blue with its standard deviation, a dashed line where it starts to overfit.
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
  return standalone(curves(folds, { ...spec, overfitsFrom: overfitsFrom(folds) }).html);
}

/**
 * Validation accuracies as SVG: of each trial, or of each fold where there is one trial; a dot a fold, and their mean
 * with its 95 % confidence interval.
 *
 * @throws ConfigError where no fold has a score
 */
export function plotFolds({ trials, best }: Results): string {
  const [only] = trials;
  const rows: DotRow[] =
    only !== undefined && trials.length === 1
      ? [
          ...scoredFolds(only).map((fold, i) => ({ label: `fold ${fold.fold}`, points: [dotOf(fold, i)] })),
          ...(only.summary === null
            ? []
            : [{ label: 'mean', points: [], summary: only.summary.accuracy, kind: 'best' as const }]),
        ]
      : trials.map((trial) => ({
          label: `trial ${trial.trial}`,
          points: scoredFolds(trial).map(dotOf),
          ...(trial.summary === null ? {} : { summary: trial.summary.accuracy }),
          ...(trial.trial === best?.trial ? { kind: 'best' as const } : {}),
        }));
  if (rows.every(({ points }) => points.length === 0)) throw new ConfigError('no fold has a score');
  return standalone(dots({ rows, description: 'validation accuracy' }).html);
}

const dotOf = ({ validation }: { readonly validation: { readonly accuracy: number } }, fold: number) => ({
  value: validation.accuracy,
  tip: `fold ${fold}: ${percent(validation.accuracy)}`,
});
