import { existsSync } from 'node:fs';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connectClient } from '@crossfold/coordinator/client/client';
import { TraceFile } from '@crossfold/coordinator/timeline/trace-file';
import { Experiment, newExperimentId } from '@crossfold/shared/config/experiment';
import { ConfigError } from '@crossfold/shared/errors';
import { isFinal } from '@crossfold/shared/jobs/records';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { smallExperiment, startTrainingCluster, type TrainingCluster } from '../support/cluster.ts';

interface TraceEvent {
  readonly name: string;
  readonly ph: string;
  readonly cat?: string;
  readonly pid: number;
  readonly tid: number;
  readonly ts: number;
  readonly dur: number;
  readonly args?: Readonly<Record<string, string | number>>;
}

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'crossfold-timeline-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

describe('a trace file', () => {
  it('names a place where nothing can be written', async () => {
    await expect(TraceFile.create(join(folder, 'none', 'trace.json'))).rejects.toThrow(ConfigError);
    await expect(TraceFile.create(join(folder, 'none', 'trace.json'))).rejects.toThrow(/^--timeline is .*ENOENT/);
  });

  it('is there whole or not at all', async () => {
    const file = join(folder, 'empty.json');
    const trace = await TraceFile.create(file);
    expect(existsSync(file)).toBe(false);
    await trace.close({ experiment: 'e' });
    expect(JSON.parse(await readFile(file, 'utf8'))).toMatchObject({ traceEvents: [], otherData: { left: 0 } });
    expect(await readdir(folder)).toEqual(['empty.json']);
  });
});

describe('a timeline', () => {
  let cluster: TrainingCluster;
  beforeAll(async () => {
    // In the third epoch, before its validation, one of two members dies.
    const dies = { at: 'computing', rank: 1, position: 45, do: 'kill' };
    cluster = await startTrainingCluster({ workers: 2, env: { CROSSFOLD_FAULTS: JSON.stringify([dies]) } });
  }, 120_000);
  afterAll(() => cluster?.stop());

  it('has every step of every worker in order, with its phases, and the recovery from a member killed', async () => {
    const client = await connectClient(cluster.url);
    const id = newExperimentId('traced', new Date(), 1);
    const file = join(folder, 'trace.json');
    const recording = await client.recordTimeline(id, file);
    const experiment = Experiment.parse({
      ...smallExperiment,
      evaluation: { method: 'holdout', validation: 0.5 },
      dataset: { name: 'mnist', limit: 1200 },
      workersPerJob: 2,
      training: { ...smallExperiment.training, epochs: 4 },
    });
    await client.submit(experiment, cluster.folder, id);
    for await (const event of client.follow(id, AbortSignal.timeout(100_000)))
      if (event.type === 'experiment' && isFinal(event.state)) expect(event.state).toBe('completed');
    const said = await recording.stop();
    const jobs = await client.jobs(id);
    await client.close();
    expect(said.left).toBe(0);

    const { traceEvents: all } = JSON.parse(await readFile(file, 'utf8')) as { traceEvents: TraceEvent[] };
    const names = new Map(all.filter(({ name }) => name === 'process_name').map(({ pid, args }) => [pid, args?.name]));
    const train = jobs.find((job) => job.kind === 'train');
    for (const name of names.values()) expect(train?.workers).toContain(name);
    const survivor = train?.workers.find((worker) => [...names.values()].includes(worker));
    const spans = all.filter(({ ph }) => ph === 'X');
    const survivors = new Set(
      [...names]
        .filter(([pid]) => spans.filter((s) => s.pid === pid && s.cat === 'step').length === 4 * 19)
        .map(([pid]) => pid),
    );
    expect(survivor).toBeDefined();
    // One of them was there all the time: 600 samples are 19 steps an epoch.
    expect(survivors.size).toBe(1);
    for (const pid of names.keys()) {
      const own = spans.filter((span) => span.pid === pid).sort((a, b) => a.ts - b.ts);
      const steps = own.filter(({ cat }) => cat === 'step');
      steps.slice(1).forEach((step, i) => {
        const before = steps[i];
        expect(step.ts).toBeGreaterThanOrEqual((before?.ts ?? 0) + (before?.dur ?? 0) - 1);
      });
      for (const step of steps) {
        const phases = own.filter(
          (p) => p.cat === 'phase' && p.ts >= step.ts - 0.2 && p.ts + p.dur <= step.ts + step.dur + 0.4,
        );
        expect(phases.map(({ name }) => name)).toEqual(['data', 'compute', 'exchange', 'update']);
        expect(Math.abs(phases.reduce((sum, { dur }) => sum + dur, 0) - step.dur)).toBeLessThan(1);
      }
    }
    const [pid] = survivors;
    const recovered = all.filter((event) => event.pid === pid && event.cat === 'recovery').map(({ name }) => name);
    expect(recovered).toEqual(expect.arrayContaining(['regroup', 'agree on the step']));
    expect(all.some((event) => event.cat === 'change' && event.name === 'group: lost')).toBe(true);
    expect(spans.filter((span) => span.pid === pid && span.cat === 'validation')).toHaveLength(4);
    expect(spans.filter((span) => span.pid === pid && span.cat === 'generation').length).toBeGreaterThanOrEqual(2);
    expect(spans.some(({ cat }) => cat === 'checkpoint')).toBe(true);
  }, 150_000);
});
