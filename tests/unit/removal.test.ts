import { ageOf, removalText } from '@crossfold/coordinator/cli/remove';
import { Board } from '@crossfold/coordinator/leader/board';
import { sweepTimingOf } from '@crossfold/coordinator/leader/sweep-timing';
import { holdingsOf } from '@crossfold/coordinator/removal/holdings';
import { digestsIn, referenced, unreferenced } from '@crossfold/coordinator/removal/references';
import { isOutlived, outlived } from '@crossfold/coordinator/removal/remove-records';
import type { Broker } from '@crossfold/shared/broker/broker';
import { putJson } from '@crossfold/shared/broker/json-blobs';
import { ConfigError } from '@crossfold/shared/errors';
import type { ExperimentRecord, JobRecord } from '@crossfold/shared/jobs/records';
import { describe, expect, it } from 'vitest';
import { experimentRecord } from '../support/fake-client.ts';
import { memoryBlobs } from '../support/memory-blobs.ts';
import { aJob, aResult } from '../support/records.ts';

const hex = (n: number): string => n.toString(16).padStart(64, '0');
const day = 86_400_000;

describe('what is referred to', () => {
  it('is whatever a document calls a digest', () => {
    expect(digestsIn(JSON.stringify({ a: { digest: hex(1), bytes: 3 }, b: [hex(2), hex(1)], c: 'x' }))).toEqual([
      hex(1),
      hex(2),
    ]);
    expect(digestsIn(`{"labels":"${'0'.repeat(65)}","upper":"${'A'.repeat(64)}"}`)).toEqual([]);
  });

  it('stays, and what is young', () => {
    const stored = [1, 2, 3].map((n) => ({ digest: hex(n), bytes: 1, storedAt: n * 100 }));
    expect(unreferenced(stored, new Set([hex(1)]), 400, 200).map(({ digest }) => digest)).toEqual([hex(2)]);
  });

  it('follows from records, by plans, results, sources and manifests, but not from what is damaged', async () => {
    const artifacts = memoryBlobs();
    const data = memoryBlobs();
    const spec = await putJson(artifacts, { model: { weights: { digest: hex(1), bytes: 1 } } });
    const plan = await putJson(artifacts, { trials: [{ plan: { digest: hex(2), bytes: 1 } }] });
    const result = await putJson(artifacts, { model: { digest: hex(3), bytes: 1 } });
    const trial = await putJson(artifacts, { ensemble: [{ digest: hex(4), bytes: 1 }] });
    const imported = await putJson(data, { train: { shards: [{ digest: hex(5) }, { digest: hex(6) }] } });
    const source = await putJson(data, { kind: 'imported', manifest: imported });
    const named = await putJson(data, { train: { shards: [{ digest: hex(7) }] } });
    const { results } = { results: { digest: hex(8), bytes: 1 } };
    // The same pictures in another size.
    const other = await putJson(data, { train: { shards: [{ digest: hex(12) }] } });
    const cut = { manifest: { digest: hex(9), bytes: 1 }, otherManifests: [other] };
    const records = [experimentRecord('a', { spec, plan, source, results, ...cut })];
    const jobs = [aJob({ plan: trial.digest, result: aResult(result), earlier: [aResult({ digest: hex(10) })] })];
    const broker = {
      experiments: { list: async () => records },
      jobs: { list: async () => jobs },
      datasets: { list: async () => [{ manifest: named }] },
      artifacts,
      data,
    } as unknown as Broker;
    const known = new Map();
    const needed = await referenced(broker, known);
    for (const digest of [spec, plan, result, trial, imported, source, named].map((one) => one.digest))
      expect(needed).toContain(digest);
    for (const n of [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12]) expect(needed).toContain(hex(n));
    expect(needed).not.toContain(hex(11));
    // What was read is not read again, nor remembered for longer than it is of use.
    const fetched = artifacts.fetched.filter((digest) => artifacts.blobs.has(digest)).length;
    await referenced(broker, known);
    expect(artifacts.fetched.filter((digest) => artifacts.blobs.has(digest))).toHaveLength(fetched);
    records.length = 0;
    jobs.length = 0;
    await referenced(broker, known);
    expect([...known.keys()]).toEqual([named.digest]);
  });
});

describe('how long an experiment is kept', () => {
  const record = (state: ExperimentRecord['state'], finishedAt: number | null) =>
    experimentRecord('a', { state, finishedAt });

  it('counts from when it was over', () => {
    expect(isOutlived(record('completed', day), day, 2 * day)).toBe(true);
    expect(isOutlived(record('failed', day + 1), day, 2 * day)).toBe(false);
    expect(isOutlived(record('running', null), day, 9 * day)).toBe(false);
    expect(outlived([record('cancelled', 0), record('submitted', null)], day, 2 * day)).toHaveLength(1);
  });

  it('is for ever unless the environment says otherwise', () => {
    expect(sweepTimingOf({})).toEqual({ firstAfterMs: 60_000, everyMs: 600_000, youngMs: 600_000 });
    expect(sweepTimingOf({ CROSSFOLD_KEEP_DAYS: '30', CROSSFOLD_SWEEP_MINUTES: '2' })).toEqual({
      firstAfterMs: 60_000,
      everyMs: 120_000,
      youngMs: 120_000,
      keepMs: 30 * day,
    });
    for (const CROSSFOLD_KEEP_DAYS of ['0', '-1', 'x', '1e9', 'NaN'])
      expect(() => sweepTimingOf({ CROSSFOLD_KEEP_DAYS })).toThrow(ConfigError);
    expect(() => sweepTimingOf({ CROSSFOLD_SWEEP_MINUTES: '1' })).toThrow(
      'CROSSFOLD_SWEEP_MINUTES is "1": must be a number from 2 to 1440',
    );
  });

  it.each([
    ['30d', 30 * day],
    ['12h', day / 2],
    ['90m', 5_400_000],
    ['4w', 28 * day],
    ['0.5d', day / 2],
  ])('%s', (text, ms) => expect(ageOf(text)).toBe(ms));

  it.each(['', '30', 'd', '0d', '-1d', '1y', '1e3d', 'NaNd'])('not %s', (text) =>
    expect(() => ageOf(text)).toThrow('30d'),
  );
});

describe('a board', () => {
  const key = hex(1);
  const done = (id: string, experiment: string): JobRecord =>
    aJob({ id, experiment, key, state: 'completed', result: aResult({ final: true }) });
  const board = (): Board => {
    const made = new Board();
    for (const id of ['old', 'new']) made.seeExperiment(experimentRecord(id, { state: 'running' }));
    made.seeJob(done('old.train.0.0.0', 'old'));
    made.seeJob(aJob({ id: 'new.train.0.0.0', experiment: 'new', key }));
    return made;
  };
  const waiting = aJob({ id: 'new.train.0.0.0', experiment: 'new', key });

  it('serves nobody by an experiment that was removed', () => {
    const seen = board();
    expect(seen.servedBy(waiting)?.id).toBe('old.train.0.0.0');
    seen.forgetExperiment('old', 7);
    expect(seen.servedBy(waiting)).toBeUndefined();
    expect(seen.missing).toEqual(['old']);
    expect([...seen.removed]).toEqual([['old', { experiment: 7, jobs: 0 }]]);
  });

  it('lets go of jobs that are deleted, wherever it had them', () => {
    const seen = board();
    seen.seeJob(
      aJob({ id: 'old.train.0.0.1', experiment: 'old', state: 'running', members: [{ worker: 'w', address: null }] }),
    );
    seen.forgetExperiment('old', 7);
    for (const id of ['old.train.0.0.0', 'old.train.0.0.1']) seen.forgetJob(id, 9);
    expect([...seen.jobs.keys()]).toEqual(['new.train.0.0.0']);
    expect([seen.missing, [...seen.manned.keys()], [...seen.unfinished.keys()]]).toEqual([[], [], ['new']]);
    expect([...seen.queues.keys()]).toEqual(['new']);
    expect(seen.plans.get(waiting.plan)).toBe(1);
    expect(seen.removed.get('old')).toEqual({ experiment: 7, jobs: 9 });
    // Markers come again when a watch is begun again.
    seen.forgetJob('old.train.0.0.0', 9);
    seen.forgetJob('new.train.0.0.0', 10);
    expect([[...seen.plans.keys()], [...seen.queues.keys()]]).toEqual([[], []]);
  });
});

describe('what removal frees', () => {
  const brokerOf = (named: string[] = []) => {
    const [artifacts, data] = [memoryBlobs(), memoryBlobs()];
    const datasets = { list: async () => named.map((digest) => ({ manifest: { digest, bytes: 1 } })) };
    return { artifacts, data, datasets } as unknown as Broker;
  };

  it('is each blob once, and no data that others use', async () => {
    const broker = brokerOf();
    const ref = (n: number, bytes: number) => ({ digest: hex(n), bytes });
    const part = { path: 'x', bytes: 9, parts: [ref(20, 1000), ref(21, 500)] };
    const source = await putJson(broker.data, {
      kind: 'idx',
      name: 'digits',
      train: { images: part, labels: part },
      test: null,
    });
    const own = experimentRecord('a', { spec: ref(1, 10), folds: ref(2, 20), results: ref(3, 30), source });
    const shared = aResult({ digest: hex(4), bytes: 40 });
    const jobs = [aJob({ result: shared }), aJob({ id: 'a.train.0.0.1', result: shared })];
    expect(await holdingsOf(broker, own, jobs, [])).toEqual({ jobs: 2, artifacts: 100, data: 1500 + source.bytes });
    expect((await holdingsOf(broker, own, jobs, [experimentRecord('b', { source })])).data).toBe(0);
    const cut = { ...own, manifest: ref(30, 7) };
    expect((await holdingsOf({ ...brokerOf([hex(30)]), artifacts: broker.artifacts }, cut, [], [])).data).toBe(0);
  });

  it('is said', () => {
    const removal = {
      id: 'a',
      name: 'x',
      state: 'completed' as const,
      finishedAt: 0,
      jobs: 1,
      artifacts: 1500,
      data: 0,
    };
    expect(removalText([removal], true)).toBe('a: would be removed, 1 job, 1.5 kB of nets and results\n');
    expect(removalText([removal, { ...removal, id: 'b', jobs: 2, data: 5e6 }], false)).toBe(
      `a: removed, 1 job, 1.5 kB of nets and results
b: removed, 2 jobs, 1.5 kB of nets and results, 5.0 MB of data
2 experiments removed, 3 jobs, 3.0 kB of nets and results, 5.0 MB of data
what nothing else needs of that is free once the leading coordinator has looked, in some minutes
`,
    );
    expect(removalText([], false)).toBe('no experiment has been over for that long\n');
  });
});
