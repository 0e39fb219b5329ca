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

/** A strike that was carried out, and how long it was until the job that was hit went on. */
export interface Struck {
  readonly strike: Strike;
  readonly victims: readonly string[];
  /** When, epoch milliseconds. */
  readonly at: number;
  /** Of each job that a victim was at work on. */
  readonly jobs: readonly string[];
}

/** A step of a job on a worker, as the workers' logs tell it. */
interface Step {
  readonly job: string;
  readonly worker: string;
  readonly at: number;
}

/** A cluster of processes, kept at a number of workers and coordinators while things are done to it. */
export class ChaosCluster {
  readonly services: Services;
  readonly struck: Struck[] = [];
  readonly #server: TestBroker;
  readonly #steps: Step[] = [];
  readonly #workers: Service[] = [];
  readonly #coordinators: Service[] = [];
  readonly #returning = new Set<Promise<void>>();
  #named = 0;

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
    this.struck.push({ strike, victims: victims.map((v) => v.name), at, jobs: [...new Set(jobs)] });
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
   * How long after each strike the jobs that were hit went on, in milliseconds: on whichever worker a step of them is
   * done next. A worker that is killed a second before its job would have ended has nothing to recover.
   */
  recoveries(): { readonly strike: Strike; readonly ms: number }[] {
    return this.struck.flatMap(({ strike, victims, at, jobs }) =>
      jobs.flatMap((job) => {
        const next = this.#steps.find((step) => step.job === job && step.at > at && !victims.includes(step.worker));
        return next === undefined ? [] : [{ strike, ms: next.at - at }];
      }),
    );
  }

  /** How long it took until somebody led after each loss of all coordinators, or of the one that led. */
  takeovers(): number[] {
    const terms = this.services.all
      .flatMap((service) => service.lines.filter((line) => line.msg === 'leading').map((line) => Date.parse(line.time)))
      .sort((a, b) => a - b);
    return this.struck
      .filter(({ strike }) => strike.startsWith('kill') && strike.includes('coordinator'))
      .flatMap(({ at, strike }) => {
        const next = terms.find((term) => term > at);
        // Where a standby was killed nobody takes over.
        return next === undefined || (strike === 'kill a coordinator' && next - at > 10_000) ? [] : [next - at];
      });
  }

  async close(): Promise<void> {
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
    this.#workers.push(service);
  }

  #addCoordinator(): void {
    this.#coordinators.push(this.services.coordinator(`coordinator-${this.#named++}`));
  }

  #note(worker: string, line: Line): void {
    if (line.msg === 'stepped' && typeof line.job === 'string')
      this.#steps.push({ job: line.job, worker, at: Date.parse(line.time) });
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
