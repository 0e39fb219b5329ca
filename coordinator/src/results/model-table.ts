import type { LayerPlan, ModelPlan } from '@crossfold/shared/model/plan';
import { shapeText } from '@crossfold/shared/model/plan';
import { whole } from './text.ts';

const parametersOf = ({ parameters }: LayerPlan): number => parameters.reduce((sum, { length }) => sum + length, 0);

/** The layers of a net as a table, as Keras' `summary()` has them. */
export function formatModelTable(plan: ModelPlan): string {
  const rows = [
    ['layer', 'type', 'output', 'parameters'],
    ['input', '', shapeText(plan.inputShape), ''],
    ...plan.layers.map((layer) => [
      layer.name,
      layer.spec.type,
      shapeText(layer.outputShape),
      whole(parametersOf(layer)),
    ]),
  ];
  const widths = [0, 1, 2, 3].map((column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  const lines = rows.map((row) =>
    row
      .map((cell, column) => (column === 3 ? cell.padStart(widths[column] ?? 0) : cell.padEnd(widths[column] ?? 0)))
      .join('  ')
      .trimEnd(),
  );
  const rule = '-'.repeat(widths.reduce((sum, width) => sum + width, 6));
  const fixed = plan.weightCount - plan.parameterCount;
  const megabytes = (plan.weightCount * 4) / 1024 / 1024;
  return [
    lines[0],
    rule,
    ...lines.slice(1),
    rule,
    `${whole(plan.weightCount)} parameters (${megabytes < 0.1 ? megabytes.toFixed(3) : megabytes.toFixed(1)} MiB): ${whole(plan.parameterCount)} trained${fixed > 0 ? `, ${whole(fixed)} averaged (moving statistics)` : ''}`,
  ].join('\n');
}

/** The same as a document. */
export const modelDocument = (plan: ModelPlan) => ({
  inputShape: plan.inputShape,
  classes: plan.classes,
  layers: plan.layers.map((layer) => ({
    name: layer.name,
    type: layer.spec.type,
    inputShape: layer.inputShape,
    outputShape: layer.outputShape,
    parameters: parametersOf(layer),
    spec: layer.spec,
  })),
  parameters: { total: plan.weightCount, trained: plan.parameterCount },
});
