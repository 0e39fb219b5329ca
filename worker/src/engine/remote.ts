import { Worker } from 'node:worker_threads';
import { ExperimentFailedError } from '@crossfold/shared/errors';
import type { EngineIdentity } from '@crossfold/shared/results';
import { within } from '@crossfold/shared/wait';
import type { JobHost } from './job-host.ts';
import type { EngineSession, SessionFacts, SessionOptions } from './session.ts';
import { tensorFlowEnvironment } from './tensorflow.ts';
import { readValidation } from './validation.ts';

/** What the engine's thread is started with. */
export interface ThreadSetup {
  /** TensorFlow's threads, within and between operations. */
  readonly threads: number;
  /** A counter (32 bits) that goes up with every computation the thread has done. */
  readonly pulse: SharedArrayBuffer;
}

export interface ThreadOptions {
  readonly threads: number;
  /** See `defaultHungMs`. */
  readonly hungMs?: number;
}

interface Methods {
  open: (options: SessionOptions) => SessionFacts;
  gradient: JobHost['gradient'];
  update: JobHost['update'];
  validate: JobHost['validate'];
  outputs: JobHost['outputs'];
  netOutputs: JobHost['netOutputs'];
  reset: JobHost['reset'];
  load: JobHost['load'];
  state: JobHost['state'];
  evaluatedWeights: JobHost['evaluatedWeights'];
  close: () => void;
}

/** One call to the thread; `id` ties its reply to it. */
export type Call = {
  [M in keyof Methods]: { readonly id: number; readonly method: M; readonly args: Parameters<Methods[M]> };
}[keyof Methods];
export interface Reply {
  readonly id: number;
  readonly value?: unknown;
  readonly error?: Error;
}

/** What the thread says of its own accord. */
export type Notice =
  | { readonly ready: EngineIdentity }
  | { readonly fallback: { readonly program: string; readonly reason: string } };

/** Told when a program runs operation by operation, because TensorFlow does not take it as a graph. */
export type OnFallback = (program: string, reason: string) => void;

const startTimeoutMs = 120_000;
/**
 * A thread that has not come to the end of a single computation (the gradient of a slice, the outputs of one batch) for
 * this long will not: a driver or a library hangs.
 */
export const defaultHungMs = 300_000;
const looksPerHang = 20;
/** A thread that computes can be ended only once it comes to an end of that; one that hangs, perhaps never. */
const terminateMs = { computing: 8000, hung: 500 };

/** The engine's thread hangs, and with it whatever was asked of it: only another process can go on. */
export class EngineHungError extends ExperimentFailedError {}

/** The engine in its thread. */
export class EngineThread {
  readonly identity: EngineIdentity;
  readonly #worker: Worker;
  readonly #pending = new Map<
    number,
    { readonly call: Call; resolve: (value: never) => void; reject: (error: Error) => void }
  >();
  readonly #watch: NodeJS.Timeout;
  #calls = 0;
  #replies = 0;
  #dead: Error | undefined;

  private constructor(
    worker: Worker,
    identity: EngineIdentity,
    onFallback: OnFallback,
    pulse: SharedArrayBuffer,
    hungMs: number,
  ) {
    this.#worker = worker;
    this.identity = identity;
    worker.on('message', (reply: Reply | Notice) => {
      if ('fallback' in reply) onFallback(reply.fallback.program, reply.fallback.reason);
      if (!('id' in reply)) return;
      this.#replies++;
      const waiting = this.#pending.get(reply.id);
      this.#pending.delete(reply.id);
      if (reply.error !== undefined) waiting?.reject(reply.error);
      else waiting?.resolve(reply.value as never);
    });
    const end = (error: Error): void => {
      clearInterval(this.#watch);
      this.#dead ??= error;
      for (const { reject } of this.#pending.values()) reject(error);
      this.#pending.clear();
    };
    worker.on('error', end);
    worker.on('exit', (code) => end(new ExperimentFailedError(`the engine's thread ended with code ${code}`)));
    const beats = new Int32Array(pulse);
    let seen = -1;
    let looks = 0;
    // Looks are counted, not time: of a process that was stopped the thread was stopped as well.
    this.#watch = setInterval(() => {
      const signs = Atomics.load(beats, 0) + this.#replies;
      looks = signs === seen && this.#pending.size > 0 ? looks + 1 : 0;
      seen = signs;
      const [first] = this.#pending.values();
      if (looks < looksPerHang || first === undefined) return;
      const what = `${saidOf(first.call)} has not got on for ${Math.round(hungMs / 1000)} s`;
      end(new EngineHungError(`${what}: TensorFlow hangs, or its device; this worker cannot compute any more`));
    }, hungMs / looksPerHang).unref();
  }

  /** Starts the thread and loads TensorFlow. */
  static async start(
    { threads, hungMs = defaultHungMs }: ThreadOptions,
    onFallback: OnFallback,
  ): Promise<EngineThread> {
    Object.assign(process.env, tensorFlowEnvironment(threads));
    const setup: ThreadSetup = { threads, pulse: new SharedArrayBuffer(4) };
    const worker = new Worker(new URL('./thread.js', import.meta.url), { workerData: setup });
    const ready = new Promise<EngineIdentity>((resolve, reject) => {
      worker.once('message', (message: { readonly ready: EngineIdentity }) => resolve(message.ready));
      worker.once('error', reject);
    });
    try {
      const identity = await within(ready, startTimeoutMs, 'TensorFlow to load');
      return new EngineThread(worker, identity, onFallback, setup.pulse, hungMs);
    } catch (error) {
      await worker.terminate();
      throw error;
    }
  }

  /** What the thread has ended with, if it has: it is of no use any more. */
  get failure(): Error | undefined {
    return this.#dead;
  }

  /** Opens a job; the one before must be closed. */
  async open(options: SessionOptions): Promise<EngineSession> {
    const facts = await this.#call('open', options);
    const { labels, validation } = options.data;
    return {
      ...facts,
      validationLabels: Int32Array.from(validation, (place) => labels[place] ?? -1),
      gradient: (at, slices) => this.#call('gradient', at, slices),
      update: (total, learningRate) => this.#call('update', total, learningRate),
      validate: (slices) => this.#call('validate', slices),
      readValidation: (total) => readValidation(total, options.training.microBatches),
      outputs: (samples) => this.#call('outputs', samples),
      netOutputs: (samples) => this.#call('netOutputs', samples),
      reset: () => this.#call('reset'),
      load: (state) => this.#call('load', state),
      state: () => this.#call('state'),
      evaluatedWeights: () => this.#call('evaluatedWeights'),
      // With the thread everything of its has gone.
      close: async () => (this.#dead === undefined ? this.#call('close') : undefined),
    };
  }

  /** Ends the thread; false where it could not be, because it hangs: then nothing but a signal ends the process. */
  async stop(): Promise<boolean> {
    clearInterval(this.#watch);
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<false>((resolve) => {
      timer = setTimeout(
        () => resolve(false),
        this.#dead instanceof EngineHungError ? terminateMs.hung : terminateMs.computing,
      );
    });
    const ended = await Promise.race([this.#worker.terminate().then(() => true), late]);
    clearTimeout(timer);
    return ended;
  }

  #call<M extends keyof Methods>(method: M, ...args: Parameters<Methods[M]>): Promise<ReturnType<Methods[M]>> {
    if (this.#dead !== undefined) return Promise.reject(this.#dead);
    const id = this.#calls++;
    const call = { id, method, args } as Call;
    return new Promise((resolve, reject) => {
      this.#pending.set(id, { call, resolve, reject });
      // A vector to be applied changes hands; a state to be loaded stays the caller's.
      this.#worker.postMessage(call, method === 'update' ? transferList(args) : []);
    });
  }
}

/** What a call is about, as the beginning of a sentence. */
function saidOf(call: Call): string {
  if (call.method !== 'gradient') return `the engine's ${call.method}`;
  const [{ epoch, step }] = call.args;
  return `the gradient of epoch ${epoch + 1}, step ${step + 1}`;
}

/** The buffers of all vectors in a message that fill their buffer wholly: they move, instead of being copied. */
export function transferList(message: unknown): ArrayBuffer[] {
  const buffers = new Set<ArrayBuffer>();
  const visit = (value: unknown, depth: number): void => {
    if (ArrayBuffer.isView(value)) {
      if (value.buffer instanceof ArrayBuffer && value.byteLength === value.buffer.byteLength)
        buffers.add(value.buffer);
    } else if (depth > 0 && typeof value === 'object' && value !== null) {
      for (const inner of Object.values(value)) visit(inner, depth - 1);
    }
  };
  visit(message, 4);
  return [...buffers];
}
