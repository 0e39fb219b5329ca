import type { TrialResult } from '@crossfold/shared/results';

export interface ParameterColumn {
  /** Dotted path in the experiment. */
  readonly path: string;
  /** As much of the path's end as tells it from the others. */
  readonly name: string;
}

/** The parameters of trials, in the order in which they are met. */
export function parameterColumns(trials: readonly TrialResult[]): ParameterColumn[] {
  const paths = [...new Set(trials.flatMap(({ parameters }) => Object.keys(parameters)))];
  return paths.map((path) => ({ path, name: shortName(path, paths) }));
}

function shortName(path: string, all: readonly string[]): string {
  const parts = path.split('.');
  for (let from = parts.length - 1; from > 0; from--) {
    const end = parts.slice(from).join('.');
    // A number alone says nothing.
    if (/^\d/.test(end)) continue;
    if (all.every((other) => other === path || !(other === end || other.endsWith(`.${end}`)))) return end;
  }
  return path;
}
