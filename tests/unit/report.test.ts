import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { main } from '@crossfold/coordinator/cli/main';
import { findings } from '@crossfold/coordinator/results/findings';
import { formatFoldTable } from '@crossfold/coordinator/results/fold-table';
import { foldsCsv } from '@crossfold/coordinator/results/folds-csv';
import { escapeMarkdown, reportMarkdown } from '@crossfold/coordinator/results/markdown';
import { mistakes, pooledScores } from '@crossfold/coordinator/results/pooled';
import { smoothed } from '@crossfold/coordinator/results/report/charts/curves';
import { parallel } from '@crossfold/coordinator/results/report/charts/parallel';
import { plot } from '@crossfold/coordinator/results/report/charts/plot';
import { html, raw } from '@crossfold/coordinator/results/report/html';
import { parameterColumns } from '@crossfold/coordinator/results/report/parameters';
import { reportHtml } from '@crossfold/coordinator/results/report/report';
import { writeRunFolder } from '@crossfold/coordinator/results/run-folder';
import { splitText } from '@crossfold/coordinator/results/text';
import { summarize } from '@crossfold/shared/metrics/summary';
import type { CompletedFold, Results } from '@crossfold/shared/results';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { experimentRecord, type FakeBehaviour, fakeWorld } from '../support/fake-client.ts';
import { type Story, storyOutcome, storyResults } from '../support/finished.ts';

const completed = (results: Results): CompletedFold[] =>
  (results.trials[0]?.folds ?? []).flatMap((fold) => (fold.status === 'completed' ? [fold] : []));

/** Results whose folds have another history. */
function withHistory(valLoss: readonly number[], over: Partial<CompletedFold> = {}): Results {
  const results = storyResults({ epochs: valLoss.length, samples: 200 });
  const flat = valLoss.map(() => 0.9);
  const history = { loss: flat, accuracy: flat, valLoss, valAccuracy: flat };
  return {
    ...results,
    trials: results.trials.map((trial) => ({
      ...trial,
      folds: completed(results).map((fold) => ({ ...fold, bestEpoch: valLoss.length - 1, history, ...over })),
    })),
  };
}
const remarks = (results: Results): string => findings(results).remarks.join('\n');

describe('what results say in words', () => {
  it('begins with the mean, its spread and its interval', () => {
    const results = storyResults();
    const { mean = 0, std = 0, ci95 = [] } = results.trials[0]?.summary?.accuracy ?? {};
    const text = findings(results).verdict;
    for (const value of [mean, ...ci95]) expect(text).toContain(`${(100 * value).toFixed(2)} %`);
    expect(text).toContain(`${(100 * std).toFixed(2)} points`);
    expect(text).toMatch(/^In 5-fold cross-validation, the net, trained on 80 % of the 1,280 samples of mnist/);
  });

  it('warns of a single split, and of no result at all', () => {
    expect(findings(storyResults({ method: 'holdout' })).verdict).toContain('A single split does not tell');
    const ended = { '0.0': { state: 'failed' as const, error: 'no memory' }, '0.1': { state: 'cancelled' as const } };
    const nothing = findings(storyResults({ folds: 2, ended, testSamples: 0 }));
    expect(nothing.verdict).toContain('nothing can be said');
    expect(nothing.problems).toEqual(['fold 0 failed: no memory']);
  });

  it.each([
    [[0.5, 0.4, 0.3], {}, 'at its lowest in the last epoch: more epochs may well help'],
    [[0.5, 0.3, 0.301], {}, 'levelled off'],
    [[0.5, 0.3, 0.6], {}, 'lowest after about 2 of 3 epochs, and in the end 100 % higher'],
    [[0.5, 0.3, 0.6], { bestEpoch: 1 }, "the weights of each fold's best epoch were kept"],
  ])('tells of the course of training: %j %j', (valLoss, over, text) => {
    expect(remarks(withHistory(valLoss, over))).toContain(text);
  });

  it('compares with the most frequent class, and tells whether that is any better', () => {
    expect(remarks(storyResults())).toMatch(
      /Always answering “\d”, the most frequent class, would be right for 1\d\.\d\d %/,
    );
    const poor = storyResults({ trials: [{ accuracy: 0.02, parameters: {} }] });
    expect(remarks(poor)).toContain('That is no better than always answering');
  });

  it('tells of overfitting only where there is some', () => {
    const results = withHistory([0.5, 0.4]);
    expect(remarks(results)).not.toContain('overfits');
    const over = { history: { loss: [1, 1], accuracy: [0.9, 0.99], valLoss: [1, 1], valAccuracy: [0.8, 0.9] } };
    expect(remarks(withHistory([1, 1], over))).toContain('Accuracy is 9.00 points higher on the samples trained on');
  });

  it('marks the epoch from which on the net overfits in each curve, and in no other case', () => {
    const page = (valLoss: readonly number[], loss: readonly number[]): string => {
      const results = withHistory(valLoss, { history: { loss, valLoss, accuracy: loss, valAccuracy: loss } });
      return reportHtml({ results, yaml: '' });
    };
    const falling = [0.9, 0.7, 0.5, 0.4, 0.3];
    const marked = page([0.9, 0.6, 0.5, 0.7, 0.8], falling);
    expect(marked).toContain('epoch 3: it overfits from here on');
    expect(marked.match(/<line class="overfits"/g)).toHaveLength(2);
    expect(findings(withHistory([0.9, 0.6, 0.5, 0.7, 0.8])).remarks.join()).toContain('lowest after about 3 of 5');
    for (const [valLoss, loss] of [
      [[0.9, 0.8, 0.7, 0.6, 0.5], falling],
      // Hardly higher.
      [[0.9, 0.6, 0.5, 0.51, 0.52], falling],
      // What goes up with the training loss is something else.
      [
        [0.9, 0.6, 0.5, 0.7, 0.8],
        [0.9, 0.6, 0.4, 0.7, 0.8],
      ],
    ] as const)
      expect(page(valLoss, loss)).not.toContain('overfits from here on');
  });

  it('takes no noisy epoch for overfitting, in words or in the curves, and says what its figures are of', () => {
    const results = (valLoss: readonly number[]): Results => {
      const loss = valLoss.map((_, epoch) => 1 / (2 + epoch));
      return withHistory(valLoss, { history: { loss, valLoss, accuracy: loss, valAccuracy: loss } });
    };
    const level = Array.from({ length: 30 }, (_, epoch) => 0.5 + 0.4 * Math.exp(-epoch / 4));
    // Two epochs by chance far below, and the last 11 % above: nothing comes of it.
    const noisy = results(level.map((value, epoch) => value * (epoch === 29 ? 1.11 : epoch % 20 === 5 ? 0.6 : 1)));
    expect(remarks(noisy)).toMatch(
      /validation loss \(median of 5 epochs\) has levelled off: it was lowest after about \d+ of 30/,
    );
    expect(reportHtml({ results: noisy, yaml: '' })).not.toContain('overfits from here on');
    const rising = results(level.map((value, epoch) => (epoch === 20 ? 0.3 : value + 0.02 * Math.max(0, epoch - 10))));
    const [, when] =
      /\(median of 5 epochs\) was lowest after about (\d+) of 30 epochs, and in the end \d+ % higher/.exec(
        remarks(rising),
      ) ?? [];
    expect(Number(when)).toBeGreaterThan(8);
    expect(Number(when)).toBeLessThan(14);
    expect(reportHtml({ results: rising, yaml: '' })).toContain(`epoch ${when}: it overfits from here on`);
  });

  it('labels an axis as far as labels have room', () => {
    const drawn = (width: number): string => {
      const x = { domain: [0.636, 0.669], label: 'accuracy', ticks: 5, format: 'percent' } as const;
      const margin = { top: 0, right: 24, bottom: 40, left: 80 };
      return plot({ width, height: 100, description: '', x, margin }, () => html``).html;
    };
    const labels = (svg: string): number[] =>
      [...svg.matchAll(/<text class="x" x="([\d.]+)"/g)].map(([, place]) => Number(place));
    // `63.5 %` takes some 40.
    for (const width of [300, 450, 900])
      labels(drawn(width)).forEach((place, i, all) => {
        expect(place - (all[i - 1] ?? Number.NEGATIVE_INFINITY)).toBeGreaterThan(45);
      });
    expect(drawn(450).match(/<line/g)).toHaveLength(8);
    expect(labels(drawn(900))).toHaveLength(8);
  });

  it('draws the curves smoothed, too, where there are epochs enough', () => {
    const steps = Array.from({ length: 12 }, (_, epoch) => 1 / (1 + epoch));
    const drawn = (values: readonly number[]): string => reportHtml({ results: withHistory(values), yaml: '' });
    expect(drawn(steps)).toContain('<summary>Smoothed</summary>');
    expect(drawn(steps.slice(0, 9))).not.toContain('<summary>Smoothed</summary>');
    const [fold] = smoothed(completed(withHistory([1, 0, 0])));
    expect(fold?.history.valLoss.map((value) => value.toFixed(3))).toEqual(['1.000', '0.800', '0.640']);
  });

  it('compares the test set with the interval', () => {
    const results = storyResults();
    const test = (accuracy: number): Results =>
      results.test === undefined ? results : { ...results, test: { ...results.test, accuracy } };
    expect(remarks(test(0.5))).toContain('below what cross-validation led to expect');
    expect(remarks(test(1))).toContain('above what cross-validation led to expect');
    expect(remarks(test(0.97))).toContain('which is what cross-validation led to expect');
  });

  it('names the most frequent mistakes', () => {
    const results = storyResults();
    const [most] = mistakes(pooledScores(completed(results), 10).confusionMatrix);
    expect(remarks(results)).toContain(`“${most?.actual}” taken for “${most?.predicted}” (${most?.count})`);
  });
});

describe('a search', () => {
  const trials = [0.9, 0.95, 0.6].map((accuracy, i) => ({ accuracy, parameters: { seed: i } }));
  const results = storyResults({ trials, ended: { '2.3': { state: 'pruned' }, '2.4': { state: 'pruned' } } });
  const search: NonNullable<Results['search']> = {
    method: 'racing',
    foldEpochs: 78,
    exhaustiveFoldEpochs: 90,
    rounds: [
      { folds: 2, epochs: 6, scores: [], dropped: [] },
      {
        folds: 3,
        epochs: 6,
        scores: [1, 0, 2].map((trial) => ({ trial, accuracy: 0.9, loss: 1 })),
        dropped: [{ trial: 2, reason: 'behind', versus: 1, behind: 0.35, pValue: 0.0002 }],
      },
    ],
  };

  it('tells what it saved, and whom it stopped on what evidence', () => {
    const text = reportHtml({ results: { ...results, search }, yaml: '' });
    expect(text).toContain('Search by racing: 78 epochs of a fold were trained, 86.67 % of the 90 that all trials');
    expect(text).toContain('1 trial was stopped early.');
    expect(text).toMatch(
      /<td>3<\/td><td>6<\/td><td>3<\/td><td class="text">trial 2 \(35\.00 points behind trial 1, p &lt; 0\.001 in the race\)</,
    );
  });

  it('within each fold is worth what it found there', () => {
    const outer = [1, 1, 0, 1, 1].map((trial, fold) => {
      const of = results.trials[trial]?.folds[fold];
      return { fold, trial, accuracy: of?.validation?.accuracy ?? 0, loss: of?.validation?.loss ?? 0 };
    });
    const summary = (values: readonly number[]) =>
      summarize(values.map((value) => ({ value, trainSamples: 1024, validationSamples: 256 }))) ?? null;
    const nested = {
      outer,
      accuracy: summary(outer.map(({ accuracy }) => accuracy)),
      loss: summary(outer.map(({ loss }) => loss)),
    };
    const all: Results = { ...results, split: { ...results.split, method: 'nested' }, nested };
    const found = findings(all);
    expect(found.verdict).toContain('nets that were searched for within each fold');
    expect(found.verdict).toContain(`classify correctly ${(100 * (nested.accuracy?.mean ?? 0)).toFixed(2)} %`);
    expect(found.ranking.join()).toContain(
      'did not find the same within each of the 5 outer folds: trial 1 in 4, trial 0 in 1.',
    );
    expect(found.trial?.folds.map(({ validation }) => validation?.accuracy)).toEqual(
      outer.map(({ accuracy }) => accuracy),
    );
    expect(reportHtml({ results: all, yaml: '' })).toContain('>Folds of what was found in each</h2>');
    expect(formatFoldTable(all, { color: false })).toContain('What was found within each fold, on that fold:');
  });
});

it('every way to split has a name', () => {
  const text = (method: string, folds = 5, repeats = 1): string => splitText({ method, folds, repeats });
  expect([
    text('kfold'),
    text('repeated-kfold', 5, 3),
    text('group-kfold'),
    text('leave-one-out', 40),
    text('holdout', 1),
    text('nested'),
    text('predefined', 1),
    text('predefined', 4),
  ]).toEqual([
    '5-fold cross-validation',
    '3 times repeated 5-fold cross-validation',
    '5-fold cross-validation with whole groups',
    'leave-one-out cross-validation',
    'hold-out validation',
    'nested 5-fold cross-validation',
    "validation on the data set's own split",
    "4-fold cross-validation on the data set's own folds",
  ]);
});

describe('markup', () => {
  it('escapes all that is put into it but markup', () => {
    const text = `<b a='1' b="2">&`;
    expect(html`<p title="${text}">${text}${raw('<i>')}${[html`<u>${1}</u>`, undefined, 'x<']}</p>`.html).toBe(
      '<p title="&lt;b a=&#39;1&#39; b=&quot;2&quot;&gt;&amp;">&lt;b a=&#39;1&#39; b=&quot;2&quot;&gt;&amp;<i><u>1</u>x&lt;</p>',
    );
  });
});

describe('the page', () => {
  const page = (story: Story, yaml = 'name: x\n'): string => reportHtml({ results: storyResults(story), yaml });

  it('forbids everything but its own style and script', () => {
    expect(page({ samples: 100 })).toMatch(
      /Content-Security-Policy" content="default-src &#39;none&#39;; img-src data:; style-src &#39;sha256-[\w+/=]+&#39;; script-src &#39;sha256-[\w+/=]+&#39;; base-uri &#39;none&#39;/,
    );
  });

  it('names no address, and stays small', () => {
    const text = page({ folds: 10, epochs: 100 });
    expect(text).not.toMatch(/(src|href|url)\s*[=(]|https?:/);
    expect(text.length).toBeLessThan(400_000);
  });

  it('keeps its size for long trainings and many folds', () => {
    expect(page({ folds: 100, samples: 2000, epochs: 500 }).length).toBeLessThan(3_000_000);
  });

  it('lists mistakes where there are too many classes for a matrix', () => {
    const classes = Array.from({ length: 40 }, (_, k) => `class-${k}`);
    const text = page({ classes, samples: 2000 });
    expect(text).toContain('Most frequent mistakes.');
    expect(text).not.toContain('class="matrix');
  });

  it('has the experiment and the digests to run it again', () => {
    const results = storyResults({ samples: 100 });
    const text = reportHtml({ results, yaml: 'name: "<x>"\n' });
    expect(text).toContain('name: &quot;&lt;x&gt;&quot;');
    for (const digest of [results.split.digest, results.dataset.digest, completed(results)[4]?.weightsSha256 ?? '?'])
      expect(text).toContain(digest);
  });
});

describe('Markdown', () => {
  it('of several trials compares them', () => {
    const trials = [0.6, 0.95].map((accuracy, i) => ({ accuracy, parameters: { 'training.epochs': i + 1 } }));
    const text = reportMarkdown(storyResults({ trials }), '');
    expect(text).toContain('Trial 1 is better than the other trial by more than chance explains');
    expect(text).toMatch(
      /\| trial \| accuracy .* below the best \| p \|.*\n.*\n\| 1 \(best\) \| 9.*\n\| 0 \| 5.* points \| &lt; 0\.001 \|/,
    );
    expect(text).toContain('## Folds of trial 1');
  });

  it('has verdict, folds, classes and the experiment', () => {
    const text = reportMarkdown(storyResults(), 'name: x\n```\n');
    expect(text).toMatch(/^# mnist-kfold\n\n5-fold cross-validation of mnist, completed in 1 min 23 s/);
    expect(text).toMatch(
      /\| fold \| accuracy .*\n\| ---: \|.*\n(\| \d \| 9\d\.\d\d % .*\n){5}\| mean \| 9\d\.\d\d ± \d\.\d\d % /,
    );
    expect(text).toContain('\n````yaml\nname: x\n```\n````\n');
  });

  it('of texts with a meaning in Markdown shows the texts', () => {
    expect(escapeMarkdown('a|b <i>*c*</i>\n`d` [e](f) & #g')).toBe(
      'a\\|b &lt;i>\\*c\\*&lt;/i> \\`d\\` \\[e\\](f) &amp; \\#g',
    );
  });
});

describe('parameters', () => {
  const trials = (...parameters: Record<string, unknown>[]) =>
    storyResults({ samples: 100, folds: 2, trials: parameters.map((each) => ({ accuracy: 0.9, parameters: each })) })
      .trials;

  it('are called by the end of their path that tells them apart', () => {
    const names = parameterColumns(
      trials(
        { 'training.optimizer.learningRate': 1, 'model.layers.0.filters': 2 },
        { 'model.layers.2.filters': 3, 'a.5': 1, seed: 1 },
      ),
    ).map(({ name }) => name);
    expect(names).toEqual(
      ['learningRate', '0.filters', '2.filters', 'a.5', 'seed'].map((n) => (n.match(/^\d/) ? `layers.${n}` : n)),
    );
  });

  it('that differ become axes, wide ranges by their logarithm', () => {
    const all = trials({ rate: 0.1, size: 1, kind: 'a' }, { rate: 0.001, size: 1, kind: 'b' }, { rate: 0.01, size: 1 });
    const drawn = parallel(all, parameterColumns(all), 0)?.html ?? '';
    expect(drawn).toContain('an axis each for rate (log), kind, accuracy');
    expect(drawn.match(/class="line /g)).toHaveLength(3);
    // Half-way between 0.1 and 0.001 by the logarithm is 0.01: the middle of the axis.
    expect(drawn).toMatch(/data-key="trial-2"[^>]* d="M70 172[^L"]*"/);
    expect(parallel(trials({ size: 1 }, { size: 1 }), [{ path: 'size', name: 'size' }], 0)).toBeUndefined();
  });
});

it('CSV has a line a fold, parameters as columns, and texts quoted', () => {
  const trials = [
    { accuracy: 0.9, parameters: { 'training.optimizer.learningRate': 0.1 } },
    { accuracy: 0.9, parameters: { 'training.optimizer.learningRate': 0.01, model: { preset: 'a "b", c' } } },
  ];
  const ended = { '1.1': { state: 'failed' as const } };
  const [head, ...lines] = foldsCsv(storyResults({ folds: 2, trials, ended }))
    .trimEnd()
    .split('\n');
  expect(head).toMatch(/^trial,repeat,fold,status,accuracy,loss,.*,training\.optimizer\.learningRate,model$/);
  expect(lines).toHaveLength(4);
  expect(lines[0]).toMatch(/^0,0,0,completed,0\.\d+,0\.\d+,,6,5,640,640,3840,.*,worker-0,[0-9a-f]{64},.*,0\.1,$/);
  expect(lines[3]).toMatch(/^1,0,1,failed,,,,,,640,640,,,,0,worker-1,,,,,,0\.01,"\{""preset"":""a \\""b\\"", c""\}"$/);
});

describe('crossfold report', () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'crossfold-report-'));
  });
  afterEach(() => rm(folder, { recursive: true }));

  async function crossfold(words: readonly string[], behaviour: FakeBehaviour = {}) {
    const world = fakeWorld(behaviour);
    world.submitted.set('x', storyOutcome().experiment);
    world.records.set('x', experimentRecord('x'));
    const code = await main(['report', ...words], world.context);
    return { code, out: world.out(), err: world.err(), done: world.done };
  }

  it("writes the page of a run's folder again", async () => {
    await writeRunFolder(storyOutcome(), folder);
    const before = await readFile(join(folder, 'report.html'), 'utf8');
    await rm(join(folder, 'report.html'));
    const { code, out } = await crossfold([folder]);
    expect({ code, out }).toEqual({ code: 0, out: expect.stringMatching(/^report: .*report\.html\n$/) });
    expect(await readFile(join(folder, 'report.html'), 'utf8')).toBe(before);
  });

  it('writes other formats to stdout, or to the file that is named', async () => {
    await writeRunFolder(storyOutcome(), folder);
    expect((await crossfold([folder, '--format', 'csv'])).out).toMatch(/^trial,repeat,/);
    const file = join(folder, 'sub', 'notes.md');
    expect((await crossfold([folder, '--out', file])).code).toBe(0);
    expect(await readFile(file, 'utf8')).toMatch(/^# mnist-kfold/);
  });

  it('asks the cluster for an experiment that has no folder here', async () => {
    const outcome = storyOutcome();
    const { code, out, done } = await crossfold(['x', '--nats', 'nats://x', '--out', '-'], { outcome: () => outcome });
    expect({ code, done }).toEqual({ code: 0, done: ['connect nats://x', 'close'] });
    expect(out).toMatch(/^<!doctype html>/);
  });

  it.each([
    ['running', 2, /^crossfold: x has no results yet: it is running; `crossfold watch x` follows it\n$/],
    ['failed', 1, /^crossfold: x has no results: it failed: no luck\n$/],
  ] as const)('says why an experiment that is %s has none', async (state, code, message) => {
    const record = experimentRecord('x', { state, error: state === 'failed' ? 'no luck' : null });
    const outcome = () => ({ ...storyOutcome(), record, results: undefined });
    expect(await crossfold(['x', '--nats', 'nats://x'], { outcome })).toMatchObject({
      code,
      err: expect.stringMatching(message),
    });
  });

  it('says what is wrong with what is named', async () => {
    expect((await crossfold(['nothing-here'])).err).toMatch(/^crossfold: there is no run's folder at nothing-here or /);
    expect((await crossfold([folder])).err).toMatch(/ is no run's folder: it has neither results\.json nor experiment/);
    await writeFile(join(folder, 'experiment.yaml'), '');
    expect((await crossfold([folder])).err).toMatch(/^crossfold: there are no results in .*\(no results\.json\)/);
    await writeRunFolder(storyOutcome(), folder);
    expect((await crossfold([folder, '--out', folder])).err).toMatch(/^crossfold: --out is .*: is a folder\n$/);
    await writeFile(join(folder, 'folds.json'), JSON.stringify(storyOutcome({ folds: 3 }).folds));
    expect((await crossfold([folder])).err).toMatch(/folds\.json is not the split of these results: its digest is /);
    await writeFile(join(folder, 'results.json'), '{"schema":1}');
    expect((await crossfold([folder])).err).toMatch(/^crossfold: .*results\.json is damaged: id: /);
    await writeFile(join(folder, 'results.json'), '{"schema":');
    const damaged = await crossfold([folder]);
    expect(damaged).toMatchObject({
      code: 1,
      err: expect.stringMatching(/results\.json is damaged: it is not JSON\n$/),
    });
  });
});
