import { compareTrials } from '@crossfold/shared/metrics/comparison';
import { averagedOverRepeats, type PlacedScore } from '@crossfold/shared/metrics/repeats';
import { studentTQuantile } from '@crossfold/shared/metrics/student-t';
import { meanOf, sampleStd, summarize } from '@crossfold/shared/metrics/summary';
import { type KeyedRandom, keyedRandom } from '@crossfold/shared/rng';
import { describe, expect, it } from 'vitest';

/**
 * Cross-validation as it is: samples of two Gaussian classes in `dimensions` dimensions, of which a learner sees some,
 * and learns the nearest mean. Its true accuracy is known in closed form, so that it is known how often an interval
 * covers what it claims to.
 */
describe('in simulation', () => {
  const samples = 40;
  const folds = 5;
  const signal = 0.2;
  const width = 10;
  /** Two learners that are equally good: each sees half of the dimensions, which are all alike. */
  const views = [0, 1].map((half) => Array.from({ length: width }, (_, d) => half * width + d));
  const dimensions = 2 * width;

  const draw = (random: KeyedRandom, n: number): { x: number[]; label: number }[] =>
    Array.from({ length: n }, (_, i) => {
      const label = i % 2;
      return { label, x: Array.from({ length: dimensions }, () => (label === 1 ? signal : -signal) + random.normal()) };
    });
  type Sample = ReturnType<typeof draw>[number];

  interface Model {
    readonly weights: readonly number[];
    readonly bias: number;
  }
  function learn(data: readonly Sample[], view: readonly number[]): Model {
    const means = [0, 1].map((label) => {
      const own = data.filter((sample) => sample.label === label);
      return view.map((d) => own.reduce((sum, { x }) => sum + (x[d] ?? 0), 0) / own.length);
    });
    const weights = view.map((_, d) => (means[1]?.[d] ?? 0) - (means[0]?.[d] ?? 0));
    const middle = view.map((_, d) => ((means[1]?.[d] ?? 0) + (means[0]?.[d] ?? 0)) / 2);
    return { weights, bias: -weights.reduce((sum, w, d) => sum + w * (middle[d] ?? 0), 0) };
  }
  const predict = ({ weights, bias }: Model, { x }: Sample, view: readonly number[]): number =>
    view.reduce((sum, d, i) => sum + (weights[i] ?? 0) * (x[d] ?? 0), bias) > 0 ? 1 : 0;
  /** Scores of every view over the folds of a stratified split. */
  function crossValidate(data: readonly Sample[], repeat: number, random: KeyedRandom): PlacedScore[][] {
    const places = [0, 1].map(() => random.shuffle(Array.from({ length: samples / 2 }, (_, i) => i % folds)));
    const foldOf = (i: number): number => places[i % 2]?.[i >> 1] ?? 0;
    return views.map((view) =>
      Array.from({ length: folds }, (_, fold) => {
        const validation = data.filter((_, i) => foldOf(i) === fold);
        const train = data.filter((_, i) => foldOf(i) !== fold);
        const model = learn(train, view);
        const right = validation.filter((sample) => predict(model, sample, view) === sample.label).length;
        const sizes = { trainSamples: train.length, validationSamples: validation.length };
        return { fold, repeat, value: right / validation.length, ...sizes };
      }),
    );
  }
  /** Accuracy that a model has in truth: P(N(0, 1) < margin / |w|), as a mean over both classes. */
  function truth({ weights, bias }: Model): number {
    const length = Math.hypot(...weights);
    const shift = weights.reduce((sum, w) => sum + w * signal, 0);
    return (normalCdf((shift + bias) / length) + normalCdf((shift - bias) / length)) / 2;
  }

  const trainSamples = (samples * (folds - 1)) / folds;
  const expected = (() => {
    const random = keyedRandom(7, 'truth');
    const models = Array.from({ length: 4000 }, () => learn(draw(random, trainSamples), views[0] ?? []));
    return models.reduce((sum, model) => sum + truth(model), 0) / models.length;
  })();

  const runs = 1000;
  const repeats = 4;
  /** [run][view]: scores of all repeats, in order. */
  const scores = Array.from({ length: runs }, (_, run) => {
    const random = keyedRandom(7, 'run', run);
    const data = draw(random, samples);
    const each = Array.from({ length: repeats }, (_, repeat) => crossValidate(data, repeat, random));
    return views.map((_, view) => each.flatMap((ofRepeat) => ofRepeat[view] ?? []));
  });
  const share = (of: (run: PlacedScore[][]) => boolean): number => scores.filter(of).length / runs;
  const uncorrected = (all: readonly PlacedScore[]): boolean => {
    const values = all.map(({ value }) => value);
    const half = (studentTQuantile(0.975, all.length - 1) * sampleStd(values)) / Math.sqrt(all.length);
    return Math.abs(meanOf(values) - expected) <= half;
  };
  const corrected = (all: readonly PlacedScore[]): boolean => {
    const [low = 0, high = 0] = summarize(all)?.ci95 ?? [];
    return low <= expected && expected <= high;
  };

  // 95 % is what an interval says. With 1,000 runs chance alone moves the share by 0.7 points.
  it.each([
    ['once', folds, 0.93],
    ['four times', folds * repeats, 0.8],
  ])('the interval covers the truth as often as it says, an uncorrected one does not: %s', (_, scored, most) => {
    const covered = share(([ours = []]) => corrected(ours.slice(0, scored)));
    expect(covered).toBeGreaterThan(0.935);
    expect(covered).toBeLessThan(0.98);
    expect(share(([ours = []]) => uncorrected(ours.slice(0, scored)))).toBeLessThan(most);
  });

  it('repeats that share one split tell nothing of other splits: the interval of the folds covers as it says', () => {
    // What initialisation does to a net: weights are off by chance, anew in each repeat.
    const shaken = ({ weights, bias }: Model, random: KeyedRandom): Model => ({
      weights: weights.map((w) => w + 0.1 * random.normal()),
      bias,
    });
    const [view = []] = views;
    const random = keyedRandom(8, 'truth');
    const expected = meanOf(
      Array.from({ length: 4000 }, () => truth(shaken(learn(draw(random, trainSamples), view), random))),
    );
    let [once, each] = [0, 0];
    for (let run = 0; run < runs; run++) {
      const random = keyedRandom(8, 'run', run);
      const data = draw(random, samples);
      const places = [0, 1].map(() => random.shuffle(Array.from({ length: samples / 2 }, (_, i) => i % folds)));
      const foldOf = (i: number): number => places[i % 2]?.[i >> 1] ?? 0;
      const scores = Array.from({ length: folds }, (_, fold) => {
        const validation = data.filter((_, i) => foldOf(i) === fold);
        const model = learn(
          data.filter((_, i) => foldOf(i) !== fold),
          view,
        );
        return Array.from({ length: 10 }, (_, repeat): PlacedScore => {
          const net = shaken(model, random);
          const right = validation.filter((sample) => predict(net, sample, view) === sample.label).length;
          return { fold, repeat, value: right / validation.length, trainSamples, validationSamples: validation.length };
        });
      }).flat();
      const covers = (all: readonly PlacedScore[]): number => {
        const [low = 0, high = 0] = summarize(all)?.ci95 ?? [];
        return low <= expected && expected <= high ? 1 / runs : 0;
      };
      once += covers(averagedOverRepeats(scores));
      each += covers(scores);
    }
    console.log(`shared split: covered ${once.toFixed(3)} by folds, ${each.toFixed(3)} by all scores`);
    expect(once).toBeGreaterThan(0.935);
    expect(each).toBeLessThan(0.93);
  });

  it.each([folds, folds * repeats])('equals are told apart as seldom as chance may, over %d scores', (scored) => {
    const alarms = share(([a = [], b = []]) => (compareTrials(a.slice(0, scored), b.slice(0, scored))?.p ?? 1) < 0.05);
    expect(alarms).toBeLessThan(0.065);
    expect(alarms).toBeGreaterThan(0.01);
  });
});

/** P(N(0, 1) < x): Abramowitz and Stegun 26.2.17, to 1e-7. */
function normalCdf(x: number): number {
  if (x < 0) return 1 - normalCdf(-x);
  const t = 1 / (1 + 0.2316419 * x);
  const series = t * (0.31938153 + t * (-0.356563782 + t * (1.781477937 + t * (-1.821255978 + t * 1.330274429))));
  return 1 - (Math.exp((-x * x) / 2) / Math.sqrt(2 * Math.PI)) * series;
}
