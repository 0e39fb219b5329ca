import type { Contest } from '@crossfold/coordinator/search/contest';
import { decide } from '@crossfold/coordinator/search/decide';
import { trialParameters } from '@crossfold/coordinator/search/space';
import { SearchSpec } from '@crossfold/shared/config/search';
import { keyedRandom } from '@crossfold/shared/rng';
import { describe, expect, it } from 'vitest';

/**
 * Made-up sweeps with a planted winner: accuracy rises over the epochs towards a ceiling of each trial's own, the folds
 * differ, and every trial's score on every fold has noise of its own. Searches are compared with training everything.
 */
interface World {
  readonly trials: number;
  readonly folds: number;
  readonly epochs: number;
  /** By how much the planted winner's ceiling is above the best of the others', and the others' spread below that. */
  readonly lead: number;
  readonly spread: number;
  /** Standard deviations: of a score, of the folds, and of the trials' speeds (of their logarithm). */
  readonly noise: number;
  readonly foldSpread: number;
  readonly speedSpread: number;
}

const common = { folds: 5, epochs: 12, noise: 0.003, foldSpread: 0.006, speedSpread: 0.05 };
const worlds: Readonly<Record<string, World>> = {
  '16 configurations, one of them better by 1 %': { ...common, trials: 16, lead: 0.01, spread: 0.03 },
  '27 configurations, by 0.5 %': { ...common, trials: 27, lead: 0.005, spread: 0.03 },
  '27 configurations on 10 folds, by 0.5 %': { ...common, trials: 27, folds: 10, lead: 0.005, spread: 0.03 },
};

type Accuracy = (trial: number, fold: number, epochs: number) => number;

function accuracies(world: World, seed: number): Accuracy {
  const random = keyedRandom(seed, 'world');
  const planted = random.below(world.trials);
  const ceilings = Array.from({ length: world.trials }, (_, trial) =>
    trial === planted ? 0.95 : 0.95 - world.lead - Math.abs(random.normal()) * world.spread,
  );
  const speeds = ceilings.map(() => 2.5 * Math.exp(world.speedSpread * random.normal()));
  const folds = Array.from({ length: world.folds }, () => world.foldSpread * random.normal());
  return (trial, fold, epochs) => {
    const rise = 0.4 * Math.exp(-epochs / (speeds[trial] ?? 1));
    const own = world.noise * keyedRandom(seed, 'score', trial, fold).normal();
    const passing = 0.3 * world.noise * keyedRandom(seed, 'score', trial, fold, epochs).normal();
    return (ceilings[trial] ?? 0) - rise + (folds[fold] ?? 0) + own + passing;
  };
}

/** Plays a search to its end: who wins, and how many epochs were trained over all folds. */
function play(
  search: SearchSpec,
  { trials, folds, epochs }: Omit<World, 'lead'>,
  accuracy: Accuracy,
  shared: Pick<Contest, 'splits'> = {},
): { winner: number | undefined; cost: number } {
  const trained = new Map<string, number>();
  const contest = {
    search,
    epochs: new Array<number>(trials).fill(epochs),
    folds,
    validationShare: 1 / (new Set(shared.splits ?? new Array(folds).keys()).size - 1),
    ...shared,
  };
  for (;;) {
    const decision = decide(contest, (trial, fold, wanted) =>
      (trained.get(`${trial}.${fold}`) ?? 0) >= wanted
        ? { accuracy: accuracy(trial, fold, wanted), loss: 0 }
        : undefined,
    );
    if (decision.over) return { winner: decision.winner, cost: [...trained.values()].reduce((sum, n) => sum + n, 0) };
    for (const want of decision.wants) trained.set(`${want.trial}.${want.fold}`, want.epochs);
  }
}

const sweeps = 120;
const grid = SearchSpec.parse({ method: 'grid', parameters: { seed: [1] } });

describe.each(Object.entries(worlds))('a planted winner among %s', (_, world) => {
  it.each(['halving', 'racing'])(
    'is found by %s in 95 of 100 sweeps where the grid finds it, for half the fold-epochs',
    (method) => {
      const search = SearchSpec.parse({ method, parameters: { seed: [1] } });
      let same = 0;
      let cost = 0;
      for (let seed = 0; seed < sweeps; seed++) {
        const accuracy = accuracies(world, seed);
        const [all, mine] = [play(grid, world, accuracy), play(search, world, accuracy)];
        if (mine.winner === all.winner) same++;
        cost += mine.cost / all.cost;
      }
      console.log(
        `${method}: the grid's winner in ${same} of ${sweeps} sweeps, ${((100 * cost) / sweeps).toFixed(0)} % of its fold-epochs`,
      );
      expect(same / sweeps).toBeGreaterThanOrEqual(0.95);
      expect(cost / sweeps).toBeLessThanOrEqual(0.5);
    },
  );
});

describe('where it is hard', () => {
  const shares = (world: World, method: string): { same: number; cost: number } => {
    let [same, cost] = [0, 0];
    for (let seed = 0; seed < sweeps; seed++) {
      const accuracy = accuracies(world, seed);
      const [all, mine] = [
        play(grid, world, accuracy),
        play(SearchSpec.parse({ method, parameters: { seed: [1] } }), world, accuracy),
      ];
      if (mine.winner === all.winner) same += 1 / sweeps;
      cost += mine.cost / all.cost / sweeps;
    }
    console.log(
      `${method}: the grid's winner in ${(100 * same).toFixed(0)} %, ${(100 * cost).toFixed(0)} % of its fold-epochs`,
    );
    return { same, cost };
  };

  it('to tell configurations apart, racing takes longer rather than to err', () => {
    const { same, cost } = shares({ ...common, trials: 16, lead: 0.002, spread: 0.01, noise: 0.004 }, 'racing');
    expect(same).toBeGreaterThanOrEqual(0.95);
    expect(cost).toBeLessThan(0.75);
  });

  it('to tell the slow from the bad, halving errs and racing does not', () => {
    const slow = { ...common, trials: 16, lead: 0.01, spread: 0.03, speedSpread: 0.3 };
    expect(shares(slow, 'halving').same).toBeGreaterThan(0.6);
    expect(shares(slow, 'racing').same).toBeGreaterThanOrEqual(0.95);
  });
});

describe('random search', () => {
  /** One parameter matters, by the square of the distance (in powers of ten) from an optimum; the other does not. */
  const loss = (learningRate: number, optimum: number): number => 0.02 * (Math.log10(learningRate) - optimum) ** 2;

  it('comes as near to a planted optimum as a grid of twice as many configurations', () => {
    const decades = [-5, -4.2, -3.4, -2.6, -1.8, -1];
    const space = { rate: { logUniform: [1e-5, 1e-1] }, other: { uniform: [0, 1] } };
    const search = SearchSpec.parse({ method: 'random', trials: 18, parameters: space });
    let asGood = 0;
    for (let seed = 0; seed < sweeps; seed++) {
      const optimum = -5 + 4 * keyedRandom(seed, 'optimum').uniform();
      const trials = trialParameters(search, seed) as { readonly rate: number }[];
      const mine = Math.min(...trials.map(({ rate }) => loss(rate, optimum)));
      // 6 x 6: each learning rate with six values of the parameter that does not matter.
      const theirs = Math.min(...decades.map((decade) => loss(10 ** decade, optimum)));
      // Within a tenth of a percent of accuracy.
      if (mine <= theirs + 0.001) asGood++;
    }
    console.log(`random: as good as the grid in ${asGood} of ${sweeps} sweeps, 50 % of its fold-epochs`);
    expect(asGood / sweeps).toBeGreaterThanOrEqual(0.95);
  });
});

describe('racing errs as seldom as it says', () => {
  it('stops one of two configurations that are alike in at most about one sweep in twenty', () => {
    const search = SearchSpec.parse({ method: 'racing', parameters: { seed: [1] } });
    const world = { ...common, trials: 2, spread: 0 };
    let stopped = 0;
    for (let seed = 0; seed < 400; seed++) {
      const accuracy: Accuracy = (trial, fold) => 0.9 + 0.003 * keyedRandom(seed, 'alike', trial, fold).normal();
      if (play(search, world, accuracy).cost < 2 * world.folds * world.epochs) stopped++;
    }
    console.log(`racing: one of two alike was stopped in ${stopped} of 400 sweeps`);
    expect(stopped / 400).toBeLessThan(0.1);
  });

  it('counts repeats of one and the same split once', () => {
    // Which of two does better with a split has to do with the split: repeating it says the same again.
    const search = SearchSpec.parse({ method: 'racing', parameters: { seed: [1] } });
    const [splits, repeats] = [5, 3];
    const folds = splits * repeats;
    const stoppedIn = (ofSplits: boolean): number => {
      let stopped = 0;
      for (let seed = 0; seed < 100; seed++) {
        const accuracy: Accuracy = (trial, fold) =>
          0.9 +
          0.003 * keyedRandom(seed, 'split', trial, fold % splits).normal() +
          0.001 * keyedRandom(seed, 'alike', trial, fold).normal();
        const numbers = ofSplits ? { splits: Array.from({ length: folds }, (_, fold) => fold % splits) } : {};
        if (
          play(search, { ...common, trials: 2, spread: 0, folds }, accuracy, numbers).cost <
          2 * folds * common.epochs
        )
          stopped++;
      }
      return stopped / 100;
    };
    const [once, each] = [stoppedIn(true), stoppedIn(false)];
    console.log(`racing over repeats of a split: one of two alike was stopped in ${100 * once} % of 100 sweeps`);
    console.log(`(in ${100 * each} % if each repeat counted)`);
    expect(once).toBeLessThan(0.1);
    expect(each).toBeGreaterThan(2 * once);
  });
});
