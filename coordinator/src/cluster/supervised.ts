import type { ChildProcess } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readFileSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { CrossfoldError, ExitCode, ExperimentFailedError } from '@crossfold/shared/errors';
import type { Logger } from '@crossfold/shared/logger';

/** How a child process is kept alive. */
export interface SupervisedOptions {
  /** Names the process in messages, and its log files. */
  readonly name: string;
  readonly logFolder: string;
  readonly logger: Logger;
  /** Starts the process with these files as its standard output and error, and a channel for its messages. */
  readonly fork: (output: number, errors: number) => ChildProcess;
  /** Every message the child sends. */
  readonly onMessage: (message: unknown) => void;
  /** Told, in a sentence, of an end that the process is started again after. */
  readonly onRestart?: (message: string) => void;
  /** Called at most once, when the process is not worth another start. */
  readonly onGiveUp: (error: CrossfoldError) => void;
  readonly limits?: RestartLimits;
}

/** A process that has done its work for a while before it ended is no hopeless one: its earlier ends count no more. */
export interface RestartLimits {
  /** Ends within `windowMs` after which there is no other start. */
  readonly ends: number;
  readonly windowMs: number;
  /** Pause before the first restart; doubled by every end that counts. */
  readonly backOffMs: number;
  /** A process that ends this long after its first message (that it is ready), or later, has done its work. */
  readonly steadyMs: number;
}

export const defaultLimits: RestartLimits = { ends: 5, windowMs: 60_000, backOffMs: 200, steadyMs: 3000 };

/**
 * A child process that is started again when it ends by itself, with a growing pause, until it has ended too often.
 * Its standard output goes to `<name>.log`, what it says besides to `<name>.stderr.log`, which goes if it stays empty.
 */
export class Supervised {
  readonly #options: SupervisedOptions;
  #child: ChildProcess | undefined;
  #exited: Promise<void> = Promise.resolve();
  #restart: NodeJS.Timeout | undefined;
  #ends: number[] = [];
  /** When the process that runs has said its first word. */
  #readyAt: number | undefined;
  #stopping = false;

  constructor(options: SupervisedOptions) {
    this.#options = options;
    this.#start();
  }

  /** Process id, while there is a process. */
  get pid(): number | undefined {
    return this.#child?.pid;
  }

  /** Ends the process at once, without a restart: for the end of everything. */
  kill(): void {
    this.#stopping = true;
    clearTimeout(this.#restart);
    this.#child?.kill('SIGKILL');
  }

  /** Asks the process to end, and ends it where it has not after `graceMs`; resolves once it is gone. */
  async stop(graceMs: number): Promise<void> {
    this.#stopping = true;
    clearTimeout(this.#restart);
    if (this.#child !== undefined) {
      this.#child.kill('SIGTERM');
      const timer = setTimeout(() => {
        this.#options.logger.warn({ child: this.#options.name, graceMs }, 'has not ended in time: killed');
        this.#child?.kill('SIGKILL');
      }, graceMs);
      await this.#exited;
      clearTimeout(timer);
    }
    if (sizeOf(this.#file('stderr.log')) === 0) rmSync(this.#file('stderr.log'), { force: true });
  }

  #file(ending: string): string {
    return join(this.#options.logFolder, `${this.#options.name}.${ending}`);
  }

  #start(): void {
    const { name, logFolder, logger, fork, onMessage } = this.#options;
    this.#readyAt = undefined;
    mkdirSync(logFolder, { recursive: true });
    const output = openSync(this.#file('log'), 'a', 0o600);
    const errors = openSync(this.#file('stderr.log'), 'a', 0o600);
    const child = fork(output, errors);
    closeSync(output);
    closeSync(errors);
    this.#child = child;
    logger.info({ child: name, process: child.pid }, 'started');
    child.on('message', (message) => {
      this.#readyAt ??= performance.now();
      onMessage(message);
    });
    this.#exited = new Promise((resolve) => {
      // An error without a process id is a process that could not be started; any other is followed by its exit.
      const ended = (how: string, code: number | null): void => {
        if (this.#child !== child) return;
        this.#child = undefined;
        this.#ended(how, code);
        resolve();
      };
      child.on('error', (error) => {
        if (child.pid === undefined) ended(error.message, null);
      });
      child.on('exit', (code, signal) => ended(signal === null ? `exit code ${code}` : signal, code));
    });
  }

  #ended(how: string, code: number | null): void {
    const { name, logger, limits = defaultLimits } = this.#options;
    logger.info({ child: name, how }, 'ended');
    if (this.#stopping) return;
    const now = performance.now();
    const wasSteady = this.#readyAt !== undefined && now - this.#readyAt >= limits.steadyMs;
    this.#ends = [...(wasSteady ? [] : this.#ends.filter((at) => now - at < limits.windowMs)), now];
    // Bad usage stays bad: the child has said what is wrong.
    if (code === ExitCode.usage) {
      this.#giveUp(new CrossfoldError(`${name}: ${this.#lastWords()}`, ExitCode.usage));
      return;
    }
    if (this.#ends.length >= limits.ends) {
      const times = `${this.#ends.length} times within ${limits.windowMs / 1000} s`;
      const outside = how === 'SIGKILL' ? ' (killed from outside, or for lack of memory)' : '';
      this.#giveUp(
        new ExperimentFailedError(`${name} ended ${times}, last with ${how}${outside}: ${this.#lastWords()}`),
      );
      return;
    }
    const pause = limits.backOffMs * 2 ** (this.#ends.length - 1);
    logger.warn({ child: name, how, pause }, 'ended by itself; starting it again');
    this.#options.onRestart?.(`${name} ended (${how}); starting it again`);
    this.#restart = setTimeout(() => this.#start(), pause);
  }

  #giveUp(error: CrossfoldError): void {
    this.#stopping = true;
    this.#options.logger.error({ child: this.#options.name }, error.message);
    this.#options.onGiveUp(error);
  }

  /** The last line that the process wrote to standard error, and where the rest is. */
  #lastWords(): string {
    const lines = readFileSync(this.#file('stderr.log'), 'utf8').trim().split('\n');
    const last =
      lines
        .at(-1)
        ?.replace(/^crossfold: /, '')
        .slice(0, 500) ?? '';
    return last === '' ? `see ${this.#file('log')}` : `${last} (see ${this.#file('stderr.log')})`;
  }
}

function sizeOf(file: string): number | undefined {
  return statSync(file, { throwIfNoEntry: false })?.size;
}
