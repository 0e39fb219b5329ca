import { setTimeout as sleep } from 'node:timers/promises';
import type { KeyedRandom } from '@crossfold/shared/rng';
import { keyedRandom } from '@crossfold/shared/rng';
import type { TestBroker } from './broker.ts';
import type { Line, Service } from './processes.ts';
import { Services } from './processes.ts';

/** What is done to whom. */
const strikes = [
  'kill a worker',
  'kill a worker',
  'kill a worker',
  'kill all workers',
  'stop a worker',
  'drain a worker',
  'kill the coordinators',
  'kill a coordinator',
  'stop a coordinator',
  'kill the broker',
  'stop the broker',
] as const;
export type Strike = (typeof strikes)[number];

/** One thing to be done, drawn in advance so that a seed replays it: what, to whom, for how long, and how long after the one before. */
export interface Drawn {
  readonly strike: Strike;
  /** Which of those that there are, in [0, 1). */
  readonly whom: number;
  readonly pauseMs: number;
  /** Until the victim is back: started again, or woken. */
  readonly awayMs: number;
}

export function draw(seed: number): () => Drawn {
  const random: KeyedRandom = keyedRandom(seed, 'chaos');
  return () => ({
    strike: strikes[random.below(strikes.length)] ?? 'kill a worker',
    whom: random.uniform(),
    pauseMs: 500 + random.below(5500),
    awayMs: random.below(4000),
  });
}

/** A strike that was carried out. */
export interface Struck {
  readonly strike: Strike;
  readonly victims: readonly string[];
  /** When, epoch milliseconds. */
  readonly at: number;
  /** When a victim that was stopped is woken. */
  readonly until: number;
  /** Of each job that a victim was at work on. */
  readonly jobs: readonly string[];
}

/** How a job that was hit by a strike went on. */
export interface Recovery {
  readonly strike: Strike;
  readonly job: string;
  /** When it was hit, epoch milliseconds. */
  readonly at: number;
  /** Until a step was done by a group that was formed after the hit; or by the same one, where nobody missed the victim. */
  readonly ms: number;
  /** Whether a member of its group was left alone. */
  readonly survived: boolean;
  /** For how long of that a worker was there that did nothing else: while there is none a job can only wait. */
  readonly freeMs: number;
  /** What else was done to anybody before it had gone on. */
  readonly meanwhile: readonly Strike[];
}

/** A service that ended though nobody had struck it. */
export interface Ended {
  readonly name: string;
  readonly reason: string;
}

/** As a supervisor would (compose, Kubernetes, `crossfold up`): what ends by itself is started again after this long. */
const restartMs = 500;
/** A worker that did a step of another job this long ago, or will, is at work on that. */
const atWorkMs = 1000;
const sampleMs = 100;

/** A step of a job on a worker, as the workers' logs tell it. */
interface Step {
  readonly job: string;
  readonly worker: string;
  readonly at: number;
  /** Of the group that did it. */
  readonly generation: number;
}

/** A cluster of processes, kept at a number of workers and coordinators while things are done to it. */
export class ChaosCluster {
  readonly services: Services;
  readonly struck: Struck[] = [];
  readonly ended: Ended[] = [];
  readonly #server: TestBroker;
  readonly #steps: Step[] = [];
  /** Groups that have formed, as their members say. */
  readonly #opened: Omit<Step, 'worker'>[] = [];
  readonly #workers: Service[] = [];
  readonly #coordinators: Service[] = [];
  readonly #returning = new Set<Promise<void>>();
  #named = 0;
  #closing = false;

  private constructor(server: TestBroker, services: Services) {
    this.#server = server;
    this.services = services;
  }

  static async start(server: TestBroker, workers: number, coordinators: number): Promise<ChaosCluster> {
    const cluster = new ChaosCluster(server, await Services.in(() => server.url));
    for (let n = 0; n < coordinators; n++) cluster.#addCoordinator();
    for (let n = 0; n < workers; n++) cluster.#addWorker();
    await Promise.all([...cluster.#workers, ...cluster.#coordinators].map((service) => service.says('ready')));
    return cluster;
  }

  /** Carries one out, and brings the victim back later; returns at once. */
  async strike({ strike, whom, awayMs }: Drawn): Promise<void> {
    const worker = pick(this.#workers, whom);
    const coordinator = pick(this.#coordinators, whom);
    const victims: Service[] =
      strike === 'kill all workers'
        ? [...this.#workers]
        : strike === 'kill the coordinators'
          ? [...this.#coordinators]
          : strike.endsWith('a worker')
            ? worker
            : strike.endsWith('coordinator')
              ? coordinator
              : [];
    if (victims.length === 0 && !strike.endsWith('broker')) return;
    const at = Date.now();
    const jobs = victims.map((victim) => this.#jobOf(victim)).filter((job) => job !== undefined);
    const until = at + 2 * awayMs;
    this.struck.push({ strike, victims: victims.map((v) => v.name), at, until, jobs: [...new Set(jobs)] });
    switch (strike) {
      case 'kill a worker':
      case 'kill all workers':
      case 'drain a worker':
        for (const victim of victims) {
          this.#workers.splice(this.#workers.indexOf(victim), 1);
          victim.signal(strike === 'drain a worker' ? 'SIGTERM' : 'SIGKILL');
          this.#later(awayMs, async () => {
            await victim.ended();
            this.#addWorker();
          });
        }
        return;
      case 'kill a coordinator':
      case 'kill the coordinators':
        for (const victim of victims) {
          this.#coordinators.splice(this.#coordinators.indexOf(victim), 1);
          victim.signal('SIGKILL');
          this.#later(awayMs, async () => this.#addCoordinator());
        }
        return;
      case 'stop a worker':
      case 'stop a coordinator':
        for (const victim of victims) {
          victim.signal('SIGSTOP');
          this.#later(2 * awayMs, async () => victim.signal('SIGCONT'));
        }
        return;
      case 'kill the broker':
        await this.#server.kill();
        this.#later(awayMs / 2, () => this.#server.restart());
        // One broker at a time: it is back before anything else is done to it.
        await this.#settled();
        return;
      case 'stop the broker':
        process.kill(this.#server.pid, 'SIGSTOP');
        await sleep(awayMs);
        process.kill(this.#server.pid, 'SIGCONT');
        return;
    }
  }

  /**
   * How the jobs that were hit went on: with the first step of a group that was formed after that, or of the same group
   * where the victim was stopped, and woken, before anybody missed it. A step of the old group that was all but done when
   * its member died is no recovery. A worker that is killed a second before its job would have ended has
   * nothing to recover.
   */
  recoveries(): Recovery[] {
    return this.struck.flatMap(({ strike, victims, at, until, jobs }) =>
      jobs.flatMap((job) => {
        const from = strike === 'stop a worker' ? until : Number.POSITIVE_INFINITY;
        const generation = this.#opened.reduce((last, o) => (o.job === job && o.at <= at ? o.generation : last), 0);
        const goesOn = (step: Step): boolean =>
          step.job === job && step.at > at && (step.generation > generation || step.at > from);
        const next = this.#steps.find(goesOn);
        if (next === undefined) return [];
        const survived = this.#steps.some(
          (step) => step.job === job && !victims.includes(step.worker) && step.at <= at && step.at > at - atWorkMs,
        );
        const meanwhile = this.struck
          .filter((other) => other.at > at && other.at < next.at)
          .map((other) => other.strike);
        return [{ strike, job, at, ms: next.at - at, survived, freeMs: this.#freeMs(job, at, next.at), meanwhile }];
      }),
    );
  }

  /** For how long, between two moments, a worker was up that was not at work on another job. */
  #freeMs(job: string, from: number, to: number): number {
    const workers = this.services.all.flatMap((service) => {
      const ready = service.lines.find((line) => line.msg === 'ready for jobs');
      if (ready === undefined) return [];
      const strikes = this.struck.filter(({ victims }) => victims.includes(service.name));
      const gone = strikes.find(({ strike }) => strike !== 'stop a worker')?.at ?? Number.POSITIVE_INFINITY;
      const asleep = strikes.filter(({ strike }) => strike === 'stop a worker');
      const elsewhere = this.#steps.filter(
        (step) =>
          step.worker === service.name && step.job !== job && step.at > from - atWorkMs && step.at < to + atWorkMs,
      );
      return [{ ready: Date.parse(ready.time), gone, asleep, elsewhere }];
    });
    const isFree = (t: number): boolean =>
      workers.some(
        ({ ready, gone, asleep, elsewhere }) =>
          ready <= t &&
          t < gone &&
          !asleep.some(({ at, until }) => at <= t && t < until) &&
          !elsewhere.some((step) => Math.abs(step.at - t) < atWorkMs),
      );
    let free = 0;
    for (let t = from; t < to; t += sampleMs) if (isFree(t)) free += Math.min(sampleMs, to - t);
    return free;
  }

  /** How long it took until a standby led after the one that led was killed, where one was there, and left alone. */
  takeovers(): number[] {
    const coordinators = this.services.all
      .filter(({ name }) => name.startsWith('coordinator'))
      .map(({ name, lines }) => ({ name, ready: timesOf(lines, 'ready')[0], terms: timesOf(lines, 'leading') }));
    const terms = coordinators
      .flatMap(({ name, terms: own }) => own.map((at) => ({ name, at })))
      .sort((a, b) => a.at - b.at);
    return this.struck.flatMap(({ strike, victims, at }) => {
      const led = terms.findLast((term) => term.at <= at);
      if (strike !== 'kill a coordinator' || led === undefined || !victims.includes(led.name)) return [];
      const next = terms.find((term) => term.at > at);
      if (next === undefined) return [];
      const standby = coordinators.find(({ name }) => name === next.name);
      const wasThere = standby?.ready !== undefined && standby.ready <= at;
      const disturbed = this.struck.some(
        (other) =>
          (other.strike.endsWith('broker') || other.victims.includes(next.name)) &&
          other.at < next.at &&
          other.until > at,
      );
      return wasThere && !disturbed ? [next.at - at] : [];
    });
  }

  async close(): Promise<void> {
    this.#closing = true;
    await this.#settled();
    await this.services.close();
  }

  async #settled(): Promise<void> {
    while (this.#returning.size > 0) await Promise.all(this.#returning);
  }

  #later(ms: number, act: () => Promise<void>): void {
    const returning = sleep(ms)
      .then(act)
      .finally(() => this.#returning.delete(returning));
    this.#returning.add(returning);
  }

  #addWorker(): void {
    const name = `worker-${this.#named++}`;
    const service = this.services.worker(name, { env: { CROSSFOLD_LOG_LEVEL: 'trace' } });
    service.onLine((line) => this.#note(name, line));
    this.#keep(service, this.#workers, () => this.#addWorker());
  }

  #addCoordinator(): void {
    const service = this.services.coordinator(`coordinator-${this.#named++}`);
    this.#keep(service, this.#coordinators, () => this.#addCoordinator());
  }

  /** Has another take its place should it end by itself: one that starts while the broker is away gives up soon. */
  #keep(service: Service, among: Service[], again: () => void): void {
    among.push(service);
    void service.ended().then(({ errors }) => {
      const place = among.indexOf(service);
      // Whoever strikes it down takes it off the list, and brings it back.
      if (place < 0 || this.#closing) return;
      among.splice(place, 1);
      this.ended.push({ name: service.name, reason: errors.trim().split('\n').at(-1) ?? '' });
      this.#later(restartMs, async () => {
        if (!this.#closing) again();
      });
    });
  }

  #note(worker: string, line: Line): void {
    const { job, generation } = line;
    if (typeof job !== 'string' || typeof generation !== 'number') return;
    const at = Date.parse(line.time);
    if (line.msg === 'stepped') this.#steps.push({ job, worker, at, generation });
    if (line.msg === 'generation opened') this.#opened.push({ job, at, generation });
  }

  /** The job that a worker did a step of in the last second. */
  #jobOf(victim: Service): string | undefined {
    const last = this.#steps.findLast((step) => step.worker === victim.name);
    return last !== undefined && Date.now() - last.at < 1000 ? last.job : undefined;
  }
}

/** One of them; none where all are away already. */
const pick = (from: readonly Service[], whom: number): Service[] => {
  const found = from[Math.floor(whom * from.length)];
  return found === undefined ? [] : [found];
};

const timesOf = (lines: readonly Line[], msg: string): number[] =>
  lines.filter((line) => line.msg === msg).map((line) => Date.parse(line.time));
