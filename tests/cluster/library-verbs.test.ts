import { mkdtempSync, rmSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Cluster, FinishedRun, LogLine, Run } from 'crossfold';
import {
  defineExperiment,
  estimate,
  estimateText,
  followLogs,
  layersOf,
  logText,
  readLogs,
  startCluster,
  summarize,
} from 'crossfold';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

/** A net of few weights on few digits: what is asked about is which call does what. */
const experiment = {
  name: 'verbs',
  dataset: { name: 'mnist', limit: 200 },
  evaluation: { method: 'kfold', folds: 2 },
  model: {
    layers: [{ type: 'maxPooling2d' }, { type: 'flatten' }, { type: 'dense', units: 10, activation: 'softmax' }],
  },
  training: { epochs: 1, batchSize: 50, optimizer: { name: 'adam', learningRate: 0.01 } },
} as const;

let folder: string;
let cluster: Cluster | undefined;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'crossfold-verbs-'));
});
afterAll(async () => {
  await cluster?.close();
  rmSync(folder, { recursive: true, force: true });
});

describe('what commands do, from a program', () => {
  let run: Run;
  let finished: FinishedRun;

  it('estimates and summarizes without a cluster', async () => {
    const loaded = await defineExperiment(experiment);
    const estimated = await estimate(loaded, { workers: 2 });
    expect(estimated).toMatchObject({ jobs: 2, estimate: { workers: 2 }, trials: [{ weights: 1970 }] });
    expect(estimateText(estimated)).toContain('1 trial x 2 folds = 2 jobs');
    expect(await summarize(loaded, { classes: 10, image: { height: 14, width: 14, channels: 1 } })).toContain('500');
    expect((await layersOf(loaded)).layers.map(({ type }) => type)).toEqual(['maxPooling2d', 'flatten', 'dense']);
  });

  it('cancels a fold, and resumes it, with a timeline of both', async () => {
    cluster = await startCluster({ workers: 1, folder: join(folder, 'cluster') });
    run = await cluster.submit(await defineExperiment(experiment));
    const recording = await run.recordTimeline(join(folder, 'trace.json'));
    await run.cancel({ fold: 1 });
    const lines: LogLine[] = [];
    for await (const line of run.followLogs({ level: 'debug' })) lines.push(line);
    expect(lines.map(({ experiment: own }) => own)).toContain(run.id);
    expect((await run.jobs()).map(({ state }) => state)).toEqual(['completed', 'cancelled']);
    await expect(run.resume({ fold: 2 })).rejects.toThrow('--fold is 2: must be from 0 to 1');
    await run.resume({ fold: 1 });
    finished = await run.finished();
    expect((await recording.stop()).events).toBeGreaterThan(0);
    expect(JSON.parse(await readFile(join(folder, 'trace.json'), 'utf8'))).toHaveProperty('traceEvents');
    expect(finished.results.trials[0]?.folds.map(({ status }) => status)).toEqual(['completed', 'completed']);
    expect(await run.resume()).toMatchObject({ id: run.id, state: 'completed' });
    expect(await run.standing()).toMatchObject({ progress: 1, folds: [{ progress: 1 }, { progress: 1 }] });
  });

  it('says what was said, of it and of a job', async () => {
    const [first] = await run.jobs();
    const job = first?.id ?? '';
    const own = await run.logs({ job });
    expect(new Set(own.map((line) => line.job))).toEqual(new Set([job]));
    expect((await run.logs()).length).toBeGreaterThan(own.length);
    expect(logText(own[0] as LogLine)).toMatch(/^\[?[\d:.]+\]? .*\n$/);
    await expect(run.logs({ job: 'another.train.0.0.0' })).rejects.toThrow(`must be the id of a job of ${run.id}`);
    await expect(readLogs(join(folder, 'nowhere'))).rejects.toThrow('there is no run with logs at');
    const kept = await readLogs(join(folder, 'cluster'), { level: 'warn' });
    expect(kept.every(({ level }) => level !== 'info')).toBe(true);
    const some = new AbortController();
    for await (const line of followLogs(join(folder, 'cluster'), some.signal)) {
      expect(line).toHaveProperty('service');
      some.abort();
    }
  });

  it('takes the nets of all folds together, and scores them as the cluster did', async () => {
    await run.refit({ ensemble: true });
    finished = await run.finished();
    const { final, test } = finished.results;
    expect(final?.of).toBe('ensemble');
    const nets = await finished.nets();
    const mistakes = join(folder, 'mistakes.png');
    const { scores, samples } = await nets.evaluate('mnist', { part: 'test', mistakes });
    expect(samples).toBe(10_000);
    expect(scores.accuracy).toBe(test?.accuracy);
    expect((await readFile(mistakes)).subarray(1, 4).toString()).toBe('PNG');
    const one = await finished.nets({ fold: 'best' });
    expect((await one.evaluate('mnist', 'test')).scores).not.toEqual(scores);
    for (const each of [nets, one]) each.close();
  });

  it('exports a fold, and reports as Markdown and CSV', async () => {
    const model = await finished.model({ fold: 1 });
    await model.write('keras', join(folder, 'fold.keras'));
    expect((await readFile(join(folder, 'fold.keras'))).subarray(0, 2).toString()).toBe('PK');
    expect(model.lostIn('h5')).toBeUndefined();
    model.close();
    expect(finished.csv().trimEnd().split('\n')).toHaveLength(3);
    expect(finished.markdown()).toContain('# verbs');
  });

  it('removes by age and by id', async () => {
    if (cluster === undefined) throw new Error('there is no cluster');
    expect(await cluster.removeAll({ overForMs: 3_600_000 })).toEqual([]);
    expect(await cluster.removeAll({ overForMs: 0 }, { dryRun: true })).toMatchObject([{ id: run.id }]);
    expect(await cluster.remove(run.id, { dryRun: true })).toMatchObject({ id: run.id, state: 'completed' });
    expect(await cluster.list()).toHaveLength(1);
    expect(await cluster.removeAll({ ids: [run.id] })).toMatchObject([{ id: run.id }]);
    expect(await cluster.list()).toEqual([]);
    await expect(run.standing()).rejects.toThrow(`there is no experiment ${run.id} any more`);
  });
});
