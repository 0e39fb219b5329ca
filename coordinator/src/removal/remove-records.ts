import type { Broker } from '@crossfold/shared/broker/broker';
import { LogStream, logSubject } from '@crossfold/shared/broker/subjects';
import type { ExperimentRecord } from '@crossfold/shared/jobs/records';
import { isFinal } from '@crossfold/shared/jobs/records';
import { inParallel } from '../in-parallel.ts';
import type { Board } from '../leader/board.ts';

/** Records deleted at a time. */
const deletesAtOnce = 64;

/**
 * Deletes an experiment's record where it is over: the leader then removes what was its own.
 *
 * @param isWanted asked of the record as it stands
 * @returns the record that was deleted; undefined where there is none that is wanted gone
 */
export async function deleteExperiment(
  broker: Pick<Broker, 'experiments'>,
  id: string,
  isWanted: (record: ExperimentRecord) => boolean,
): Promise<ExperimentRecord | undefined> {
  for (;;) {
    const stored = await broker.experiments.get(id);
    if (stored === undefined || !isFinal(stored.value.state) || !isWanted(stored.value)) return undefined;
    if (await broker.experiments.deleteAt(id, stored.revision)) return stored.value;
    // An answer that was lost may have been to the deletion itself.
    if ((await broker.experiments.get(id)) === undefined) return stored.value;
  }
}

/** Pure: experiments that have been over for longer than they are kept. */
export const outlived = (
  experiments: Iterable<ExperimentRecord>,
  keepMs: number,
  now: number,
): readonly ExperimentRecord[] => [...experiments].filter((record) => isOutlived(record, keepMs, now));

export const isOutlived = ({ state, finishedAt, createdAt }: ExperimentRecord, keepMs: number, now: number): boolean =>
  isFinal(state) && now - (finishedAt ?? createdAt) >= keepMs;

/**
 * Deletes the jobs of experiments that are not there any more. Those that are not over stay until whoever works on them
 * has been told.
 *
 * @returns how many jobs are gone
 */
export async function deleteOrphans(broker: Broker, board: Board, leads: () => boolean): Promise<number> {
  if (board.missing.length === 0) return 0;
  // One whose record cannot be read is there all the same, and one that the board has not seen yet.
  const there = new Set(await broker.experiments.keys('>'));
  let deleted = 0;
  for (const id of board.missing) {
    if (there.has(id)) continue;
    board.noteRemoved(id);
    if (board.unfinished.has(id)) continue;
    await inParallel(await broker.jobs.keys(`${id}.>`), deletesAtOnce, async (job) => {
      if (!leads()) return;
      await broker.jobs.delete(job);
      deleted++;
    });
  }
  return deleted;
}

/** Has the broker forget the markers of deleted records, as the board has seen them, and what services said of them. */
export async function forgetMarkers(
  broker: Broker,
  board: Board,
  removed: Iterable<string>,
  leads: () => boolean,
): Promise<void> {
  const manager = await broker.nats.jetstreamManager();
  for (const id of removed) {
    const { experiment, jobs } = board.removed.get(id) ?? { experiment: 0, jobs: 0 };
    if (!leads()) return;
    if (experiment > 0) await broker.experiments.forget(id, experiment);
    if (jobs > 0) await broker.jobs.forget(`${id}.>`, jobs);
    await broker.link.request(`to forget the logs of ${id}`, () =>
      manager.streams.purge(LogStream, { filter: logSubject(id) }),
    );
    // Something more may have been deleted meanwhile.
    if (board.removed.get(id)?.jobs === jobs && board.removed.get(id)?.experiment === experiment)
      board.removed.delete(id);
  }
}
