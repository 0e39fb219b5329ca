import { setTimeout as sleep } from 'node:timers/promises';
import { connectClient } from '@crossfold/coordinator/client/client';
import { openBroker } from '@crossfold/shared/broker/broker';
import { keyedRandom } from '@crossfold/shared/rng';
import { expect, it } from 'vitest';
import { startBroker } from '../support/broker.ts';
import { smallExperiment } from '../support/cluster.ts';
import type { ExperimentInput } from '../support/group-experiments.ts';
import { bitsOf } from '../support/group-experiments.ts';
import type { Sample } from '../support/process-watch.ts';
import { ProcessWatch, slope } from '../support/process-watch.ts';
import type { Service } from '../support/processes.ts';
import { Services } from '../support/processes.ts';
import { checkRecords } from '../support/record-check.ts';
import { runExperiment } from '../support/run-experiment.ts';

const minutes = Number(process.env.CROSSFOLD_SOAK_MINUTES ?? '60');
const sampleMs = 5000;
const faultEveryMs = 20_000;
const patienceMs = 5 * 60_000;
/** Until heaps have their size and code is compiled. */
const warmUpSeconds = Math.min(300, minutes * 12);

/** Where a process may end up after an hour, beyond what the line leaves unexplained: less could not be told from noise. */
const limits = { residentMiB: 40, handles: 6 };

const ways: readonly Partial<ExperimentInput>[] = [
  { workersPerJob: 1 },
  { workersPerJob: 2, exchange: 'nats' },
  { workersPerJob: 2, exchange: 'direct' },
  { workersPerJob: 'auto' },
];

const say = (text: string): void => void process.stdout.write(`${new Date().toISOString().slice(11, 19)} ${text}\n`);

it(
  `${minutes} minutes of small jobs and faults on 4 workers leave every process as it was, and lose nothing`,
  async () => {
    const server = await startBroker();
    const broker = await openBroker(server.url, 'test', { patienceMs: 60_000 });
    const services = await Services.in(() => server.url);
    const env = { CROSSFOLD_LOG_LEVEL: 'info' };
    const coordinator = services.coordinator('coordinator', { env: { ...env, CROSSFOLD_SWEEP_MINUTES: '2' } });
    const workers = [0, 1, 2].map((n) => services.worker(`worker-${n}`, { env }));
    /** The one that is killed, again and again. */
    let mortal = services.worker('mortal-0', { env });
    const lasting = new Map<string, Service>([
      ['coordinator', coordinator],
      ...workers.map((worker): [string, Service] => [worker.name, worker]),
    ]);
    await Promise.all([...lasting.values(), mortal].map((service) => service.says('ready')));
    const check = await checkRecords(broker);
    const user = await connectClient(server.url, 60_000);
    const watch = new ProcessWatch();
    const until = performance.now() + minutes * 60_000;
    const over = new AbortController();
    const wrong: string[] = [];
    let finished = 0;
    let faults = 0;

    const sampling = (async () => {
      while (!over.signal.aborted) {
        await watch.look(new Map([...lasting].map(([name, { pid }]) => [name, pid])).set('nats-server', server.pid));
        await sleep(sampleMs);
      }
    })();
    const random = keyedRandom(1, 'soak');
    const stopped = async (service: { signal(signal: NodeJS.Signals): void }, ms: number): Promise<void> => {
      service.signal('SIGSTOP');
      await sleep(ms);
      service.signal('SIGCONT');
    };
    const disturbing = (async () => {
      for (let n = 1; performance.now() < until; n++) {
        await sleep(faultEveryMs);
        const worker = workers[random.below(workers.length)] ?? mortal;
        faults++;
        // Now and then for longer than a silent worker is waited for, so that its group goes on without it.
        if (n % 4 === 0) await stopped(worker, 500 + random.below(3000));
        else if (n % 4 === 1) await stopped(coordinator, random.below(4000));
        else if (n % 4 === 2)
          await stopped({ signal: (signal) => process.kill(server.pid, signal) }, random.below(2000));
        else {
          await mortal.kill();
          mortal = services.worker(`mortal-${n}`, { env });
        }
      }
    })();
    disturbing.catch((error: unknown) => wrong.push(String(error)));

    try {
      const expected = JSON.stringify(
        bitsOf((await runExperiment(server.url, smallExperiment, AbortSignal.timeout(patienceMs))).results),
      );
      const lane = async (first: number): Promise<void> => {
        for (let n = first; performance.now() < until; n++) {
          const way = { ...smallExperiment, ...ways[n % ways.length] };
          const run = await runExperiment(server.url, way, AbortSignal.timeout(patienceMs), undefined, '.', 60_000);
          finished++;
          if (run.record.state !== 'completed') wrong.push(`${run.record.id} ${run.record.state}: ${run.record.error}`);
          else if (JSON.stringify(bitsOf(run.results)) !== expected) wrong.push(`${run.record.id}: other bits`);
          // As users do: a cluster that keeps everything for ever grows for ever.
          await user.remove({ ids: [run.record.id] });
          if (finished % 50 === 0) say(`${finished} experiments, ${faults} faults${standing(watch)}`);
        }
      };
      await Promise.all([lane(0), lane(1), lane(2)]);
      await disturbing;
      wrong.push(...(await check.faults()));
      for (const [name, service] of lasting) if (!service.running) wrong.push(`${name} has ended`);
    } finally {
      over.abort();
      await sampling;
      check.stop();
      await user.close();
      await broker.close();
      await services.close();
      await server.stop();
      say(
        `${minutes} minutes: ${finished} experiments of 2 jobs, ${faults} faults; after ${warmUpSeconds} s of warming up:`,
      );
      for (const [name, samples] of watch.samples) wrong.push(...judge(name, samples));
      say(`wrong: ${wrong.length === 0 ? 'nothing' : wrong.join('; ')}`);
    }
    expect(finished).toBeGreaterThan(minutes);
    expect(wrong).toEqual([]);
  },
  minutes * 60_000 + 3 * patienceMs,
);

const standing = (watch: ProcessWatch): string =>
  [...watch.samples].map(([name, samples]) => `; ${name} ${samples.at(-1)?.residentMiB.toFixed(0)} MiB`).join('');

/** Says how a process went, and what is wrong with that. */
function judge(name: string, all: readonly Sample[]): string[] {
  const samples = all.filter(({ at }) => at >= warmUpSeconds);
  const wrong: string[] = [];
  const parts: string[] = [];
  for (const what of ['residentMiB', 'handles'] as const) {
    const line = slope(samples, (sample) => sample[what]);
    const [first, last] = [samples[0]?.[what], samples.at(-1)?.[what]];
    if (line === undefined || first === undefined || last === undefined) {
      parts.push(`${what}: too short to tell`);
      continue;
    }
    const { perHour, standardError } = line;
    const text = `${what} ${first.toFixed(0)} -> ${last.toFixed(0)}, ${perHour.toFixed(1)} +- ${standardError.toFixed(1)} an hour`;
    parts.push(text);
    if (perHour - 3 * standardError > 0 && perHour > limits[what]) wrong.push(`${name}: ${text}`);
  }
  say(`  ${name}: ${parts.join('; ')}`);
  return wrong;
}
