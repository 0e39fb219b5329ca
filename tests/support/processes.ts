import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import type { Fault } from '@crossfold/shared/faults';
import { z } from 'zod';

const command = resolve(import.meta.dirname, '../../coordinator/bin/main.cjs');

const Line = z.looseObject({ msg: z.string(), time: z.string(), level: z.string() });
export type Line = z.infer<typeof Line>;

/** A service started by hand, as somebody at a shell would. */
export class Service {
  readonly name: string;
  readonly lines: Line[] = [];
  readonly #child: ChildProcess;
  readonly #exited: Promise<unknown>;
  readonly #listeners = new Set<() => void>();
  #onLine: (line: Line) => void = () => undefined;
  #errors = '';

  constructor(name: string, child: ChildProcess, logFile: string) {
    this.name = name;
    this.#child = child;
    this.#exited = once(child, 'exit').then(() => this.#wake());
    const log = createWriteStream(logFile, { flags: 'a' });
    if (child.stdout === null || child.stderr === null) throw new Error('output is piped');
    child.stderr.on('data', (bytes: Buffer) => {
      this.#errors = (this.#errors + bytes.toString()).slice(-4000);
      log.write(bytes);
    });
    createInterface({ input: child.stdout }).on('line', (text) => {
      log.write(`${text}\n`);
      const line = Line.safeParse(parse(text));
      if (!line.success) return;
      // Steps are many, and for whoever listens alone.
      if (line.data.level !== 'trace') this.lines.push(line.data);
      this.#onLine(line.data);
      this.#wake();
    });
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  get running(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  onLine(listener: (line: Line) => void): void {
    this.#onLine = listener;
  }

  /** The first line with this message, from the `from`th on, that fits; waits for it. */
  async says(msg: string | RegExp, fits: (line: Line) => boolean = () => true, from = 0): Promise<Line> {
    const isIt = (said: string): boolean => (typeof msg === 'string' ? said === msg : msg.test(said));
    for (;;) {
      const found = this.lines.slice(from).find((line) => isIt(line.msg) && fits(line));
      if (found !== undefined) return found;
      if (!this.running) throw new Error(`${this.name} ended without saying ${msg}: ${this.#errors}`);
      await new Promise<void>((resolve) => {
        const heard = (): void => {
          this.#listeners.delete(heard);
          resolve();
        };
        this.#listeners.add(heard);
      });
    }
  }

  signal(signal: NodeJS.Signals): void {
    if (this.running) this.#child.kill(signal);
  }

  /** Resolves with how it ended. */
  async ended(): Promise<{ code: number | null; signal: NodeJS.Signals | null; errors: string }> {
    await this.#exited;
    return { code: this.#child.exitCode, signal: this.#child.signalCode, errors: this.#errors };
  }

  async kill(): Promise<void> {
    this.signal('SIGKILL');
    await this.ended();
  }

  #wake(): void {
    for (const listener of [...this.#listeners]) listener();
  }
}

/** A command of the CLI, as somebody at a shell would give it. */
export class Command {
  out = '';
  err = '';
  readonly #child: ChildProcess;
  readonly #closed: Promise<unknown>;
  readonly #listeners = new Set<() => void>();

  constructor(args: readonly string[], options: { readonly cwd: string; readonly env: NodeJS.ProcessEnv }) {
    this.#child = spawn(process.execPath, [command, ...args], { ...options, stdio: ['ignore', 'pipe', 'pipe'] });
    this.#closed = once(this.#child, 'close').then(() => this.#wake());
    this.#child.stdout?.on('data', (bytes: Buffer) => {
      this.out += bytes.toString();
      this.#wake();
    });
    this.#child.stderr?.on('data', (bytes: Buffer) => {
      this.err += bytes.toString();
      this.#wake();
    });
  }

  /** Resolves with the match once it has said so on standard error. */
  async says(what: RegExp): Promise<RegExpExecArray> {
    for (;;) {
      const found = what.exec(this.err);
      if (found !== null) return found;
      if (this.#child.exitCode !== null || this.#child.signalCode !== null)
        throw new Error(`ended without saying ${what}: ${this.err}`);
      await new Promise<void>((resolve) => {
        const heard = (): void => {
          this.#listeners.delete(heard);
          resolve();
        };
        this.#listeners.add(heard);
      });
    }
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  /** Resolves with its exit code; null where a signal ended it. */
  async ended(): Promise<number | null> {
    await this.#closed;
    return this.#child.exitCode;
  }

  #wake(): void {
    for (const listener of [...this.#listeners]) listener();
  }
}

export interface ServiceOptions {
  readonly faults?: readonly (Omit<Fault, 'again'> & { readonly again?: boolean })[];
  readonly env?: NodeJS.ProcessEnv;
  readonly parameters?: readonly string[];
}

/** Coordinators and workers as processes that run what was built; all of them end with `close`. */
export class Services {
  readonly folder: string;
  readonly #url: () => string;
  readonly #all: Service[] = [];

  private constructor(folder: string, url: () => string) {
    this.folder = folder;
    this.#url = url;
  }

  static async in(url: () => string): Promise<Services> {
    return new Services(await mkdtemp(join(tmpdir(), 'crossfold-services-')), url);
  }

  get all(): readonly Service[] {
    return this.#all;
  }

  /** Starts a coordinator; it is ready once it says `ready`. */
  coordinator(name: string, options: ServiceOptions = {}): Service {
    return this.#start(name, ['coordinator', '--name', name], options);
  }

  worker(name: string, options: ServiceOptions = {}): Service {
    return this.#start(name, ['worker', '--name', name], options);
  }

  /** The log of a service, for messages of tests that fail. */
  log(name: string): Promise<string> {
    return readFile(join(this.folder, `${name}.log`), 'utf8');
  }

  async close(): Promise<void> {
    await Promise.all(this.#all.map((service) => service.kill()));
    await rm(this.folder, { recursive: true, force: true });
  }

  #start(name: string, parameters: readonly string[], options: ServiceOptions): Service {
    const child = spawn(process.execPath, [command, ...parameters, '--http', 'off', ...(options.parameters ?? [])], {
      // The channel is for the end: should the test be killed, its services go with it.
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
      env: {
        ...process.env,
        CROSSFOLD_NATS_URL: this.#url(),
        CROSSFOLD_LOG_LEVEL: 'debug',
        ...(options.faults === undefined ? {} : { CROSSFOLD_FAULTS: JSON.stringify(options.faults) }),
        ...options.env,
      },
    });
    const service = new Service(name, child, join(this.folder, `${name}.log`));
    this.#all.push(service);
    return service;
  }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
