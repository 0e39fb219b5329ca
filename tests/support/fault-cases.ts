import type { Broker } from '@crossfold/shared/broker/broker';
import { openBroker } from '@crossfold/shared/broker/broker';
import type { FaultPoint } from '@crossfold/shared/faults';
import { pause } from '@crossfold/shared/wait';
import type { TestBroker } from './broker.ts';
import { startBroker } from './broker.ts';
import { bitsOf, everything } from './group-experiments.ts';
import type { Service } from './processes.ts';
import { Services } from './processes.ts';
import type { RecordCheck } from './record-check.ts';
import { checkRecords } from './record-check.ts';
import type { FinishedRun } from './run-experiment.ts';
import { runExperiment } from './run-experiment.ts';

export const victims = ['rank 0', 'rank 1', 'joiner', 'coordinator', 'broker'] as const;
export type Victim = (typeof victims)[number];

/** What the job is at when its victim dies, and which point of a worker's way that is. */
export const phases = {
  'loading data': { at: 'loading' },
  'taking a seat': { at: 'seated' },
  computing: { at: 'computing', position: 5 },
  'sending a segment': { at: 'sending', position: 5 },
  'owning a segment': { at: 'owning', position: 5 },
  'handing a segment out': { at: 'handing out', position: 5 },
  validating: { at: 'validating', position: 11 },
  'writing a checkpoint': { at: 'checkpointing', position: 12 },
  'storing the result': { at: 'storing' },
  acknowledging: { at: 'acknowledging' },
} satisfies Record<string, { at: FaultPoint; position?: number }>;
export type Phase = keyof typeof phases;

/** Points that only rank 0 comes by: another victim is killed while rank 0 is there. */
const ofRank0: ReadonlySet<Phase> = new Set(['writing a checkpoint', 'storing the result', 'acknowledging']);
/** Points before there is a rank. */
const beforeRanks: ReadonlySet<Phase> = new Set(['loading data', 'taking a seat']);

const caseTimeoutMs = 90_000;
const experiment = { ...everything, workersPerJob: 2 };

/** A broker and a coordinator, with workers that come and go with each case; and the bits that all cases must come to. */
export class FaultCases {
  readonly server: TestBroker;
  readonly services: Services;
  readonly check: RecordCheck;
  readonly undisturbed: FinishedRun;
  readonly #broker: Broker;
  #coordinator: Service;
  #cases = 0;

  private constructor(
    server: TestBroker,
    services: Services,
    broker: Broker,
    check: RecordCheck,
    coordinator: Service,
    undisturbed: FinishedRun,
  ) {
    this.server = server;
    this.services = services;
    this.#broker = broker;
    this.check = check;
    this.#coordinator = coordinator;
    this.undisturbed = undisturbed;
  }

  static async start(): Promise<FaultCases> {
    const server = await startBroker();
    const services = await Services.in(() => server.url);
    const broker = await openBroker(server.url, 'test', { patienceMs: 30_000 });
    const coordinator = services.coordinator('coordinator-0');
    const worker = services.worker('alone');
    await Promise.all([coordinator.says('ready'), worker.says('ready')]);
    const signal = AbortSignal.timeout(caseTimeoutMs);
    const undisturbed = await runExperiment(server.url, { ...experiment, workersPerJob: 1 }, signal);
    await worker.kill();
    return new FaultCases(server, services, broker, await checkRecords(broker), coordinator, undisturbed);
  }

  /** Runs the experiment while the victim dies in the phase. */
  async run(victim: Victim, phase: Phase): Promise<FinishedRun> {
    const number = ++this.#cases;
    const name = (who: string): string => `${who}-${number}`;
    const point = phases[phase];
    const over = new AbortController();
    const started: Service[] = [];
    const worker = (who: string, faults: Parameters<Services['worker']>[1]): Service => {
      const service = this.services.worker(name(who), faults ?? {});
      started.push(service);
      return service;
    };
    const submit = (): Promise<FinishedRun> =>
      runExperiment(this.server.url, experiment, AbortSignal.any([over.signal, AbortSignal.timeout(caseTimeoutMs)]));
    try {
      if (victim === 'joiner') return await this.#joiner(phase, worker, submit);
      const dies = (rank: number) => ({
        ...point,
        do: 'kill' as const,
        ...(beforeRanks.has(phase) || ofRank0.has(phase) ? {} : { rank }),
      });
      const holds = { ...point, do: 'hold' as const };
      const byItself = victim === 'rank 0' || (victim === 'rank 1' && !ofRank0.has(phase));
      // The second one waits at the door until the first is in, or gone; unless it dies at the door.
      const diesAtDoor = victim === 'rank 1' && phase === 'loading data';
      const door = { at: 'loading', do: diesAtDoor ? 'kill' : 'hold' } as const;
      const first = worker('first', {
        faults: victim === 'rank 0' ? [dies(0)] : byItself ? [] : [holds],
      });
      const second = worker('second', { faults: [door, ...(victim === 'rank 1' && byItself ? [dies(1)] : [])] });
      await Promise.all([first.says('ready'), second.says('ready')]);
      const run = submit();
      run.catch(() => undefined);
      await second.says('failing on purpose', (line) => isAt(line, 'loading'));
      if (victim === 'rank 0' && beforeRanks.has(phase)) await first.ended();
      else if (!(!byItself && beforeRanks.has(phase))) await first.says('took a seat');
      if (!byItself) {
        const reached = first.says('failing on purpose', (line) => isAt(line, point.at));
        if (!beforeRanks.has(phase)) second.signal('SIGUSR2');
        await reached;
        await this.#strike(victim, second);
        first.signal('SIGUSR2');
      }
      if (byItself || beforeRanks.has(phase)) second.signal('SIGUSR2');
      if (victim === 'broker') await this.#restore();
      const finished = await run;
      const dead = victim === 'rank 0' ? first : victim === 'rank 1' ? second : undefined;
      if (dead?.running === true) throw new Error(`${dead.name} should have died while ${phase}, and did not`);
      return finished;
    } finally {
      over.abort();
      await Promise.all(started.map((service) => service.kill()));
    }
  }

  /** What must not be, and is. */
  async faults(): Promise<string[]> {
    return this.check.faults();
  }

  async close(): Promise<void> {
    this.check.stop();
    await this.services.close();
    await this.#broker.close();
    await this.server.stop();
  }

  /** A worker comes to one that trains alone, and dies in the phase. */
  async #joiner(
    phase: Phase,
    worker: (who: string, options: Parameters<Services['worker']>[1]) => Service,
    submit: () => Promise<FinishedRun>,
  ): Promise<FinishedRun> {
    const point = phases[phase];
    const holds = { at: 'computing', position: 3, do: 'hold' } as const;
    const reaches = ofRank0.has(phase) ? [{ ...point, do: 'hold' as const }] : [];
    const first = worker('first', { faults: [holds, ...reaches] });
    await first.says('ready');
    const run = submit();
    run.catch(() => undefined);
    await first.says('failing on purpose');
    const joiner = worker('joiner', { faults: ofRank0.has(phase) ? [] : [{ ...point, do: 'kill' }] });
    if (beforeRanks.has(phase)) await joiner.ended();
    else await joiner.says('generation opened');
    first.signal('SIGUSR2');
    if (ofRank0.has(phase)) {
      await first.says('failing on purpose', (line) => isAt(line, point.at));
      await joiner.kill();
      first.signal('SIGUSR2');
    }
    const finished = await run;
    if (joiner.running) throw new Error(`the joiner should have died while ${phase}, and did not`);
    return finished;
  }

  async #strike(victim: Victim, second: Service): Promise<void> {
    if (victim === 'rank 1') return second.kill();
    if (victim === 'broker') return this.server.kill();
    await this.#coordinator.kill();
    this.#coordinator = this.services.coordinator(`coordinator-${this.#cases}`);
  }

  async #restore(): Promise<void> {
    // Long enough for the workers to go on without it as far as they can.
    await pause(1000, new AbortController().signal);
    await this.server.restart();
  }
}

const isAt = (line: Record<string, unknown>, at: FaultPoint): boolean =>
  (line.fault as { at?: string } | undefined)?.at === at;

export { bitsOf };
