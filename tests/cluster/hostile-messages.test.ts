import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { TrainingCluster } from '../support/cluster.ts';
import { startTrainingCluster } from '../support/cluster.ts';
import { Vandal } from '../support/garbage.ts';
import { bitsOf, everything } from '../support/group-experiments.ts';

let cluster: TrainingCluster;
beforeAll(async () => {
  cluster = await startTrainingCluster({ workers: 2, exchange: 'nats', env: { CROSSFOLD_LOG_LEVEL: 'info' } });
});
afterAll(() => cluster.stop());

const experiment = { ...everything, workersPerJob: 2 };

/** What a service says of messages that it has dropped, by kind. */
async function dropped(service: string): Promise<Map<string, number>> {
  const text = await (await fetch(`${cluster.cluster.http().get(service)}/metrics`)).text();
  const found = [...text.matchAll(/^crossfold_bad_messages_total\{kind="(\w+)"\} (\d+)/gm)];
  return new Map(found.map(([, kind = '', count]) => [kind, Number(count)]));
}

it('comes to the same bits whatever is said on its subjects, counts that, and names it once', async () => {
  const undisturbed = await cluster.run(experiment);
  expect(undisturbed.record.state).toBe('completed');
  const pids = cluster.cluster.pids();
  let displaced: string[] = [];
  const vandal = await Vandal.connect(cluster.url);
  try {
    let littered = false;
    const disturbed = await cluster.run(experiment, (event) => {
      if (littered || event.type !== 'job' || event.workers.length < 2) return;
      littered = true;
      const id = event.job.split('.')[0] ?? '';
      vandal.litter(id);
      displaced = [event.job, id];
      vandal.displace(
        `$KV.crossfold_jobs.${event.job}`,
        `$KV.crossfold_experiments.${id}`,
        '$KV.crossfold_leases.leader',
      );
    });
    expect(disturbed.record.state).toBe('completed');
    expect(bitsOf(disturbed.results)).toEqual(bitsOf(undisturbed.results));
    expect(littered).toBe(true);
    expect(vandal.said).toBeGreaterThan(1000);
  } finally {
    await vandal.close();
  }
  // Whatever was littered is still there: it is in nobody's way.
  const after = await cluster.run(experiment);
  expect(bitsOf(after.results)).toEqual(bitsOf(undisturbed.results));
  expect(cluster.cluster.pids()).toEqual(pids);
  await vandal.tidy();
  // What was overwritten is as it was, and said to have been.
  const led = await readFile(join(cluster.folder, 'logs', 'coordinator.log'), 'utf8');
  const putBack = led.split('\n').filter((line) => line.includes('something else had come in its place: put back'));
  expect(putBack.map((line) => (JSON.parse(line) as { record: string }).record).sort()).toEqual(displaced.sort());

  const kinds = {
    coordinator: ['presence', 'progress', 'record', 'headers'],
    'worker-0': ['presence', 'frame', 'hello', 'timeline', 'headers'],
  };
  for (const [service, expected] of Object.entries(kinds)) {
    const counts = await dropped(service);
    for (const kind of expected) expect(counts.get(kind), `${service}: ${kind}`).toBeGreaterThan(0);
    const log = await readFile(join(cluster.folder, 'logs', `${service}.log`), 'utf8');
    const named = log.split('\n').filter((line) => line.includes('a message is not what it should be'));
    expect(named.map((line) => (JSON.parse(line) as { kind: string }).kind).sort()).toEqual(
      [...counts]
        .filter(([, count]) => count > 0)
        .map(([kind]) => kind)
        .sort(),
    );
  }
});
