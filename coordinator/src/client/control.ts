import type { FinalNet } from '@crossfold/shared/config/final';
import type { ExperimentRecord, Selection } from '@crossfold/shared/jobs/records';
import { covers, isFinal } from '@crossfold/shared/jobs/records';

const isEverything = ({ trial, fold }: Selection): boolean => trial === undefined && fold === undefined;

/** The record of an experiment that the user does not want, or not all of; undefined where that changes nothing. */
export function cancel(record: ExperimentRecord, selection: Selection, now: number): ExperimentRecord | undefined {
  if (isFinal(record.state)) return undefined;
  if (isEverything(selection)) return { ...record, state: 'cancelled', finishedAt: now };
  if (record.cancelled.some((one) => covers(one, selection))) return undefined;
  const others = record.cancelled.filter((one) => !covers(selection, one));
  return { ...record, cancelled: [...others, selection] };
}

/** The record of a completed experiment that is to leave another net; undefined where it has left that one. */
export function makeFinal(
  record: ExperimentRecord,
  final: FinalNet,
  trial: number | undefined,
): ExperimentRecord | undefined {
  if (record.state !== 'completed' || (record.final === final && record.finalTrial === trial)) return undefined;
  const { finalTrial: _, ...rest } = record;
  return {
    ...rest,
    state: 'running',
    results: null,
    finishedAt: null,
    final,
    ...(trial === undefined ? {} : { finalTrial: trial }),
  };
}

/**
 * The record of an experiment that is to go on: what failed, or was cancelled, is tried again, in all of it or in what is
 * selected. One that could not even be prepared is prepared again.
 */
export function resume(record: ExperimentRecord, selection: Selection): ExperimentRecord {
  return {
    ...record,
    state: record.plan === null ? 'submitted' : 'running',
    results: null,
    error: null,
    badConfiguration: false,
    finishedAt: null,
    cancelled: record.cancelled.filter((one) => !covers(selection, one)),
    resumed: [...record.resumed, selection],
  };
}
