import { ConfigError } from '@crossfold/shared/errors';

export const MINUTE = 60_000;
export const DAY = 24 * 60 * MINUTE;

/** When the leader removes what nobody needs any more. Milliseconds. */
export interface SweepTiming {
  /** Who has only just begun to lead has better things to do. */
  readonly firstAfterMs: number;
  readonly everyMs: number;
  /** What is stored is referred to a moment later: younger things are left alone. */
  readonly youngMs: number;
  /** How long an experiment is kept once it is over; for ever where not given. */
  readonly keepMs?: number;
}

const defaultMinutes = 10;
/** What is stored must be referred to before it is swept, even where the broker was away for a while. */
const leastMinutes = 2;

export const defaultSweeps: SweepTiming = sweepsEvery(defaultMinutes);

function sweepsEvery(minutes: number): SweepTiming {
  return { firstAfterMs: MINUTE, everyMs: minutes * MINUTE, youngMs: minutes * MINUTE };
}

/**
 * What the environment says of removal: `CROSSFOLD_KEEP_DAYS`, how long experiments are kept once they are over, and
 * `CROSSFOLD_SWEEP_MINUTES`, how often it is looked for what nobody needs, and how old that has to be.
 *
 * @throws ConfigError naming the variable
 */
export function sweepTimingOf(env: NodeJS.ProcessEnv): SweepTiming {
  const read = (variable: string, least: number, most: number): number | undefined => {
    const text = env[variable]?.trim() ?? '';
    if (text === '') return undefined;
    const value = Number(text);
    if (/^\d+(\.\d+)?$/.test(text) && value >= least && value <= most) return value;
    throw new ConfigError({
      field: variable,
      value: JSON.stringify(text),
      allowed: `must be a number from ${least} to ${most}`,
    });
  };
  const minutes = read('CROSSFOLD_SWEEP_MINUTES', leastMinutes, 1440) ?? defaultMinutes;
  const days = read('CROSSFOLD_KEEP_DAYS', 0.01, 36_500);
  return { ...sweepsEvery(minutes), ...(days === undefined ? {} : { keepMs: days * DAY }) };
}
