import { join } from 'node:path';
import type { Results } from '@crossfold/shared/results';
import type { Outcome } from '../client/types.ts';
import { resolvedYaml } from '../config/load.ts';
import { writeWhole } from '../write-whole.ts';
import { historyCsv } from './history-csv.ts';
import { reportHtml } from './report/report.ts';

/** Names of a run folder's files. */
export const runFiles = {
  experiment: 'experiment.yaml',
  folds: 'folds.json',
  results: 'results.json',
  history: 'history.csv',
  report: 'report.html',
  models: 'models',
} as const;

/** Name of a fold's, or a refit's, model in a run folder. */
export function modelFile(trial: number, repeat: number, fold: number | 'refit', repeats: number): string {
  const of = fold === 'refit' ? '-refit' : `${repeats > 1 ? `-repeat-${repeat}` : ''}-fold-${fold}`;
  return join(runFiles.models, `trial-${trial}${of}.safetensors`);
}

/**
 * Writes what a finished experiment left into its run folder. Each file appears whole or not at all; `results.json`
 * comes last, so that where it is, the rest is too.
 */
export async function writeRunFolder(outcome: Outcome, folder: string): Promise<void> {
  const { experiment, results, folds, models } = outcome;
  const write = (name: string, content: string | Uint8Array): Promise<void> => writeWhole(join(folder, name), content);
  const yaml = resolvedYaml(experiment);
  await write(runFiles.experiment, yaml);
  if (folds !== undefined) await write(runFiles.folds, `${JSON.stringify(folds)}\n`);
  for (const { trial, repeat, fold, bytes } of models)
    await write(modelFile(trial, repeat, fold, results?.split.repeats ?? 1), bytes);
  if (results === undefined) return;
  await write(runFiles.history, historyCsv(results));
  await write(runFiles.report, reportHtml({ results, yaml }));
  await write(runFiles.results, resultsJson(results));
}

/** Results as JSON that people can read: indented, with lists of numbers on one line. */
export const resultsJson = (results: Results): string =>
  // A line break cannot stand inside a JSON string, so only lists are met.
  `${JSON.stringify(results, null, 2).replaceAll(/\[\n\s+([-+.\deE,\s]+)\n\s+\]/g, (_, numbers: string) => `[${numbers.replaceAll(/\s+/g, ' ')}]`)}\n`;
