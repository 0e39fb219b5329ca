import { type Contest, conclude, contestants, type Decision, type Evidence, gather, wantsOf } from './contest.ts';
import { halving } from './halving.ts';
import { racing } from './racing.ts';

/**
 * What a search wants by now. A pure function of the evidence: decided anew from the beginning every time, so that
 * whoever leads comes to the same, whenever it asks. Rounds are decided when all of their evidence is there, never on a
 * part of it, so that nothing depends on who was faster.
 */
export function decide(contest: Contest, evidence: Evidence): Decision {
  if (contest.folds === 0) return { wants: [], dropped: new Set(), rounds: [], over: true };
  switch (contest.search?.method) {
    case 'halving':
      return halving(contest, contest.search, evidence);
    case 'racing':
      return racing(contest, contest.search, evidence);
    case 'grid':
    case 'random':
    case undefined:
      return everything(contest, evidence);
  }
}

function everything(contest: Contest, evidence: Evidence): Decision {
  const all = contestants(contest);
  const wants = all.flatMap((trial) => wantsOf(trial, contest.folds, contest.epochs[trial] ?? 0));
  const known = gather(all, contest.folds, (trial) => contest.epochs[trial] ?? 0, evidence);
  if (known === undefined) return { wants, dropped: new Set(), rounds: [], over: false };
  return conclude({ wants, dropped: new Set(), rounds: [], over: true }, known.standing);
}
