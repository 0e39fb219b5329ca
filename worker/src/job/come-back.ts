import { comeBack, wasAlive } from '@crossfold/shared/jobs/transitions';
import type { Generation, JobContext } from './context.ts';
import { insist, stamp } from './context.ts';
import { lookEveryMs } from './guard.ts';
import type { Membership } from './membership.ts';

/** Whoever has come back, and does not see it in so many looks, has been taken for lost again. */
const mostLooks = 50;

/**
 * This worker was silent for so long, stopped or starved of processor time, that it was taken for lost; where its job has
 * no members now it goes on with what it holds. False where somebody else did, or nobody is to. Either way the record is
 * told that the job has not killed it.
 */
export async function returns(
  context: JobContext,
  membership: Membership,
  { record, rank }: Generation,
): Promise<boolean> {
  const { broker, logger, waits, now, drain, observer } = context;
  const member = record.members[rank];
  const abandoned = membership.record.state === 'queued' || membership.record.state === 'forming';
  const mayCome = member !== undefined && abandoned && !drain.aborted;
  const back = mayCome
    ? await insist(context, () =>
        broker.jobs.transition(record.id, (job) => comeBack(job, member, record.generation, stamp(now))),
      )
    : undefined;
  if (back === undefined) {
    if (membership.record.silent?.includes(record.generation) !== true) return false;
    await insist(context, () => broker.jobs.transition(record.id, (job) => wasAlive(job, record.generation)));
    logger.info('was taken for lost: too late to go on with the job');
    return false;
  }
  logger.warn({ members: back.members.length }, 'was taken for lost: back with all that it holds');
  observer.changed('returned', false);
  const seen = (): boolean => membership.rank >= 0 || membership.record.generation > record.generation;
  const word = async (): Promise<void> => {
    for (let looks = 0; !seen() && looks < mostLooks; looks++) await membership.changed(lookEveryMs);
  };
  await waits.during(logger, 'word of its membership', word());
  return seen();
}
