import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { bitsOf, everything } from '../support/group-experiments.ts';
import { HandStarted } from '../support/hand-started.ts';

/** By the clock, and then it wakes, whatever has become of its work meanwhile. */
const stoppedMs = 30_000;
const long = { ...everything, training: { ...everything.training, epochs: 400 } };

let cluster: HandStarted;
let undisturbed: ReturnType<typeof bitsOf>;
beforeAll(async () => {
  cluster = await HandStarted.start();
  undisturbed = await cluster.undisturbed(long);
});
afterAll(() => cluster?.close());
afterEach(async () => {
  await cluster.dismiss();
  expect(await cluster.faults()).toEqual([]);
});

describe('stopped for half a minute', () => {
  it.each(['nats', 'direct'] as const)('a worker is replaced, wakes, and does no harm (%s)', async (exchange) => {
    const pair = await cluster.pair();
    const { run } = await cluster.runWith(pair, { ...long, exchange });
    pair.first.signal('SIGSTOP');
    await pair.second.says('members were lost');
    const third = cluster.services.worker('third');
    await third.says('took a seat');
    await sleep(stoppedMs);
    pair.first.signal('SIGCONT');
    const { results, jobs } = await run;
    expect(bitsOf(results)).toEqual(undisturbed);
    expect(jobs.filter(({ kind }) => kind === 'train')).toMatchObject([{ state: 'completed', attempts: 0 }]);
    expect(pair.second.lines.map(({ msg }) => msg)).not.toContain('went on from a checkpoint');
  });

  it('the only worker of a job is replaced by one that goes on from its checkpoint', async () => {
    const first = cluster.services.worker('alone');
    await first.says('ready');
    const run = cluster.run({ ...long, workersPerJob: 1 });
    await first.says('took a seat');
    await expect.poll(() => cluster.broker.checkpoints.list(), { timeout: 60_000 }).not.toEqual([]);
    first.signal('SIGSTOP');
    const second = cluster.services.worker('next');
    expect((await second.says('went on from a checkpoint')).position).toBeGreaterThan(0);
    await sleep(stoppedMs);
    first.signal('SIGCONT');
    expect(bitsOf((await run).results)).toEqual(undisturbed);
  });

  it('a coordinator is followed by a standby, wakes, and does no harm', async () => {
    const leader = cluster.services.all.find(({ name }) => name === 'coordinator-0');
    const standby = cluster.services.coordinator('coordinator-standby');
    const worker = cluster.services.worker('worker');
    await Promise.all([standby.says('ready'), worker.says('ready')]);
    const run = cluster.run({ ...long, workersPerJob: 1 });
    await worker.says('took a seat');
    leader?.signal('SIGSTOP');
    await standby.says('leading');
    const others = cluster.run(everything);
    await sleep(stoppedMs);
    leader?.signal('SIGCONT');
    await leader?.says('lost the lease');
    expect(bitsOf((await run).results)).toEqual(undisturbed);
    expect((await others).record.state).toBe('completed');
  });
});
