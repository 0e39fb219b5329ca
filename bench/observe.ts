/**
 * What being observed costs a worker: `npm run bench -- observe [--steps N]`. A group of one takes real train steps of the
 * MNIST net (batch 64, one thread) with everything attached: metrics, a timeline that is recorded, the log's fields. The
 * time spent in them is taken on the spot, so that whatever else the machine does falls on both sides of the ratio alike.
 */
import { unwatchedBorder } from '@crossfold/shared/border';
import { connectBroker } from '@crossfold/shared/broker/connection';
import { timelineSubject } from '@crossfold/shared/broker/subjects';
import { ModelSpec } from '@crossfold/shared/config/model';
import { TrainingSpec } from '@crossfold/shared/config/training';
import { noFaults } from '@crossfold/shared/faults';
import type { JobRecord } from '@crossfold/shared/jobs/records';
import { createMetrics } from '@crossfold/shared/metrics/registry';
import { planModel } from '@crossfold/shared/model/plan';
import { Waits } from '@crossfold/shared/waits';
import { EngineThread } from '@crossfold/worker/engine/remote';
import { openExchange } from '@crossfold/worker/exchange/open-exchange';
import { trainStep } from '@crossfold/worker/job/actions';
import { actionAt } from '@crossfold/worker/job/course';
import { Gradients } from '@crossfold/worker/job/gradients';
import { initialState } from '@crossfold/worker/job/state';
import { LogPlace } from '@crossfold/worker/observe/log-place';
import type { JobObserver } from '@crossfold/worker/observe/observer';
import { observers } from '@crossfold/worker/observe/observer';
import { TimelineReporter } from '@crossfold/worker/observe/timeline';
import { WorkerMetrics } from '@crossfold/worker/observe/worker-metrics';
import { median, option, table, withBroker } from './support/cluster.ts';
import { digits } from './support/digits.ts';

const steps = Number(option('steps') ?? 300);
const warmUp = 20;
/** How often Prometheus asks, with the configuration for compose. */
const readEveryMs = 5000;
const now = (): number => performance.timeOrigin + performance.now();

await withBroker(async (url) => {
  const nats = await connectBroker(url, 'bench');
  const { signal } = new AbortController();
  const over = new AbortController();
  const metrics = createMetrics('worker');
  /** Milliseconds that each spent on each step. */
  const spent = { always: [] as number[], recording: [] as number[] };
  const timed = (into: number[], all: readonly JobObserver[]): JobObserver => {
    const inner = observers(all);
    return {
      ...inner,
      stepped(facts) {
        const started = performance.now();
        inner.stepped(facts);
        into.push(performance.now() - started);
      },
    };
  };
  const observer = observers([
    timed(spent.always, [new WorkerMetrics(metrics, new Waits(now), now), new LogPlace()]),
    timed(spent.recording, [new TimelineReporter({ nats, border: unwatchedBorder }, 'bench', now, over.signal)]),
  ]);
  const training = TrainingSpec.parse({ epochs: 1000, batchSize: 64, optimizer: { name: 'rmsprop' } });
  const model = planModel(
    ModelSpec.parse({ preset: 'mnist-convnet' }),
    { height: 28, width: 28, channels: 1 },
    10,
    training.loss,
  );
  const engine = await EngineThread.start({ threads: 1 }, () => undefined);
  const session = await engine.open({ model, training, keys: { seed: 1, repeat: 0, fold: 0 }, data: digits(6400) });
  const view = {
    job: 'b.train.0.0.0',
    generation: 1,
    rank: 0,
    members: [{ worker: 'bench', address: null }],
    secret: '',
  };
  const exchange = await openExchange({ ...view, slices: training.microBatches }, { nats, mode: 'nats' }, signal);
  const record = { ...view, id: view.job, experiment: 'b', kind: 'train', trial: 0, repeat: 0, fold: 0 };
  observer.entered({ record: record as unknown as JobRecord, rank: 0, exchange });
  const place = {
    rank: 0,
    size: 1,
    exchange,
    gradients: new Gradients(session),
    signal,
    now,
    faults: noFaults,
    observer,
  };
  const course = { epochs: training.epochs, stepsPerEpoch: 100_000, until: training.epochs };
  let state = initialState;
  const took: number[] = [];
  for (let i = 0; i < steps + warmUp; i++) {
    if (i % 50 === 0) nats.publish(timelineSubject('b', 'wanted'), JSON.stringify({ asked: i }));
    const action = actionAt(course, state.position);
    if (action.kind !== 'step') throw new Error('an epoch has no end');
    const started = performance.now();
    state = await trainStep(state, action, actionAt(course, state.position + 1), session, training, place);
    took.push(performance.now() - started);
  }
  const readings: number[] = [];
  for (let i = 0; i < 30; i++) {
    const started = performance.now();
    await metrics.read();
    readings.push(performance.now() - started);
  }
  const step = median(took.slice(warmUp));
  const mean = (all: readonly number[]): number => all.slice(warmUp).reduce((sum, ms) => sum + ms, 0) / steps;
  const always = mean(spent.always);
  const recording = mean(spent.recording);
  const reading = median(readings);
  const perCent = (share: number): string => `${(100 * share).toFixed(3)} %`;
  console.log(
    table(
      ['', 'ms', 'of the time'],
      [
        ['a train step, median', step.toFixed(2), ''],
        ['metrics and log fields, a step, mean', always.toFixed(4), perCent(always / step)],
        [`a reading of /metrics, every ${readEveryMs / 1000} s`, reading.toFixed(2), perCent(reading / readEveryMs)],
        ['together, always', '', perCent(always / step + reading / readEveryMs)],
        ['a timeline, while it is recorded, a step, mean', recording.toFixed(4), perCent(recording / step)],
      ],
    ),
  );
  over.abort();
  await session.close();
  await exchange.close();
  await engine.stop();
  await nats.close();
});
