import type { Border } from '@crossfold/shared/border';
import { timelineSubject } from '@crossfold/shared/broker/subjects';
import { decodeJson } from '@crossfold/shared/decode';
import type { JobRecord } from '@crossfold/shared/jobs/records';
import { placeName, Token } from '@crossfold/shared/jobs/records';
import type { TimelineBatch, TimelineClock, TimelineEvent } from '@crossfold/shared/timeline';
import { maxBatchEvents, TimelineWanted, wantedForMs } from '@crossfold/shared/timeline';
import type { NatsConnection } from 'nats';
import type { ChangeReason, GroupPlace, JobObserver, SteppedFacts, Stretch } from './observer.ts';

const flushEveryMs = 500;
const maxWantedBytes = 256;
/** Experiments whose timelines are recorded at a time. */
const maxRecorded = 256;
/** Some seconds of the quickest steps. */
const maxKept = 8 * maxBatchEvents;

/**
 * Tells whoever records the timeline of an experiment what this worker does for it. While nobody does, nothing is kept
 * and nothing is sent.
 */
export class TimelineReporter implements JobObserver {
  readonly #nats: NatsConnection;
  readonly #worker: string;
  readonly #now: () => number;
  /** Until when each experiment's timeline is recorded, as far as is known. */
  readonly #wanted = new Map<string, number>();
  #job: JobRecord | undefined;
  #rank = 0;
  #enteredAt = 0;
  /** When the generation before was left, of the same job. */
  #leftAt: { readonly job: string; readonly at: number } | undefined;
  #events: TimelineEvent[] = [];
  #dropped = 0;
  #experiment = '';

  constructor(
    { nats, border }: { readonly nats: NatsConnection; readonly border: Border },
    worker: string,
    now: () => number,
    signal: AbortSignal,
  ) {
    this.#nats = nats;
    this.#worker = worker;
    this.#now = now;
    const subscription = nats.subscribe(timelineSubject('*', 'wanted'), {
      callback: (error, message) => {
        if (error !== null) return;
        const at = now();
        const wanted = decodeJson(TimelineWanted, message.data, maxWantedBytes);
        const experiment = Token.safeParse(message.subject.split('.')[2]);
        if ('why' in wanted) {
          border.dropped('timeline', message.subject, wanted.why);
          return;
        }
        if (!experiment.success) return;
        this.#forgetUnwanted(at);
        if (this.#wanted.size >= maxRecorded && !this.#wanted.has(experiment.data)) return;
        this.#wanted.set(experiment.data, at + wantedForMs);
        const clock: TimelineClock = { worker, asked: wanted.value.asked, at };
        if (!nats.isClosed()) nats.publish(timelineSubject(experiment.data, 'clock'), JSON.stringify(clock));
      },
    });
    const timer = setInterval(() => this.#flush(), flushEveryMs).unref();
    signal.addEventListener(
      'abort',
      () => {
        clearInterval(timer);
        this.#flush();
        if (!nats.isClosed()) subscription.unsubscribe();
      },
      { once: true },
    );
  }

  entered({ record, rank }: GroupPlace): void {
    this.#job = record;
    this.#rank = rank;
    this.#enteredAt = this.#now();
    const left = this.#leftAt;
    this.#leftAt = undefined;
    if (left?.job === record.id)
      this.#add({ name: 'regroup', kind: 'recovery', track: 'job', from: left.at, to: this.#enteredAt });
  }

  agreed(how: 'kept' | 'fetched' | 'restored' | 'fresh', position: number, { from, to }: Stretch): void {
    const names = {
      kept: 'agree on the step',
      fetched: 'take over the state',
      restored: 'read the checkpoint',
      fresh: 'begin',
    };
    this.#add({ name: names[how], kind: 'recovery', track: 'job', from, to, args: { position } });
  }

  stepped({ epoch, step, samples, transport, times }: SteppedFacts): void {
    if (!this.#isWanted()) return;
    const { started, dataMs, computed, summed, updated } = times;
    const data = started + dataMs;
    const args = { epoch: epoch + 1, step: step + 1, samples, transport };
    this.#add({ name: `step ${step + 1}`, kind: 'step', track: 'steps', from: started, to: updated, args });
    const phases = [
      ['data', started, data],
      ['compute', data, computed],
      ['exchange', computed, summed],
      ['update', summed, updated],
    ] as const;
    for (const [name, from, to] of phases) this.#add({ name, kind: 'phase', track: 'steps', from, to });
  }

  validated(epoch: number, { from, to }: Stretch): void {
    this.#add({ name: 'validate', kind: 'validation', track: 'steps', from, to, args: { epoch: epoch + 1 } });
  }

  checkpointed(written: boolean, bytes: number, { from, to }: Stretch): void {
    const name = written ? 'checkpoint' : 'checkpoint (failed)';
    this.#add({ name, kind: 'checkpoint', track: 'checkpoints', from, to, args: { bytes } });
  }

  changed(reason: ChangeReason): void {
    // Whoever comes is seen by the group that it enters; the others may have been left a moment ago.
    if (reason !== 'started' && reason !== 'joined')
      this.#add({ name: `group: ${reason}`, kind: 'change', track: 'job', from: this.#now() });
  }

  diverged(): void {
    this.#add({ name: 'diverged', kind: 'change', track: 'job', from: this.#now() });
  }

  left(): void {
    const job = this.#job;
    if (job === undefined) return;
    const { generation, trial, members } = job;
    const args = { trial, fold: placeName(job), generation, rank: this.#rank, members: members.length };
    const name = `trial ${trial} fold ${placeName(job)} generation ${generation}`;
    const to = this.#now();
    this.#add({ name, kind: 'generation', track: 'job', from: this.#enteredAt, to, args });
    this.#leftAt = { job: job.id, at: to };
    // What is said at the end of a job is wanted before its experiment is over.
    this.#flush();
  }

  #forgetUnwanted(now: number): void {
    for (const [experiment, until] of this.#wanted) if (until < now) this.#wanted.delete(experiment);
  }

  #isWanted(): boolean {
    return this.#job !== undefined && (this.#wanted.get(this.#job.experiment) ?? 0) > this.#now();
  }

  #add(event: TimelineEvent): void {
    if (!this.#isWanted() || this.#job === undefined) return;
    if (this.#experiment !== this.#job.experiment) this.#flush();
    this.#experiment = this.#job.experiment;
    if (this.#events.length < maxKept) this.#events.push(event);
    else this.#dropped++;
  }

  #flush(): void {
    while (this.#events.length > 0 || this.#dropped > 0) {
      const batch: TimelineBatch = {
        worker: this.#worker,
        events: this.#events.splice(0, maxBatchEvents),
        dropped: this.#dropped,
      };
      this.#dropped = 0;
      if (!this.#nats.isClosed())
        this.#nats.publish(timelineSubject(this.#experiment, 'events'), JSON.stringify(batch));
    }
  }
}
