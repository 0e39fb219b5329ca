import type { ChildProcess } from 'node:child_process';
import { fork } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join, resolve } from 'node:path';
import type { ExchangeMode } from '@crossfold/shared/config/exchange';
import type { Endpoint } from '@crossfold/shared/endpoint';
import { isFree, showEndpoint } from '@crossfold/shared/endpoint';
import type { CrossfoldError } from '@crossfold/shared/errors';
import { ConfigError, TimeoutError } from '@crossfold/shared/errors';
import { usableGpus } from '@crossfold/shared/gpus';
import type { Logger } from '@crossfold/shared/logger';
import type { ReadyMessage } from '@crossfold/shared/service';
import { findBroker } from './find-broker.ts';
import type { GuardReady } from './guard.ts';
import { lockFolder } from './lock.ts';
import { roomFromBytes, watchRoom } from './room.ts';
import { Supervised } from './supervised.ts';
import { writeTargets } from './targets.ts';

export interface EmbeddedOptions {
  /** Folder for the cluster's state (`.cluster`) and logs (`logs`). */
  readonly folder: string;
  readonly workers: number;
  /** TensorFlow's threads of each worker. */
  readonly threads: number;
  readonly exchange: ExchangeMode;
  /**
   * Where the coordinator serves probes and metrics; workers do so on the ports after it, or all of them on free ones
   * where its port is 0. Nobody does where not given.
   */
  readonly http?: Endpoint;
  /** Port of the broker on the loopback interface; a free one where not given. */
  readonly port?: number;
  readonly env: NodeJS.ProcessEnv;
  readonly logger: Logger;
  /** Script that runs the services, by their verbs; the command line's own where not given. */
  readonly script?: string;
  /** Told, in a sentence, of parts that ended by themselves and are started again. */
  readonly onNotice?: (message: string) => void;
  /** Called at most once, when a part of the cluster has ended too often to go on. */
  readonly onFailure: (error: CrossfoldError) => void;
}

/** A cluster of processes that end with this one. */
export interface EmbeddedCluster {
  /** Address of its broker, credentials included: not to be logged. */
  readonly url: string;
  /** Where its services serve probes and metrics, by their names (`coordinator`, `worker-0`...): `http://host:port`. */
  http(): ReadonlyMap<string, string>;
  /** Process ids of all its parts, the broker included. */
  pids(): number[];
  /**
   * Ends everything. With `drain` workers first hand over what they do, so that another start on the folder goes on
   * there; `kill` is for when there is nothing left to do.
   */
  stop(how: 'drain' | 'kill'): Promise<void>;
  /** Removes the state; to be called after `stop`. Logs stay. */
  remove(): Promise<void>;
}

/** One worker a GPU where there are any, else one a core, or as many as their threads leave room for. */
export function defaultWorkers(threads: number, env: NodeJS.ProcessEnv = process.env): number {
  const gpus = usableGpus(env).length;
  return gpus > 0 ? gpus : Math.max(1, Math.floor(availableParallelism() / threads));
}

/** Beside an embedded cluster's state: where its services serve metrics, as Prometheus' file discovery reads it. */
export const targetsFile = 'prometheus-targets.json';

/** Where an embedded cluster keeps its state within the run's folder. */
export const stateFolder = (folder: string): string => join(folder, '.cluster');

const brokerReadyMs = 30_000;
const serviceReadyMs = 120_000;
const drainGraceMs = 15_000;
const endGraceMs = 5000;

// The same from src/ and from dist/: processes always run what was built.
const guardScript = resolve(import.meta.dirname, '../../dist/cluster/guard.js');
const commandScript = resolve(import.meta.dirname, '../../bin/main.cjs');

/**
 * Starts a nats-server with JetStream on the loopback interface, a coordinator and workers, and waits until all of them
 * are ready. Whatever ends this process, they end with it: they hold a channel to it and go when it closes.
 *
 * @throws ConfigError where another cluster uses the folder
 * @throws TimeoutError naming the part that was not ready in time; any other failure to start is thrown as well, with
 * nothing left running
 */
export async function startEmbedded(options: EmbeddedOptions, signal: AbortSignal): Promise<EmbeddedCluster> {
  const cluster = new Embedded(options);
  try {
    await cluster.start(signal);
    return cluster;
  } catch (error) {
    await cluster.stop('kill');
    throw error;
  }
}

class Embedded implements EmbeddedCluster {
  readonly #options: EmbeddedOptions;
  readonly #state: string;
  readonly #logs: string;
  readonly #password = randomBytes(24).toString('base64url');
  readonly #failed = new AbortController();
  #port: number;
  #brokerPid: number | undefined;
  /** Where the broker answers about itself, where services answer over HTTP as well. */
  #monitor: number | undefined;
  #broker: Supervised | undefined;
  #coordinator: Supervised | undefined;
  #workers: Supervised[] = [];
  readonly #http = new Map<string, string>();
  #targets: Promise<void> = Promise.resolve();
  #unlock: () => Promise<void> = async () => undefined;
  #unwatch: () => void = () => undefined;
  #started = false;

  constructor(options: EmbeddedOptions) {
    this.#options = options;
    this.#state = stateFolder(resolve(options.folder));
    this.#logs = join(resolve(options.folder), 'logs');
    this.#port = options.port ?? -1;
  }

  get url(): string {
    return `nats://crossfold:${this.#password}@127.0.0.1:${this.#port}`;
  }

  http(): ReadonlyMap<string, string> {
    return this.#http;
  }

  pids(): number[] {
    const own = [this.#broker, this.#coordinator, ...this.#workers].map((child) => child?.pid);
    return [this.#brokerPid, ...own].filter((pid) => pid !== undefined);
  }

  async start(signal: AbortSignal): Promise<void> {
    const binary = await findBroker(this.#options.env);
    const lock = await lockFolder(join(this.#state, 'lock.json'), signal);
    this.#unlock = lock.release;
    if (this.#port > 0 && !(await isFree({ host: '127.0.0.1', port: this.#port })))
      throw new ConfigError({
        field: '--port',
        value: String(this.#port),
        allowed: 'another program listens there, or this user may not; name another, or leave it out for a free one',
      });
    const begun = performance.now();
    const end = AbortSignal.any([signal, this.#failed.signal]);
    const ready = await this.#startBroker(binary, end);
    await lock.heldBy(ready.pid);
    this.#unwatch = this.#watchRoom();
    const { workers, threads, exchange } = this.#options;
    const services = [
      this.#startService('coordinator', ['coordinator', ...this.#httpOf(0)], end, (child) => {
        this.#coordinator = child;
      }),
    ];
    // Workers take the GPUs in turn, one each, where there are any.
    const gpus = usableGpus(this.#options.env);
    for (let n = 0; n < workers; n++) {
      const gpu = gpus[n % gpus.length];
      const own = gpu === undefined ? {} : { CUDA_VISIBLE_DEVICES: gpu.uuid };
      const parameters = ['worker', '--threads', String(threads), '--exchange', exchange, ...this.#httpOf(n + 1)];
      services.push(this.#startService(`worker-${n}`, parameters, end, (child) => this.#workers.push(child), own));
    }
    await Promise.all(services);
    this.#started = true;
    this.#options.logger.info({ workers, ms: Math.round(performance.now() - begun) }, 'the embedded cluster is ready');
  }

  async stop(how: 'drain' | 'kill'): Promise<void> {
    this.#unwatch();
    const services = [...this.#workers, ...(this.#coordinator === undefined ? [] : [this.#coordinator])];
    if (how === 'kill') for (const child of services) child.kill();
    // Workers first: handing over takes a broker, and goes quicker with someone who leads.
    await Promise.all(this.#workers.map((worker) => worker.stop(drainGraceMs)));
    await this.#coordinator?.stop(endGraceMs);
    await this.#broker?.stop(endGraceMs);
    this.#endBroker();
    await this.#targets;
    await rm(join(this.#state, targetsFile), { force: true });
    await this.#unlock();
  }

  async remove(): Promise<void> {
    await rm(this.#state, { recursive: true, force: true, maxRetries: 3 });
  }

  async #startBroker(binary: string, signal: AbortSignal): Promise<GuardReady> {
    const ports = join(this.#state, 'ports');
    const config = join(this.#state, 'nats.conf');
    await rm(ports, { recursive: true, force: true });
    await mkdir(ports, { recursive: true });
    await this.#writeConfig(config, ports);
    let first: (ready: GuardReady) => void = () => undefined;
    const ready = new Promise<GuardReady>((resolve) => {
      first = resolve;
    });
    this.#broker = this.#supervise(
      'nats',
      (output, errors) => {
        // A guard that was killed itself has left its server behind.
        this.#endBroker();
        const guard = this.#fork(guardScript, [ports, binary, '-c', config], output, errors, this.#options.env);
        guard.on('exit', (code) => {
          // A guard that ends by itself has seen its server end.
          if (code !== null) this.#brokerPid = undefined;
        });
        return guard;
      },
      (message) => {
        const { pid, port, monitor } = message as GuardReady;
        this.#brokerPid = pid;
        this.#port = port;
        this.#monitor = monitor;
        // A server that is started again has to be where clients look for it.
        void this.#writeConfig(config, ports).then(() => first({ type: 'ready', pid, port }));
      },
    );
    return within(ready, brokerReadyMs, `the broker to be ready (see ${join(this.#logs, 'nats.log')})`, signal);
  }

  #watchRoom(): () => void {
    const say = (message: string): void => {
      this.#options.logger.warn(message);
      this.#options.onNotice?.(message);
    };
    const least = `${roomFromBytes / 2 ** 20} MiB or more`;
    return watchRoom(this.#state, {
      full: () => say(`the disk of ${this.#state} is full: free space (${least}), and the run goes on`),
      room: () => {
        say(`the disk of ${this.#state} has room again: the broker is restarted to make use of it`);
        // Its guard sees it end and is started again, and another server with it.
        this.#endBroker();
      },
    });
  }

  #endBroker(): void {
    if (this.#brokerPid === undefined) return;
    try {
      process.kill(this.#brokerPid, 'SIGKILL');
    } catch {
      // Gone already, as it should be.
    }
    this.#brokerPid = undefined;
  }

  /** The configuration holds the password, and so may be read by this user alone. */
  async #writeConfig(file: string, ports: string): Promise<void> {
    const text = `# Made by crossfold for the cluster of one run.
host: "127.0.0.1"
port: ${this.#port}
server_name: "crossfold-embedded"
ports_file_dir: ${JSON.stringify(ports)}
jetstream { store_dir: ${JSON.stringify(this.#state)} }
authorization { user: "crossfold", password: "${this.#password}" }
${this.#options.http === undefined ? '' : `http: "127.0.0.1:${this.#monitor ?? -1}"\n`}`;
    await writeFile(file, text, { mode: 0o600 });
  }

  #startService(
    name: string,
    parameters: readonly string[],
    signal: AbortSignal,
    keep: (child: Supervised) => void,
    own: NodeJS.ProcessEnv = {},
  ): Promise<void> {
    const ready = new Promise<void>((resolve) => {
      const start = (output: number, errors: number): ChildProcess => {
        const monitor =
          this.#monitor === undefined ? {} : { CROSSFOLD_BROKER_MONITOR: `http://127.0.0.1:${this.#monitor}` };
        const env = { ...monitor, ...this.#options.env, ...own, CROSSFOLD_NATS_URL: this.url };
        const script = this.#options.script ?? commandScript;
        return this.#fork(script, [...parameters, '--name', name], output, errors, env);
      };
      keep(
        this.#supervise(name, start, (message) => {
          const { http } = message as ReadyMessage;
          if (http !== undefined) this.#served(name, http);
          resolve();
        }),
      );
    });
    return within(ready, serviceReadyMs, `${name} to be ready (see ${join(this.#logs, `${name}.log`)})`, signal);
  }

  /** What makes a service serve probes and metrics, each on a port of its own. */
  #httpOf(place: number): string[] {
    const { http } = this.#options;
    const asked = http === undefined ? 'off' : showEndpoint({ ...http, port: http.port === 0 ? 0 : http.port + place });
    return ['--http', asked];
  }

  /** A service that was started again may serve elsewhere. */
  #served(name: string, url: string): void {
    this.#http.set(name, url);
    const { logger } = this.#options;
    this.#targets = this.#targets
      .then(() => writeTargets(join(this.#state, targetsFile), this.#http))
      .catch((error: unknown) => logger.warn({ err: error }, 'the list of targets could not be written'));
  }

  #supervise(
    name: string,
    start: (output: number, errors: number) => ChildProcess,
    onMessage: (message: unknown) => void,
  ): Supervised {
    const { logger, onNotice, onFailure } = this.#options;
    return new Supervised({
      name,
      ...(onNotice === undefined ? {} : { onRestart: onNotice }),
      logFolder: this.#logs,
      logger,
      fork: start,
      onMessage,
      onGiveUp: (error) => {
        if (this.#failed.signal.aborted) return;
        this.#failed.abort(error);
        // Before the cluster is up it is the start that fails.
        if (this.#started) onFailure(error);
      },
    });
  }

  #fork(script: string, parameters: string[], output: number, errors: number, env: NodeJS.ProcessEnv): ChildProcess {
    // A process group of their own: a terminal's Ctrl-C reaches this process alone, which ends them in their order.
    const stdio = ['ignore', output, errors, 'ipc'] as const;
    return fork(script, parameters, { detached: true, env, execArgv: [], stdio: [...stdio] });
  }
}

/** A promise's value; rejects with the signal's reason when it aborts, and with what was waited for when time is up. */
function within<T>(promise: Promise<T>, ms: number, waitingFor: string, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = (): void => settle(() => reject(signal.reason));
    const timer = setTimeout(() => settle(() => reject(new TimeoutError(waitingFor, ms))), ms);
    const settle = (how: () => void): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', abort);
      how();
    };
    if (signal.aborted) return abort();
    signal.addEventListener('abort', abort, { once: true });
    promise.then((value) => settle(() => resolve(value)), reject);
  });
}
