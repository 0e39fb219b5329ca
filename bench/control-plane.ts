/**
 * What giving out, following and recording a job costs: `npm run bench -- control-plane [--jobs N,N,...] [--workers N]
 * [--job-ms MS] [--json FILE]`. A real broker and a real coordinator, as processes; workers that take seats and store
 * results as real ones do, and compute nothing. `--real N,N,...` trains as many small jobs on two real workers instead.
 */
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connectClient } from '@crossfold/coordinator/client/client';
import { openBroker } from '@crossfold/shared/broker/broker';
import { Experiment } from '@crossfold/shared/config/experiment';
import { Member, machine, option, say, table, tasks, withBroker } from './support/cluster.ts';
import { startFakeWorkers } from './support/fake-workers.ts';
import { service } from './support/service.ts';

interface Task {
  readonly url: string;
  readonly count: number;
  readonly prefix: string;
  readonly jobMs: number;
}

interface Row {
  readonly jobs: number;
  readonly seconds: number;
  /** CPU time, milliseconds a job, and the most memory, MiB, of each process. */
  readonly coordinatorMs: number;
  readonly brokerMs: number;
  readonly coordinatorMiB: number;
  readonly brokerMiB: number;
  /** Of the coordinator, before results were put together. */
  readonly beforeEndMiB: number;
  /** From submission until the first job runs, and from the last one's end until the results are there. */
  readonly startSeconds: number;
  readonly endSeconds: number;
}

const folds = 5;
const numbers = (text: string): number[] => text.split(',').map(Number);

// ---- in the parent ----------------------------------------------------------------------------------------------

async function main(): Promise<void> {
  const real = option('real');
  const sizes = numbers(real ?? option('jobs') ?? '100,1000,2500,5000,10000');
  const workers = real === undefined ? Number(option('workers') ?? 200) : 2;
  const jobMs = Number(option('job-ms') ?? 0);
  const folder = await mkdtemp(join(tmpdir(), 'crossfold-bench-data-'));
  const rows: Row[] = [];
  try {
    await writeDataset(folder);
    const { cores, cpu, node } = machine();
    console.log(
      `${cores} cores, ${cpu}, Node ${node}; ${workers} ${real === undefined ? 'workers that compute nothing' : 'real workers'}`,
    );
    for (const jobs of sizes)
      await withBroker(async (url, pid) => {
        rows.push(await sweep({ url, pid, jobs, workers, jobMs, folder, real: real !== undefined }));
      });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
  const file = option('json');
  if (file !== undefined)
    await writeFile(file, `${JSON.stringify({ machine: machine(), workers, jobMs, rows }, null, 2)}\n`);
  console.log(
    table(
      [
        'jobs',
        'seconds',
        'jobs/s',
        'coordinator ms/job',
        'broker ms/job',
        'coordinator MiB',
        'before the end',
        'broker MiB',
        'start s',
        'end s',
      ],
      rows.map((row) => [
        row.jobs,
        row.seconds.toFixed(1),
        (row.jobs / row.seconds).toFixed(0),
        row.coordinatorMs.toFixed(2),
        row.brokerMs.toFixed(2),
        row.coordinatorMiB.toFixed(0),
        row.beforeEndMiB.toFixed(0),
        row.brokerMiB.toFixed(0),
        row.startSeconds.toFixed(1),
        row.endSeconds.toFixed(1),
      ]),
    ),
  );
  console.log(growth(rows));
}

/**
 * How costs grow from the second largest sweep to the largest: something quadratic would double what a job costs where
 * there are twice as many.
 */
function growth(rows: readonly Row[]): string {
  const [small, large] = rows.toSorted((a, b) => a.jobs - b.jobs).slice(-2);
  if (small === undefined || large === undefined) return '';
  const times = (of: (row: Row) => number): string => (of(large) / of(small)).toFixed(2);
  return [
    `from ${small.jobs} to ${large.jobs} jobs, a job's cost: coordinator x ${times((row) => row.coordinatorMs)}`,
    `broker x ${times((row) => row.brokerMs)}, wall clock x ${times((row) => row.seconds / row.jobs)}`,
    `end x ${times((row) => row.endSeconds / row.jobs)} (x ${(large.jobs / small.jobs).toFixed(1)} were quadratic)`,
  ].join(', ');
}

interface SweepOptions {
  readonly url: string;
  /** Of the broker's process. */
  readonly pid: number;
  readonly jobs: number;
  readonly workers: number;
  readonly jobMs: number;
  readonly folder: string;
  readonly real: boolean;
}

async function sweep({ url, pid, jobs, workers, jobMs, folder, real }: SweepOptions): Promise<Row> {
  const coordinator = await service(['coordinator', '--nats', url, '--http', 'off']);
  const members = real ? [] : [0, 1].map(() => new Member(import.meta.url));
  const services = real ? [0, 1].map(() => service(['worker', '--nats', url, '--http', 'off'])) : [];
  const client = await connectClient(url);
  try {
    for (const [i, member] of members.entries()) {
      const task: Task = { url, count: Math.ceil(workers / 2), prefix: `fake-${i}-`, jobMs };
      member.tell(task);
      await member.hear();
    }
    await Promise.all(services);
    const before = await Promise.all([usage(coordinator.pid ?? 0), usage(pid)]);
    const started = performance.now();
    const id = `bench-${jobs}`;
    await client.submit(experiment(jobs), folder, id, { fresh: true });
    const seen = { first: 0, last: 0, completed: 0, beforeEndMiB: 0 };
    for await (const event of client.follow(id, AbortSignal.timeout(3_600_000))) {
      if (event.type !== 'job') continue;
      if (seen.first === 0 && event.state !== 'queued') seen.first = performance.now();
      if (event.state !== 'completed' || event.kind !== 'train') continue;
      seen.last = performance.now();
      if (++seen.completed === jobs - folds) seen.beforeEndMiB = (await usage(coordinator.pid ?? 0)).peakMiB;
    }
    const ended = performance.now();
    const { record } = await client.outcome(id, { models: false });
    if (record.state !== 'completed') throw new Error(`the experiment ${record.state}: ${record.error}`);
    const after = await Promise.all([usage(coordinator.pid ?? 0), usage(pid)]);
    return {
      jobs,
      seconds: (ended - started) / 1000,
      coordinatorMs: (after[0].cpuMs - before[0].cpuMs) / jobs,
      brokerMs: (after[1].cpuMs - before[1].cpuMs) / jobs,
      coordinatorMiB: after[0].peakMiB,
      brokerMiB: after[1].peakMiB,
      beforeEndMiB: seen.beforeEndMiB,
      startSeconds: (seen.first - started) / 1000,
      endSeconds: (ended - seen.last) / 1000,
    };
  } finally {
    await client.close();
    for (const member of members) await member.leave();
    for (const one of [coordinator, ...(await Promise.all(services))]) {
      one.kill();
      if (one.exitCode === null) await once(one, 'exit');
    }
  }
}

/** As many jobs as asked for, rounded up to whole trials where there are more than a few. */
function experiment(jobs: number): Experiment {
  const trials = Math.ceil(jobs / folds);
  const one = jobs < folds;
  return Experiment.parse({
    name: 'bench',
    dataset: { path: '.' },
    evaluation: one ? { method: 'holdout' } : { method: 'kfold', folds },
    model: { layers: [{ type: 'flatten' }, { type: 'dense', units: 3, activation: 'softmax' }] },
    training: { epochs: 3, optimizer: { name: 'sgd', learningRate: 0.1 } },
    workersPerJob: 1,
    ...(trials < 2
      ? {}
      : {
          search: { method: 'random', trials, parameters: { 'training.optimizer.learningRate': { uniform: [0, 1] } } },
        }),
  });
}

/** A data set of IDX files: its size is of no matter here. */
async function writeDataset(folder: string): Promise<void> {
  const samples = 300;
  const header = (...sizes: number[]): Buffer => {
    const bytes = Buffer.alloc(4 + 4 * sizes.length);
    bytes.writeUInt32BE(0x0800 | sizes.length);
    for (const [i, size] of sizes.entries()) bytes.writeUInt32BE(size, 4 + 4 * i);
    return bytes;
  };
  const pixels = Buffer.from(Array.from({ length: samples * 64 }, (_, i) => (i * 7) % 256));
  const labels = Buffer.from(Array.from({ length: samples }, (_, i) => i % 3));
  await writeFile(join(folder, 'train-images-idx3-ubyte'), Buffer.concat([header(samples, 8, 8), pixels]));
  await writeFile(join(folder, 'train-labels-idx1-ubyte'), Buffer.concat([header(samples), labels]));
}

/** CPU time and peak memory of a process, as Linux tells it. */
async function usage(pid: number): Promise<{ cpuMs: number; peakMiB: number }> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  // In ticks of a hundredth of a second, whatever the kernel's own are.
  return {
    cpuMs: 10 * (Number(fields[11]) + Number(fields[12])),
    peakMiB: Number(/VmHWM:\s+(\d+)/.exec(status)?.[1] ?? 0) / 1024,
  };
}

// ---- in a process of workers --------------------------------------------------------------------------------------

async function workers(): Promise<void> {
  for await (const { url, count, prefix, jobMs } of tasks<Task>()) {
    const broker = await openBroker(url, 'worker', { role: 'worker' });
    startFakeWorkers({
      broker,
      count,
      prefix,
      jobMs: () => jobMs,
      outcome: ({ trial, fold }) => 0.8 + ((trial * 37 + fold * 11) % 100) / 1000,
    });
    say('ready');
  }
}

await (process.argv[2] === 'member' ? workers() : main());
