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
  const stopped = others.filter(({ status, comparison }) => status === 'pruned' && comparison !== undefined);
  return [
    ...(compared.length === 0 ? aloneText(best, others, stopped.length > 0) : []),
    ...undecidedText(best, compared.length, worse.length, compared.length === others.length),
    ...stoppedText(best, stopped),
    ...endedText(others),
    ...smallestText({ trials, best }),
    'The best of several trials looks better than it is, because it was chosen by these very scores; an honest figure for it is that on a test set, or of a nested evaluation.',
  ];
}

/** Where the search has trained one trial alone to the end. */
function aloneText({ trial }: NonNullable<Results['best']>, others: readonly TrialResult[], known: boolean): string[] {
  if (others.some(({ status }) => status !== 'pruned')) return [];
  const only = `Only trial ${trial} was trained to the end`;
  return [
    known
      ? `${only}.`
      : `${only}: whether it differs from the others by more than chance cannot be told. They were stopped where it was ahead, at fewer epochs or folds.`,
  ];
}

/** Trials that a search stopped early, as they stood against the best where it did. */
function stoppedText({ trial }: NonNullable<Results['best']>, stopped: readonly TrialResult[]): string[] {
  if (stopped.length === 0) return [];
  const isSure = ({ comparison }: TrialResult): boolean => (comparison?.pAdjusted ?? 1) < significance;
  const isBehind = ({ comparison }: TrialResult): boolean => (comparison?.difference ?? 0) > 0;
  const close = stopped.filter((one) => !isSure(one));
  const parts = [
    [
      stopped.filter((one) => isSure(one) && isBehind(one)),
      (n: number) => `${n === 1 ? 'was' : 'were'} behind it by more than chance explains`,
    ],
    [
      stopped.filter((one) => isSure(one) && !isBehind(one)),
      (n: number) => `${n === 1 ? 'was' : 'were'} ahead of it by more than chance explains`,
    ],
    [close, () => 'cannot be told apart from it'],
  ] as const;
  const said = parts.flatMap(([those, how]) => (those.length === 0 ? [] : [`${named(those)} ${how(those.length)}`]));
  const epochs = [...new Set(stopped.flatMap(({ comparison }) => comparison?.at?.epoch ?? []))].sort((a, b) => a - b);
  const where =
    epochs.length === 0
      ? 'on the same folds, as far as each was trained before the search stopped it'
      : `on the same folds after the epoch at which the search stopped each (${listText(epochs.map(String))})`;
  const caution = epochs.length === 0 ? '' : ' Trained to the end they might have come out otherwise.';
  return [`Compared with trial ${trial} ${where}, ${said.join('; ')}.${caution}`];
}

/** `trial 3`, `trials 1, 2 and 5`, or of many their number. */
function named(trials: readonly TrialResult[]): string {
  if (trials.length > maxNamed) return count(trials.length, 'trial');
  return `${trials.length === 1 ? 'trial' : 'trials'} ${listText(trials.map(({ trial }) => String(trial)))}`;
}

const listText = (words: readonly string[]): string =>
  words.length < 2 ? words.join('') : `${words.slice(0, -1).join(', ')} and ${words.at(-1)}`;

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
  const those =
    undecided.length > maxNamed
      ? `${undecided.length} other trials`
      : `${undecided.length === 1 ? 'trial' : 'trials'} ${listText(undecided.map(String))}`;
  const rest = worse === 0 ? '' : `; ${worse === 1 ? 'one trial is' : `${worse} trials are`} worse by more than that`;
  return [
    `Trial ${trial} has the highest mean, but ${those} and it cannot be told apart: ${by}, such differences may well be chance${rest}.`,
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
  const most = found.slice(0, maxNamed).map(([trial, n]) => `trial ${trial} in ${n}`);
  return [
    `The search did not find the same within each of the ${outer.length} outer folds: ${most.join(', ')}${found.length > maxNamed ? ', and others' : ''}. The figures are those of searching, not of one of these trials.`,
  ];
}
