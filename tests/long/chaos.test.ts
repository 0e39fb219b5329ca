import { setTimeout as sleep } from 'node:timers/promises';
import { openBroker } from '@crossfold/shared/broker/broker';
import { expect, it } from 'vitest';
import { startBroker } from '../support/broker.ts';
import type { Recovery } from '../support/chaos.ts';
import { ChaosCluster, draw } from '../support/chaos.ts';
import type { ExperimentInput } from '../support/group-experiments.ts';
import { bitsOf, longer } from '../support/group-experiments.ts';
import { checkRecords } from '../support/record-check.ts';
import { runExperiment } from '../support/run-experiment.ts';

const minutes = Number(process.env.CROSSFOLD_CHAOS_MINUTES ?? '1');
const seed = Number(process.env.CROSSFOLD_CHAOS_SEED ?? '1');
/** An experiment that is disturbed all the time has to come to its end within this. */
const patienceMs = 10 * 60_000;

/** A recovery that took longer is named in the report. */
const slowMs = 8000;

const experiment: ExperimentInput = { ...longer, name: 'chaos', evaluation: { method: 'kfold', folds: 3 } };
/** None of them changes a bit. */
const ways: Partial<ExperimentInput>[] = [
  { workersPerJob: 'auto', exchange: 'auto' },
  { workersPerJob: 2, exchange: 'nats' },
  { workersPerJob: 2, exchange: 'direct' },
  { workersPerJob: 1 },
  { workersPerJob: 3, exchange: 'auto' },
];

const say = (text: string): void => void process.stdout.write(`${text}\n`);
const seconds = (ms: number): string => `${(ms / 1000).toFixed(2)} s`;
const median = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1] ?? 0;

it(
  `comes to the same bits through ${minutes} minutes of random faults, seed ${seed}`,
  async () => {
    const server = await startBroker();
    const broker = await openBroker(server.url, 'test', { patienceMs: 60_000 });
    const cluster = await ChaosCluster.start(server, 3, 2);
    const differences: string[] = [];
    let finished = 0;
    try {
      const quiet = await runExperiment(server.url, experiment, AbortSignal.timeout(patienceMs));
      const check = await checkRecords(broker);
      const until = performance.now() + minutes * 60_000;
      const over = new AbortController();
      const next = draw(seed);
      const striking = (async () => {
        while (performance.now() < until && !over.signal.aborted) {
          const drawn = next();
          await sleep(drawn.pauseMs);
          await cluster.strike(drawn);
        }
      })();
      striking.catch((error: unknown) => over.abort(error));
      for (let n = 0; performance.now() < until; n++) {
        const way = { ...experiment, ...ways[n % ways.length] };
        const signal = AbortSignal.any([over.signal, AbortSignal.timeout(patienceMs)]);
        const run = await runExperiment(server.url, way, signal, undefined, '.', 60_000);
        finished++;
        const same = JSON.stringify(bitsOf(run.results)) === JSON.stringify(bitsOf(quiet.results));
        if (!same || run.record.state !== 'completed')
          differences.push(`${run.record.id} (${run.record.state}): ${run.record.error ?? 'other bits'}`);
        say(
          `${run.record.id} ${run.record.state}, ${same ? 'the same bits' : 'OTHER BITS'}; ${cluster.struck.length} faults so far`,
        );
        say(`  recoveries so far: ${spread(cluster.recoveries())}`);
      }
      await striking;
      differences.push(...(await check.faults()));
      check.stop();
    } finally {
      report(cluster, finished, differences);
      await broker.close();
      await cluster.close();
      await server.stop();
    }
    expect(differences).toEqual([]);
  },
  minutes * 60_000 + 2 * patienceMs,
);

function report(cluster: ChaosCluster, finished: number, differences: readonly string[]): void {
  const recoveries = cluster.recoveries();
  say(`\nseed ${seed}, ${minutes} minutes: ${finished} experiments of 3 jobs, ${cluster.struck.length} faults`);
  for (const strike of new Set(cluster.struck.map((s) => s.strike))) {
    const hit = recoveries.filter((r) => r.strike === strike);
    const count = cluster.struck.filter((s) => s.strike === strike).length;
    say(`  ${strike}: ${count}${hit.length === 0 ? '' : `; jobs hit ${hit.length}, next step after ${spread(hit)}`}`);
  }
  say(
    `recoveries, from the fault to the first step of a group formed after it: ${recoveries.length}, ${spread(recoveries)}`,
  );
  const survived = recoveries.filter((r) => r.survived);
  const lost = recoveries.filter((r) => !r.survived);
  say(`  with a member left: ${survived.length}, ${spread(survived)}`);
  say(`  with none left: ${lost.length}, ${spread(lost)}`);
  for (const { strike, job, at, ms, freeMs, meanwhile } of recoveries.filter((r) => r.ms > slowMs))
    say(
      `  ${new Date(at).toISOString()} ${strike}, ${job}: ${seconds(ms)}, ${seconds(freeMs)} of it with a worker free; meanwhile: ${meanwhile.join(', ') || 'nothing'}`,
    );
  const takeovers = cluster.takeovers();
  const ofThem =
    takeovers.length === 0 ? '' : `, median ${seconds(median(takeovers))}, worst ${seconds(Math.max(...takeovers))}`;
  say(`the leader killed, a standby leads: ${takeovers.length}${ofThem}`);
  const reasons = [...new Set(cluster.ended.map(({ reason }) => reason))];
  say(`ended by themselves, and started again: ${[cluster.ended.length, ...reasons].join('; ')}`);
  say(`differences: ${differences.length === 0 ? 'none' : differences.join('; ')}`);
}

/** Of all the time until the next step, and of the part of it in which a worker was free. */
function spread(recoveries: readonly Recovery[]): string {
  if (recoveries.length === 0) return 'none';
  const all = recoveries.map((r) => r.ms);
  const free = recoveries.map((r) => r.freeMs);
  const [worst, worstFree] = [Math.max(0, ...all), Math.max(0, ...free)];
  return `median ${seconds(median(all))}, worst ${seconds(worst)}; with a worker free ${seconds(median(free))}, ${seconds(worstFree)}`;
}
