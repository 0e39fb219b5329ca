import type { Broker } from '@crossfold/shared/broker/broker';
import { openBroker } from '@crossfold/shared/broker/broker';
import type { ProgressEvent } from '@crossfold/shared/progress';
import type { TestBroker } from './broker.ts';
import { startBroker } from './broker.ts';
import type { ExperimentInput } from './group-experiments.ts';
import { bitsOf, everything } from './group-experiments.ts';
import type { Service, ServiceOptions } from './processes.ts';
import { Services } from './processes.ts';
import type { RecordCheck } from './record-check.ts';
import { checkRecords } from './record-check.ts';
import type { FinishedRun } from './run-experiment.ts';
import { runExperiment } from './run-experiment.ts';

const patienceMs = 200_000;

/** A broker and a coordinator started by hand, to which tests add workers, and take them away. */
export class HandStarted {
  readonly server: TestBroker;
  readonly services: Services;
  readonly broker: Broker;
  readonly #check: RecordCheck;
  readonly #over = new AbortController();
  /** Faults that a test was told, and has judged itself. */
  readonly #told = new Set<string>();

  private constructor(server: TestBroker, services: Services, broker: Broker, check: RecordCheck) {
    this.server = server;
    this.services = services;
    this.broker = broker;
    this.#check = check;
  }

  static async start(options: Parameters<typeof startBroker>[0] = {}): Promise<HandStarted> {
    const server = await startBroker(options);
    const services = await Services.in(() => server.url);
    const broker = await openBroker(server.url, 'test', { patienceMs: 30_000 });
    await services.coordinator('coordinator-0').says('ready');
    return new HandStarted(server, services, broker, await checkRecords(broker));
  }

  run(
    experiment: ExperimentInput = everything,
    onEvent: (event: ProgressEvent) => void = () => undefined,
  ): Promise<FinishedRun> {
    const signal = AbortSignal.any([this.#over.signal, AbortSignal.timeout(patienceMs)]);
    const run = runExperiment(this.server.url, experiment, signal, onEvent, '.', 30_000);
    // Whoever awaits it sees its failure; a test that fails before does not.
    run.catch(() => undefined);
    return run;
  }

  /** What a worker that nobody disturbs comes to, alone. */
  async undisturbed(experiment: ExperimentInput = everything): Promise<ReturnType<typeof bitsOf>> {
    const worker = this.services.worker('undisturbed');
    await worker.says('ready');
    const { results } = await this.run({ ...experiment, workersPerJob: 1 });
    await worker.kill();
    return bitsOf(results);
  }

  /**
   * Two workers that will be ranks 0 and 1 of the next group of two. The second waits at the door, its data not loaded,
   * until the first is in; so whatever the first is to do it does in a group of two.
   */
  async pair(first: ServiceOptions = {}, second: ServiceOptions = {}): Promise<{ first: Service; second: Service }> {
    const pair = {
      first: this.services.worker('first', first),
      second: this.services.worker('second', { ...second, faults: [{ at: 'loading', do: 'hold' }] }),
    };
    await Promise.all([pair.first.says('ready'), pair.second.says('ready')]);
    return pair;
  }

  /** Runs an experiment with a pair, from the moment on that both are in. */
  async runWith(
    { first, second }: { first: Service; second: Service },
    experiment: ExperimentInput,
  ): Promise<{
    readonly run: Promise<FinishedRun>;
  }> {
    const run = this.run({ ...experiment, workersPerJob: 2 });
    await Promise.all([first.says('took a seat'), second.says('failing on purpose')]);
    second.signal('SIGUSR2');
    await second.says('generation opened');
    return { run };
  }

  /** What was wrong with a job's records at any time, or is: each of them must be in exactly one final state. */
  async faults(): Promise<string[]> {
    const found = await this.#check.faults();
    for (const fault of found) this.#told.add(fault);
    return found;
  }

  /** Ends all workers, and nothing else. */
  async dismiss(): Promise<void> {
    const workers = this.services.all.filter(({ name }) => !name.startsWith('coordinator'));
    await Promise.all(workers.map((worker) => worker.kill()));
  }

  /** Ends everything, and fails where a job's records have a fault that no test was told. */
  async close(): Promise<void> {
    this.#over.abort();
    let faults: string[] = [];
    try {
      await this.dismiss();
      faults = (await this.#check.faults()).filter((fault) => !this.#told.has(fault));
    } finally {
      this.#check.stop();
      await this.services.close();
      await this.broker.close();
      await this.server.stop();
    }
    if (faults.length > 0) throw new Error(faults.join('; '));
  }
}
