import { Buckets, blobStream, recordStream, Stores } from '@crossfold/shared/broker/subjects';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { bitsOf, everything } from '../support/group-experiments.ts';
import { HandStarted } from '../support/hand-started.ts';

let cluster: HandStarted;
let undisturbed: ReturnType<typeof bitsOf>;
beforeAll(async () => {
  cluster = await HandStarted.start();
  undisturbed = await cluster.undisturbed();
}, 120_000);
afterAll(() => cluster?.close());

it('a broker that is full in the middle of a job is named, with the remedy; the job goes on once there is room', async () => {
  const worker = cluster.services.worker('worker', { faults: [{ at: 'computing', position: 5, do: 'hold' }] });
  await worker.says('ready');
  const told: string[] = [];
  const run = cluster.run(everything, (event) => {
    if (event.type === 'log') told.push(event.message);
  });
  await worker.says('failing on purpose');
  const manager = await cluster.broker.nats.jetstreamManager();
  // Records, checkpoints and results alike. A full disk is another matter: nats-server refuses to write until restarted.
  const streams = [recordStream(Buckets.jobs), blobStream(Stores.checkpoints), blobStream(Stores.artifacts)];
  const limit = async (bytes: (stored: number) => number): Promise<void> => {
    for (const stream of streams) {
      const { config, state } = await manager.streams.info(stream);
      await manager.streams.update(stream, { ...config, max_bytes: bytes(state.bytes) });
    }
  };
  await limit((stored) => Math.max(1, stored));
  worker.signal('SIGUSR2');
  await worker.says(
    /^waiting for the broker to .*maximum bytes exceeded.*; free space on its disk, .*or raise its limits \(CROSSFOLD_QUOTA_STORAGE.*\)$/,
  );
  // So is whoever follows the experiment.
  await expect
    .poll(() => told.join())
    .toMatch(/^worker worker-\w+ is waiting for the broker to .*maximum bytes exceeded/);
  await limit(() => -1);
  const { record, results } = await run;
  expect(record.state).toBe('completed');
  expect(bitsOf(results)).toEqual(undisturbed);
  expect(await cluster.faults()).toEqual([]);
}, 120_000);
