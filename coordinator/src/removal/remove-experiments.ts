import type { Broker } from '@crossfold/shared/broker/broker';
import { ConfigError, DamagedDataError } from '@crossfold/shared/errors';
import type { ExperimentRecord } from '@crossfold/shared/jobs/records';
import { isFinal } from '@crossfold/shared/jobs/records';
import type { Holdings } from './holdings.ts';
import { holdingsOf } from './holdings.ts';
import { deleteExperiment, isOutlived } from './remove-records.ts';

/** An experiment that was removed, or would be. */
export interface Removal extends Holdings {
  readonly id: string;
  readonly name: string;
  readonly state: ExperimentRecord['state'];
  /** When it was over, epoch milliseconds. */
  readonly finishedAt: number | null;
}

export interface RemoveOptions {
  /** Only say what would be removed. */
  readonly dryRun?: boolean;
}

/** The experiments to remove: by their ids, or all that have been over for so long, milliseconds. */
export type Unwanted = { readonly ids: readonly string[] } | { readonly overForMs: number };

/**
 * Removes experiments that are over: their records at once, what was stored for them when the leader next looks for what
 * nothing refers to.
 *
 * @throws ConfigError where one is not there or not over, before any is removed
 */
export async function removeExperiments(
  broker: Broker,
  unwanted: Unwanted,
  now: number,
  { dryRun = false }: RemoveOptions = {},
): Promise<Removal[]> {
  const unreadable: string[] = [];
  const all = await broker.experiments.list('>', ({ message }) => unreadable.push(message));
  const chosen = 'ids' in unwanted ? undefined : all.filter((record) => isOutlived(record, unwanted.overForMs, now));
  const records: ExperimentRecord[] = [];
  const damaged: string[] = [];
  for (const id of new Set('ids' in unwanted ? unwanted.ids : [])) {
    const record = all.find((one) => one.id === id);
    if (record !== undefined) records.push(record);
    else if (await isDamaged(broker, id)) damaged.push(id);
    else
      throw new ConfigError(`there is no experiment ${JSON.stringify(id)}; \`crossfold list\` shows those there are`);
  }
  records.push(...(chosen ?? []));
  const unfinished = records.find(({ state }) => !isFinal(state));
  if (unfinished !== undefined) throw notOver(unfinished);
  const gone = new Set(records.map(({ id }) => id));
  const others = all.filter(({ id }) => !gone.has(id));
  const removals: Removal[] = [];
  for (const [i, record] of records.entries()) {
    const { id, name, state, finishedAt } = record;
    const jobs = await broker.jobs.list(`${id}.>`, () => undefined);
    // Of a data set that several of them share the last one says that it goes.
    const holdings = await holdingsOf(broker, record, jobs, [...others, ...records.slice(i + 1)]);
    if (!dryRun && (await deleteExperiment(broker, id, () => true)) === undefined) {
      const now = await broker.experiments.get(id);
      if (now !== undefined) throw notOver(now.value);
      continue;
    }
    removals.push({ id, name, state, finishedAt, ...holdings });
  }
  for (const id of damaged) {
    if (!dryRun) await broker.experiments.deleteDamaged(id);
    removals.push({ id, name: '', state: 'failed', finishedAt: null, jobs: 0, artifacts: 0, data: 0 });
  }
  return removals;
}

const notOver = ({ id, state }: ExperimentRecord): ConfigError =>
  new ConfigError(`${id} is ${state}: only what is over can be removed; cancel it first: crossfold cancel ${id}`);

async function isDamaged(broker: Broker, id: string): Promise<boolean> {
  try {
    await broker.experiments.get(id);
    return false;
  } catch (error) {
    if (!(error instanceof DamagedDataError)) throw error;
    return true;
  }
}
