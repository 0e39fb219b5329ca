import { eachTransport, transports } from '@crossfold/shared/config/exchange';
import { type JobRecord, placeName } from '@crossfold/shared/jobs/records';
import { exposeWaits } from '@crossfold/shared/metrics/connection';
import type { Instruments, ServiceMetrics } from '@crossfold/shared/metrics/registry';
import type { JobProgress } from '@crossfold/shared/progress';
import type { Waits } from '@crossfold/shared/waits';
import type { Exchange, ExchangeCounters } from '../exchange/exchange.ts';
import type { ChangeReason, GroupPlace, JobObserver, SteppedFacts, Stretch } from './observer.ts';

/** Shorter waits for a peer are a step's ordinary exchange, which has a histogram of its own. */
const leastWaitMs = 100;
const noCounters: ExchangeCounters = {
  bytesOut: 0,
  bytesIn: 0,
  badFrames: 0,
  resent: 0,
  byTransport: eachTransport(() => ({ in: 0, out: 0 })),
};

/** Counts and measures what a worker does. */
export class WorkerMetrics implements JobObserver {
  readonly #set: Instruments<'worker'>;
  readonly #now: () => number;
  readonly #waits: Waits;
  #exchange: Exchange | undefined;
  #counted: ExchangeCounters = noCounters;
  /** Rank 0 writes checkpoints: when it has written the newest, or has begun. */
  #checkpointedAt: number | undefined;
  /** The fold whose accuracy this worker exposes. */
  #shown: { readonly experiment: string; readonly trial: string; readonly fold: string } | undefined;

  constructor(metrics: ServiceMetrics<'worker'>, waits: Waits, now: () => number) {
    this.#set = metrics.instruments;
    this.#now = now;
    this.#waits = waits;
    metrics.onRead(() => this.#update());
  }

  changed(reason: ChangeReason, again: boolean): void {
    this.#set.generationChanges.inc({ reason });
    if (again) this.#set.retries.inc({ what: 'job' });
  }

  entered({ record, rank, exchange }: GroupPlace): void {
    this.#exchange = exchange;
    this.#counted = noCounters;
    this.#checkpointedAt = rank === 0 && record.kind !== 'test' ? this.#now() : undefined;
  }

  stepped({ samples, transport, times }: SteppedFacts): void {
    const { steps, samples: total, stepDuration, allreduceDuration } = this.#set;
    const { started, dataMs, computed, summed, updated } = times;
    steps.inc({});
    total.inc({}, samples);
    stepDuration.observe({ phase: 'data' }, dataMs / 1000);
    stepDuration.observe({ phase: 'compute' }, (computed - started - dataMs) / 1000);
    stepDuration.observe({ phase: 'exchange' }, (summed - computed) / 1000);
    stepDuration.observe({ phase: 'update' }, (updated - summed) / 1000);
    if (transport !== 'none') allreduceDuration.observe({ transport }, (summed - computed) / 1000);
  }

  checkpointed(written: boolean, _bytes: number, { to }: Stretch): void {
    this.#set.checkpoints.inc({ outcome: written ? 'written' : 'failed' });
    if (written && this.#checkpointedAt !== undefined) this.#checkpointedAt = to;
  }

  progressed(record: JobRecord, progress: JobProgress): void {
    const { foldAccuracy, foldLoss, foldEpoch } = this.#set;
    const fold = {
      experiment: record.experiment,
      trial: `${record.trial}`,
      fold: placeName(record),
    };
    this.#shown = fold;
    const { epoch, loss, accuracy, valLoss, valAccuracy } = progress;
    foldEpoch.set(fold, epoch);
    if (loss !== undefined) foldLoss.set({ ...fold, split: 'train' }, loss);
    if (accuracy !== undefined) foldAccuracy.set({ ...fold, split: 'train' }, accuracy);
    if (valLoss !== undefined) foldLoss.set({ ...fold, split: 'validation' }, valLoss);
    if (valAccuracy !== undefined) foldAccuracy.set({ ...fold, split: 'validation' }, valAccuracy);
  }

  diverged(): void {
    this.#set.divergences.inc({});
  }

  left(): void {
    this.#countExchange();
    this.#exchange = undefined;
    this.#checkpointedAt = undefined;
    const { foldAccuracy, foldLoss, foldEpoch } = this.#set;
    if (this.#shown === undefined) return;
    // The coordinator goes on showing it; who takes the fold over shows it anew.
    for (const split of ['train', 'validation'] as const) {
      foldAccuracy.remove({ ...this.#shown, split });
      foldLoss.remove({ ...this.#shown, split });
    }
    foldEpoch.remove(this.#shown);
    this.#shown = undefined;
  }

  #update(): void {
    this.#countExchange();
    const { checkpointAge } = this.#set;
    exposeWaits(this.#set, this.#waits, leastWaitMs);
    // A gauge without labels that is reset says 0, which would be a fresh one.
    if (this.#checkpointedAt === undefined) checkpointAge.remove({});
    else checkpointAge.set({}, (this.#now() - this.#checkpointedAt) / 1000);
  }

  /** Adds what the exchange has done since it was last looked at. */
  #countExchange(): void {
    const { gradientBytes, badFrames, retries } = this.#set;
    const before = this.#counted;
    const after = this.#exchange?.counters() ?? before;
    this.#counted = after;
    for (const transport of transports)
      for (const direction of ['in', 'out'] as const)
        gradientBytes.inc(
          { direction, transport },
          after.byTransport[transport][direction] - before.byTransport[transport][direction],
        );
    badFrames.inc({}, after.badFrames - before.badFrames);
    retries.inc({ what: 'block' }, after.resent - before.resent);
  }
}
