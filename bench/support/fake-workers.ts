import { setMaxListeners } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Broker } from '@crossfold/shared/broker/broker';
import { getJson, putJson } from '@crossfold/shared/broker/json-blobs';
import { announce } from '@crossfold/shared/broker/presence';
import { sha256 } from '@crossfold/shared/data/digest';
import type { TestJobResult, TrainJobResult } from '@crossfold/shared/jobs/job-result';
import { TrialPlan } from '@crossfold/shared/jobs/plan';
import type { BlobRef, JobRecord, Presence, ResultRef } from '@crossfold/shared/jobs/records';
import { isFinal } from '@crossfold/shared/jobs/records';
import type { Stamp } from '@crossfold/shared/jobs/transitions';
import { complete, failForGood, handBack, takeSeat } from '@crossfold/shared/jobs/transitions';
import type { CompletedFold, Refit, Scores } from '@crossfold/shared/results';

export interface FakeWorkerOptions {
  readonly broker: Broker;
  readonly count: number;
  /** Begins their names. */
  readonly prefix?: string;
  readonly threads?: number;
  /** Accuracy of a trial on a fold after so many epochs; `fails` where it never gets there. */
  readonly outcome: (job: JobRecord, epochs: number) => number | 'fails';
  /** How long a job takes. */
  readonly jobMs?: (job: JobRecord) => number | Promise<number>;
  /** Told of every job that is taken up, and of every one that ends. */
  readonly onTaken?: (job: JobRecord) => void;
  readonly onEnded?: (job: JobRecord) => void;
}

export const fakeIdentity = 'fake-engine';

/**
 * Workers that take seats and store results as real ones do, over the real broker, and compute nothing. Resolves `ended`
 * once all have left.
 */
export function startFakeWorkers(options: FakeWorkerOptions): { stop(): Promise<void> } {
  const over = new AbortController();
  setMaxListeners(0, over.signal);
  const model = putModel(options.broker);
  const workers = Array.from({ length: options.count }, (_, i) =>
    work(options, `${options.prefix ?? 'fake-'}${i}`, model, over.signal),
  );
  const all = Promise.all(workers);
  all.catch((error: unknown) => console.error(error));
  return {
    async stop() {
      over.abort();
      await all;
    },
  };
}

const putModel = async (broker: Broker): Promise<BlobRef> => {
  const bytes = new TextEncoder().encode('no model');
  return { digest: await broker.artifacts.put(bytes), bytes: bytes.length };
};

async function work(
  { broker, threads = 1, outcome, jobMs = () => 0, onTaken, onEnded }: FakeWorkerOptions,
  worker: string,
  model: Promise<BlobRef>,
  signal: AbortSignal,
): Promise<void> {
  const stamp = (): Stamp => ({ now: Date.now(), secret: worker });
  let doing: Pick<Presence, 'state' | 'job'> = { state: 'idle', job: null };
  const about = { worker, identity: fakeIdentity, threads, engine: '{}', pace: null };
  const presence = announce(broker.nats, () => ({ ...about, ...doing }), signal);
  const line = broker.seats.line(fakeIdentity);
  while (!signal.aborted) {
    const seat = await line.next(1000);
    if (seat === undefined) continue;
    doing = { state: 'busy', job: seat.job };
    presence.touch();
    const taken = await broker.jobs.transition(seat.job, (job) => takeSeat(job, { worker, address: null }, stamp()));
    seat.acknowledge();
    if (taken !== undefined) {
      onTaken?.(taken);
      await sleep(await jobMs(taken), undefined, { signal }).catch(() => undefined);
      const accuracy = outcome(taken, taken.until);
      const result =
        signal.aborted || accuracy === 'fails' ? undefined : await store(broker, taken, accuracy, await model);
      const ended = await broker.jobs.transition(taken.id, (job) => {
        if (isFinal(job.state)) return undefined;
        if (signal.aborted) return handBack(job, worker, stamp());
        return result === undefined
          ? failForGood(job, worker, job.generation, 'the loss became NaN', stamp())
          : complete(job, worker, job.generation, result, stamp());
      });
      if (ended !== undefined) onEnded?.(ended);
    }
    doing = { state: 'idle', job: null };
    presence.touch();
  }
}

async function store(broker: Broker, job: JobRecord, accuracy: number, model: BlobRef): Promise<ResultRef> {
  const { experiment } = await getJson(broker.artifacts, { digest: job.plan }, TrialPlan);
  const scores = scoresOf(accuracy);
  if (job.kind === 'test') {
    const result: TestJobResult = { schema: 1, scores, samples: 10, reliability: { error: 0, bins: [] }, mistakes: [] };
    return {
      ...(await putJson(broker.artifacts, result)),
      epochs: 0,
      final: true,
      accuracy,
      loss: scores.loss,
      seconds: 0,
    };
  }
  if (job.kind === 'refit') {
    const facts = { epochs: job.until, steps: job.until * 10, trainSamples: 100, samplesSeen: job.until * 100 };
    const curve = Array.from({ length: job.until }, () => accuracy);
    const refit: Refit = { ...common(job), ...facts, history: { loss: curve, accuracy: curve } };
    const reference = await putJson(broker.artifacts, { schema: 1, refit, model });
    return { ...reference, epochs: job.until, final: true, accuracy, loss: scores.loss, seconds: job.until };
  }
  const final = job.until >= experiment.training.epochs;
  const curve = Array.from({ length: job.until }, () => accuracy);
  const fold: CompletedFold = {
    ...common(job),
    fold: job.fold,
    repeat: job.repeat,
    status: 'completed',
    epochs: job.until,
    steps: job.until * 10,
    trainSamples: 80,
    validationSamples: 20,
    history: { loss: curve, accuracy: curve, valLoss: curve, valAccuracy: curve },
    validation: scores,
    bestEpoch: job.until - 1,
    samplesSeen: job.until * 80,
  };
  const result: TrainJobResult = { schema: 1, fold, model };
  const reference = await putJson(broker.artifacts, result);
  return { ...reference, epochs: job.until, final, accuracy, loss: scores.loss, seconds: job.until };
}

const common = (job: JobRecord) => ({
  epochSeconds: Array.from({ length: job.until }, () => 1),
  weightsSha256: sha256(`${job.key} ${job.until}`),
  engine: {
    backend: 'tensorflow' as const,
    version: '0',
    threads: 1,
    device: 'none',
    instructions: 'none',
    oneDnn: false,
  },
  exchange: 'none' as const,
  workers: job.workers,
  generations: job.generation,
  attempts: job.attempts,
  seconds: job.until,
  imagesPerSecond: 80,
});

const scoresOf = (accuracy: number): Scores => ({
  loss: 1 - accuracy,
  accuracy,
  confusionMatrix: [
    [10, 0],
    [0, 10],
  ],
  precision: [1, 1],
  recall: [1, 1],
  f1: [1, 1],
});
