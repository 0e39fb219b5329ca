import type { Findings } from '@crossfold/shared/jobs/job-result';
import type { Reliability, Results } from '@crossfold/shared/results';

/** Mistakes that are shown of all folds together; each fold keeps as many. */
const shownMistakes = 12;

/** What the net of one fold tells of its validation samples. */
export interface FoldFindings extends Findings {
  readonly repeat: number;
  readonly fold: number;
}

/** Findings of several folds as those of one set of samples; undefined where there are none. */
export function pooledFindings(folds: readonly FoldFindings[]): Results['outOfFold'] {
  if (folds.length === 0) return undefined;
  const seen = new Set<number>();
  const mistakes = folds
    .flatMap(({ repeat, fold, mistakes: own }) => own.map((mistake) => ({ ...mistake, repeat, fold })))
    .sort((a, b) => b.confidence - a.confidence || a.sample - b.sample)
    .filter(({ sample }) => !seen.has(sample) && seen.add(sample));
  const reliability = pooledReliability(folds.map((each) => each.reliability));
  const samples = reliability.bins.reduce((sum, bin) => sum + bin.samples, 0);
  return { samples, reliability, mistakes: mistakes.slice(0, shownMistakes) };
}

/** The reliability of all samples together: bins are the same ranges everywhere. */
function pooledReliability(all: readonly Reliability[]): Reliability {
  const ranges = new Map<number, Reliability['bins'][number]>();
  for (const bin of all.flatMap(({ bins }) => bins)) {
    const known = ranges.get(bin.from);
    const samples = (known?.samples ?? 0) + bin.samples;
    const mean = (of: 'confidence' | 'accuracy'): number =>
      ((known?.[of] ?? 0) * (known?.samples ?? 0) + bin[of] * bin.samples) / samples;
    ranges.set(bin.from, { ...bin, samples, confidence: mean('confidence'), accuracy: Math.min(1, mean('accuracy')) });
  }
  const bins = [...ranges.values()].sort((a, b) => a.from - b.from);
  const samples = bins.reduce((sum, bin) => sum + bin.samples, 0);
  const off = bins.reduce((sum, bin) => sum + bin.samples * Math.abs(bin.confidence - bin.accuracy), 0);
  return { error: samples === 0 ? 0 : Math.min(1, off / samples), bins };
}
