import { sweepOnce } from '@crossfold/coordinator/leader/sweeper';
import { openBroker } from '@crossfold/shared/broker/broker';
import { createLogger } from '@crossfold/shared/logger';
import { expect, it } from 'vitest';
import { startBroker } from '../support/broker.ts';
import { aJob } from '../support/records.ts';

it('a leader removes the checkpoints that no job can go on from, and no other', async () => {
  const server = await startBroker();
  const broker = await openBroker(server.url, 'test');
  const put = (value: number) => broker.checkpoints.put(new Uint8Array(300_000).fill(value));
  const [needed, obsolete, orphan] = [await put(1), await put(2), await put(3)];
  const withCheckpoint = (id: string, digest: string, state: 'queued' | 'completed') =>
    broker.jobs.create(id, aJob({ id, state, finishedAt: 0, checkpoint: { digest, bytes: 300_000, position: 1 } }));
  await withCheckpoint('a.train.0.0.0', needed, 'queued');
  await withCheckpoint('a.train.0.0.1', obsolete, 'completed');
  const logger = createLogger({ service: 'test', env: { CROSSFOLD_LOG_LEVEL: 'silent' } });
  const left = async (leads: boolean, now: number): Promise<string[]> => {
    await sweepOnce({ broker, logger, now: () => now, leads: () => leads, youngMs: 600_000 });
    return (await broker.checkpoints.list()).map(({ digest }) => digest).toSorted();
  };
  const later = Date.now() + 3_600_000;
  expect(await left(true, Date.now())).toHaveLength(3);
  // One that has been replaced meanwhile.
  expect(await left(false, later)).toHaveLength(3);
  expect(await left(true, later)).toEqual([needed]);
  expect(await broker.checkpoints.has(orphan)).toBe(false);
  expect((await broker.checkpoints.get(needed, 300_000)).length).toBe(300_000);
  await broker.close();
  await server.stop();
});
