import type { NestedResult, Results, TrialResult } from '@crossfold/shared/results';
import { count, interval, points, whole } from './text.ts';
import { significance } from './verdict.ts';

/** Trials that are named one by one; of more their number is said. */
const maxNamed = 6;

/** How sure it is that the best of several trials is the best, in words; nothing for a single trial. */
export function rankingText({ trials, best, split, nested }: Results): readonly string[] {
  if (nested !== undefined) return nestedText(nested);
  const others = trials.filter(({ trial }) => trial !== best?.trial);
  const winner = trials.find(({ trial }) => trial === best?.trial);
  if (best === null || winner === undefined || others.length === 0) return [];
  if (split.folds * split.repeats < 2)
    return [
      `Trial ${best.trial} has the highest accuracy. With a single split it cannot be told whether the trials differ by more than chance; k-fold cross-validation can.`,
    ];
  const compared = others.filter(({ status, comparison }) => status === 'completed' && comparison !== undefined);
  const worse = compared.filter(({ comparison }) => (comparison?.pAdjusted ?? 1) < significance);
  return [
    ...(compared.length === 0 ? aloneText(best, others) : []),
    ...undecidedText(best, compared.length, worse.length, compared.length === others.length),
    ...endedText(others),
    ...smallestText({ trials, best }),
    'The best of several trials looks better than it is, because it was chosen by these very scores; an honest figure for it is that on a test set, or of a nested evaluation.',
  ];
}

/** Where the search has trained one trial alone to the end. */
const aloneText = ({ trial }: NonNullable<Results['best']>, others: readonly TrialResult[]): string[] =>
  others.every(({ status }) => status === 'pruned')
    ? [
        `Only trial ${trial} was trained to the end: whether it differs from the others by more than chance cannot be told. They were stopped where it was ahead, at fewer epochs or folds.`,
      ]
    : [];

function undecidedText(
  best: NonNullable<Results['best']>,
  compared: number,
  worse: number,
  isWhole: boolean,
): string[] {
  const { trial, undecided } = best;
  if (compared === 0) return [];
  const by = 'by a paired comparison on the same folds';
  if (undecided.length === 0)
    return [
      `Trial ${trial} is better than ${compared === 1 ? 'the other trial' : `each of the other ${compared} trials`}${isWhole ? '' : ' that ran to the end'} by more than chance explains, ${by}.`,
    ];
  const named =
    undecided.length === 1
      ? `trial ${undecided[0]}`
      : undecided.length <= maxNamed
        ? `trials ${undecided.slice(0, -1).join(', ')} and ${undecided.at(-1)}`
        : `${undecided.length} other trials`;
  const rest = worse === 0 ? '' : `; ${worse === 1 ? 'one trial is' : `${worse} trials are`} worse by more than that`;
  return [
    `Trial ${trial} has the highest mean, but ${named} and it cannot be told apart: ${by}, such differences may well be chance${rest}.`,
  ];
}

const endings = {
  pruned: 'stopped early by the search',
  failed: 'ended by failures',
  cancelled: 'cancelled',
} as const;

/** Trials that did not run to their end, or have not yet, and were not compared. */
function endedText(others: readonly TrialResult[]): string[] {
  const parts = (['pruned', 'failed', 'cancelled'] as const).flatMap((status) => {
    const n = others.filter((trial) => trial.status === status).length;
    return n === 0 ? [] : [`${count(n, 'trial')} ${n === 1 ? 'was' : 'were'} ${endings[status]}`];
  });
  const running = others.filter(({ status }) => status === 'running').length;
  if (running > 0) parts.push(`${count(running, 'trial')} ${running === 1 ? 'has' : 'have'} folds to come`);
  return parts.length === 0 ? [] : [`${parts.join(', ')}.`];
}

function smallestText({ trials, best }: { trials: Results['trials']; best: NonNullable<Results['best']> }): string[] {
  const [winner, smallest] = [best.trial, best.oneStandardError].map((n) => trials.find(({ trial }) => trial === n));
  if (winner === undefined || smallest === undefined || winner === smallest) return [];
  const [ours, theirs] = [winner.weights ?? 0, smallest.weights ?? 0];
  const behind = (winner.summary?.accuracy.mean ?? 0) - (smallest.summary?.accuracy.mean ?? 0);
  const size = theirs < ours ? ` with ${whole(theirs)} weights in place of ${whole(ours)}` : ' with a shorter training';
  const range = smallest.summary === null ? '' : ` (95 % interval ${interval(smallest.summary.accuracy)})`;
  return [
    `Within one standard error of the best, trial ${smallest.trial} is the smallest net${size}: ${points(behind)} less${range}, and the choice where size or time counts.`,
  ];
}

/** Which trials were found within the outer folds, and how often. */
function nestedText({ outer }: NestedResult): string[] {
  const times = new Map<number, number>();
  for (const { trial } of outer) times.set(trial, (times.get(trial) ?? 0) + 1);
  const found = [...times].sort(([a, m], [b, n]) => n - m || a - b);
  if (found.length === 0) return [];
  if (outer.length === 1)
    return [`The search found trial ${found[0]?.[0]} within the one outer fold that has a score.`];
  if (found.length === 1)
    return [`The search found trial ${found[0]?.[0]} within each of the ${outer.length} outer folds.`];
  const named = found.slice(0, maxNamed).map(([trial, n]) => `trial ${trial} in ${n}`);
  return [
    `The search did not find the same within each of the ${outer.length} outer folds: ${named.join(', ')}${found.length > maxNamed ? ', and others' : ''}. The figures are those of searching, not of one of these trials.`,
  ];
}
