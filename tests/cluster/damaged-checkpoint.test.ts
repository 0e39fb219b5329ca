import { Stores } from '@crossfold/shared/broker/subjects';
import type { JobRecord } from '@crossfold/shared/jobs/records';
import type { ObjectStore } from 'nats';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { bitsOf, completedFolds } from '../support/group-experiments.ts';
import { HandStarted } from '../support/hand-started.ts';

let cluster: HandStarted;
let undisturbed: ReturnType<typeof bitsOf>;
beforeAll(async () => {
  cluster = await HandStarted.start();
  undisturbed = await cluster.undisturbed();
}, 120_000);
afterAll(() => cluster?.close());
afterEach(async () => {
  await cluster.dismiss();
  expect(await cluster.faults()).toEqual([]);
});

describe('a job whose newest checkpoint is damaged', { timeout: 120_000 }, () => {
  const damages: Record<string, (store: ObjectStore, digest: string, bytes: number) => Promise<unknown>> = {
    'other bytes': (store, digest, bytes) => store.putBlob({ name: digest }, new Uint8Array(bytes).fill(7)),
    'no bytes at all': (store, digest) => store.delete(digest),
  };

  it.each(Object.keys(damages))('(%s) names it, begins anew, and comes to the same bits', async (how) => {
    // In the second epoch: there is a checkpoint of the first.
    const first = cluster.services.worker('first', { faults: [{ at: 'computing', position: 14, do: 'hold' }] });
    await first.says('ready');
    const over = new AbortController();
    const seen = new Map<string, JobRecord>();
    let checkpointed: (job: JobRecord) => void = () => undefined;
    const withCheckpoint = new Promise<JobRecord>((resolve) => {
      checkpointed = resolve;
    });
    const look = (job: JobRecord): void => {
      seen.set(job.id, job);
      if (job.state === 'running' && job.checkpoint !== null) checkpointed(job);
    };
    await cluster.broker.jobs.watch(
      '>',
      over.signal,
      ({ value }) => look(value),
      () => undefined,
    );
    const run = cluster.run();
    await first.says('failing on purpose');
    const { id } = await withCheckpoint;
    await first.kill();
    const checkpoint = (await cluster.broker.jobs.get(id))?.value.checkpoint;
    if (checkpoint == null) throw new Error('the job has no checkpoint');
    const store = await cluster.broker.nats.jetstream().views.os(Stores.checkpoints);
    await damages[how]?.(store, checkpoint.digest, checkpoint.bytes);

    const second = cluster.services.worker('second');
    const named = await second.says('the checkpoint is of no use: the job begins anew');
    expect(JSON.stringify(named.err)).toContain(checkpoint.digest);
    const { results } = await run;
    over.abort();
    expect(bitsOf(results)).toEqual(undisturbed);
    expect(second.lines.map(({ msg }) => msg)).not.toContain('went on from a checkpoint');
    expect(completedFolds(results)[0]).toMatchObject({ attempts: 1 });
    expect(seen.get(id)).toMatchObject({ state: 'completed', checkpoint: null });
  });
});
