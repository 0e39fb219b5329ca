import { findings } from '@crossfold/coordinator/results/findings';
import { formatFoldTable } from '@crossfold/coordinator/results/fold-table';
import { foldsCsv } from '@crossfold/coordinator/results/folds-csv';
import { reportMarkdown } from '@crossfold/coordinator/results/markdown';
import { rankingText } from '@crossfold/coordinator/results/ranking';
import { reportHtml } from '@crossfold/coordinator/results/report/report';
import { completedFolds } from '@crossfold/coordinator/results/select';
import { judge } from '@crossfold/coordinator/results/verdict';
import { compareTrials } from '@crossfold/shared/metrics/comparison';
import type { PlacedScore } from '@crossfold/shared/metrics/repeats';
import { meanOf, sampleStd, summarize } from '@crossfold/shared/metrics/summary';
import { Results, type TrialResult } from '@crossfold/shared/results';
import { describe, expect, it } from 'vitest';
import { type Story, storyResults } from '../support/finished.ts';

const placed = (...values: number[]): PlacedScore[] =>
  values.map((value, fold) => ({ value, fold, repeat: 0, trainSamples: 80, validationSamples: 20 }));

describe('the verdict', () => {
  const trials = (...accuracies: number[]): readonly TrialResult[] =>
    storyResults({ samples: 2000, trials: accuracies.map((accuracy) => ({ accuracy, parameters: {} })) }).trials;
  interface Plan {
    readonly folds: readonly number[];
    readonly weights: number;
  }
  /** Trials with these accuracies in their folds, and this many weights. */
  function planned(...plans: readonly Plan[]): TrialResult[] {
    const all = trials(...plans.map(() => 0.9));
    return all.map((trial, i) => {
      const values = plans[i]?.folds ?? [];
      const accuracy = summarize(placed(...values));
      if (trial.summary === null || accuracy === undefined) throw new Error('a story has folds');
      const folds = completedFolds(trial).map((fold, k) => ({
        ...fold,
        validation: { ...fold.validation, accuracy: values[k] ?? 0 },
      }));
      return { ...trial, folds, weights: plans[i]?.weights ?? 0, summary: { ...trial.summary, accuracy } };
    });
  }

  it('tells a planted winner from the rest, and not from its likes', () => {
    const { best, trials: judged } = judge(trials(0.7, 0.9, 0.895, 0.8));
    expect(best?.trial === 1 || best?.trial === 2).toBe(true);
    expect(best?.undecided).toEqual([best?.trial === 1 ? 2 : 1]);
    expect(judged[0]?.comparison?.pAdjusted).toBeLessThan(0.05);
    expect(judged[0]?.comparison?.p).toBeLessThanOrEqual(judged[0]?.comparison?.pAdjusted ?? 0);
    expect(judged.find(({ trial }) => trial === best?.trial)).not.toHaveProperty('comparison');
  });

  it('names the smallest net within one standard error of the best', () => {
    // The standard error is 0.0158 x sqrt(1 / 5 + 1 / 4) = 0.0106.
    const best = { folds: [0.9, 0.92, 0.94, 0.91, 0.93], weights: 1000 };
    const near = { folds: [0.89, 0.91, 0.93, 0.9, 0.92], weights: 100 };
    const far = { folds: [0.88, 0.9, 0.92, 0.89, 0.91], weights: 10 };
    const chosen = (...plans: readonly Plan[]) => judge(planned(...plans)).best;
    expect(chosen(far, best, near)).toMatchObject({ trial: 1, oneStandardError: 2 });
    expect(chosen(far, { ...best, weights: 99 }, near)).toMatchObject({ trial: 1, oneStandardError: 1 });
    expect(chosen(near, { ...near, weights: 99 }, best)).toMatchObject({ trial: 2, oneStandardError: 1 });
  });

  it('of a single trial is that trial', () => {
    expect(judge(trials(0.9)).best).toEqual({ trial: 0, by: 'accuracy', undecided: [], oneStandardError: 0 });
  });

  it('of single splits tells nothing apart', () => {
    const all = storyResults({
      method: 'holdout',
      trials: [0.9, 0.5].map((accuracy) => ({ accuracy, parameters: {} })),
    });
    expect(all.best).toEqual({ trial: 0, by: 'accuracy', undecided: [], oneStandardError: 0 });
    expect(all.trials[1]).not.toHaveProperty('comparison');
  });

  it('compares a trial that was given up on the folds that it has', () => {
    const all = storyResults({
      trials: [0.9, 0.6].map((accuracy) => ({ accuracy, parameters: {} })),
      ended: { '1.3': { state: 'pruned' }, '1.4': { state: 'pruned' } },
    });
    expect(all.trials[1]?.comparison).toMatchObject({ folds: 3, difference: expect.closeTo(0.3, 0) });
  });
});

describe('what halving has stopped', () => {
  /** Trials of which all but the first were stopped after so many epochs. */
  function halved(...stopped: readonly { readonly accuracy: number; readonly epochs: number }[]): Results {
    const plans = [{ accuracy: 0.9, epochs: 6 }, ...stopped].map((plan) => ({ ...plan, parameters: {} }));
    const places = stopped.flatMap((_, i) => [0, 1, 2, 3, 4].map((fold) => `${i + 1}.${fold}`));
    const ended = Object.fromEntries(places.map((place) => [place, { state: 'pruned' as const, kept: true }]));
    const results = storyResults({ samples: 2000, trials: plans, ended });
    const trials = results.trials.map((trial, i): TrialResult => {
      const { epochs = 6 } = plans[i] ?? {};
      if (i === 0) return trial;
      const folds = trial.folds.map((fold) => {
        if (fold.status === 'completed' || fold.history === undefined) throw new Error('it was stopped');
        const { loss, accuracy, valLoss, valAccuracy } = fold.history;
        const history = {
          loss: loss.slice(0, epochs),
          accuracy: accuracy.slice(0, epochs),
          valLoss: valLoss.slice(0, epochs),
          valAccuracy: valAccuracy.slice(0, epochs),
        };
        return { ...fold, epochs, history };
      });
      return { ...trial, folds };
    });
    return { ...results, ...judge(trials) };
  }
  const valAccuracies = (results: Results, trial: number, epoch: number): number[] =>
    (results.trials[trial]?.folds ?? []).map(({ history }) => history?.valAccuracy[epoch - 1] ?? Number.NaN);

  it('is compared with the best as both were after the epoch at which it was stopped', () => {
    const results = halved({ accuracy: 0.6, epochs: 2 }, { accuracy: 0.9, epochs: 3 });
    for (const [trial, epoch] of [
      [1, 2],
      [2, 3],
    ] as const) {
      const [best, own] = [valAccuracies(results, 0, epoch), valAccuracies(results, trial, epoch)];
      const { comparison } = results.trials[trial] ?? {};
      expect(comparison?.at).toEqual({
        epoch,
        best: expect.closeTo(meanOf(best), 12),
        trial: expect.closeTo(meanOf(own), 12),
      });
      expect(comparison).toMatchObject(compareTrials(placed(...best), placed(...own)) ?? {});
      expect(comparison?.folds).toBe(5);
    }
    expect(results.best?.undecided).toEqual([]);
  });

  it('counts as it ended where a training had ended by itself', () => {
    const results = halved({ accuracy: 0.6, epochs: 4 });
    const [best, own] = results.trials;
    if (best === undefined || own === undefined) throw new Error('a story has trials');
    const short = {
      ...best,
      folds: completedFolds(best).map((fold) => ({
        ...fold,
        history: { ...fold.history, valAccuracy: fold.history.valAccuracy.slice(0, 3) },
      })),
    };
    const at = judge([short, own]).trials[1]?.comparison?.at;
    expect(at).toMatchObject({ epoch: 4, best: expect.closeTo(meanOf(valAccuracies(results, 0, 3)), 12) });
  });

  it('is told of with the epoch wherever trials are listed', () => {
    const results = halved({ accuracy: 0.3, epochs: 2 }, { accuracy: 0.9, epochs: 3 });
    const ranking = rankingText(results);
    expect(ranking[0]).toBe('Only trial 0 was trained to the end.');
    expect(ranking[1]).toMatch(
      /^Compared with trial 0 on the same folds after the epoch at which the search stopped each \(2 and 3\), trial 1 was behind it by more than chance explains; trial 2 cannot be told apart from it\. Trained/,
    );
    expect(formatFoldTable(results, { color: false })).toMatch(
      / 1 .* -?\d+\.\d\d points at epoch 2, p (< )?0\.\d{3} .* pruned at epoch 2/,
    );
    expect(reportMarkdown(results, '')).toMatch(/\| 1 \| .*points at epoch 2 \| .* \| pruned at epoch 2 \|/);
    const csv = foldsCsv(results).split('\n');
    expect(csv[0]).toContain(',belowBest,pAdjusted,comparedFolds,comparedAtEpoch');
    expect(csv.find((line) => line.startsWith('1,0,0,pruned,0.'))).toMatch(/,5,2$/);
    const page = reportHtml({ results, yaml: '' });
    for (const part of [
      'trial 2, epoch 3',
      'points at epoch 2</td>',
      'after epoch 2: ',
      'pruned at epoch 3, undecided',
    ])
      expect(page.includes(part)).toBe(true);
    expect(Results.safeParse(results).success).toBe(true);
  });
});

describe('in words', () => {
  const words = (story: Story): string => rankingText(storyResults(story)).join('\n');
  const trials = (...accuracies: number[]) => accuracies.map((accuracy) => ({ accuracy, parameters: {} }));

  it('folds that came out equal are no certainty', () => {
    const results = storyResults({ trials: trials(0.9) });
    const [trial] = results.trials;
    const accuracy = summarize(placed(0.9, 0.9, 0.9, 0.9, 0.9));
    if (trial?.summary == null || accuracy === undefined) throw new Error('a story has a trial');
    const equal = { ...results, trials: [{ ...trial, summary: { ...trial.summary, accuracy } }] };
    expect(findings(equal).verdict).toMatch(
      /came out the same in each of 5 folds.*no confidence interval can be given/,
    );
    expect(findings(results).verdict).toContain('with 95 % confidence');
  });

  it('repeats of the same split count once for each fold, and tell their own spread', () => {
    const results = storyResults({ repeats: 3, trials: trials(0.9, 0.8) });
    const [trial, other] = results.trials;
    expect(results.split).toMatchObject({ folds: 5, repeats: 3, resplit: false });
    if (trial === undefined) throw new Error('a story has trials');
    const own = completedFolds(trial);
    const means = [0, 1, 2, 3, 4].map((k) =>
      meanOf(own.filter(({ fold }) => fold === k).map(({ validation }) => validation.accuracy)),
    );
    expect(own).toHaveLength(15);
    expect(trial.summary?.accuracy.std).toBeCloseTo(sampleStd(means), 12);
    expect(other?.comparison?.folds).toBe(5);
    expect(findings(results).remarks.join()).toContain('Repeats have the same split');
    expect(findings(storyResults({ trials: trials(0.9) })).remarks.join()).not.toContain('Repeats');
  });

  it('nothing is said of a single trial', () => {
    expect(words({ trials: trials(0.9) })).toBe('');
  });

  it('the best is better, or cannot be told apart', () => {
    expect(words({ samples: 2000, trials: trials(0.7, 0.9) })).toMatch(
      /^Trial 1 is better than the other trial by more/,
    );
    expect(words({ samples: 2000, trials: trials(0.7, 0.9, 0.65) })).toContain(
      'better than each of the other 2 trials',
    );
    const close = words({ samples: 2000, trials: trials(0.9, 0.9, 0.9, 0.6) });
    expect(close).toMatch(/^Trial \d has the highest mean, but trials \d and \d and it cannot be told apart/);
    expect(close).toContain('; one trial is worse by more than that.');
    expect(words({ samples: 400, trials: trials(...new Array(12).fill(0.9)) })).toMatch(/but \d+ other trials and it/);
  });

  it('a single split tells nothing apart, and a best of several is too good', () => {
    expect(words({ method: 'holdout', trials: trials(0.9, 0.8) })).toMatch(
      /^Trial 0 .* With a single split it cannot be/,
    );
    expect(words({ trials: trials(0.9, 0.8) })).toContain('looks better than it is, because it was chosen by');
  });

  it('trials that ended too early are counted', () => {
    const ended = Object.fromEntries([1, 2, 3, 4].map((fold) => [`1.${fold}`, { state: 'pruned' as const }]));
    expect(words({ trials: trials(0.9, 0.3), ended })).toContain('1 trial was stopped early by the search.');
    const alone = Object.fromEntries([0, 1, 2, 3, 4].map((fold) => [`1.${fold}`, { state: 'pruned' as const }]));
    expect(words({ trials: trials(0.9, 0.3), ended: alone })).toMatch(
      /^Only trial 0 was trained to the end: whether it/,
    );
    const failed = words({
      trials: trials(0.9, 0.8, 0.8, 0.8),
      ended: { '1.0': { state: 'failed' }, '2.1': { state: 'failed' } },
    });
    expect(failed).toContain('2 trials were ended by failures.');
    expect(failed).toMatch(/^Trial 0 .*(better than the other trial|but trial 3 and it)/);
  });

  it('a smaller net that does as well is named, with what it costs', () => {
    const results = storyResults({ samples: 2000, trials: trials(0.9, 0.7) });
    const [winner, other] = results.trials;
    if (winner?.summary == null || other === undefined || results.best === null) throw new Error('a story has trials');
    const small = { ...other, weights: 1000, summary: winner.summary };
    const text = rankingText({ ...results, trials: [winner, small], best: { ...results.best, oneStandardError: 1 } });
    expect(text.join()).toContain(
      'trial 1 is the smallest net with 1,000 weights in place of 93,322: 0.00 points less',
    );
  });
});
