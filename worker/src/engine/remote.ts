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

/** The engine in its thread. */
export class EngineThread {
  readonly identity: EngineIdentity;
  readonly #worker: Worker;
  readonly #pending = new Map<number, { resolve: (value: never) => void; reject: (error: Error) => void }>();
  #calls = 0;
  #dead: Error | undefined;

  private constructor(worker: Worker, identity: EngineIdentity, onFallback: OnFallback) {
    this.#worker = worker;
    this.identity = identity;
    worker.on('message', (reply: Reply | Notice) => {
      if ('fallback' in reply) onFallback(reply.fallback.program, reply.fallback.reason);
      if (!('id' in reply)) return;
      const waiting = this.#pending.get(reply.id);
      this.#pending.delete(reply.id);
      if (reply.error !== undefined) waiting?.reject(reply.error);
      else waiting?.resolve(reply.value as never);
    });
    const end = (error: Error): void => {
      this.#dead = error;
      for (const { reject } of this.#pending.values()) reject(error);
      this.#pending.clear();
    };
    worker.on('error', end);
    worker.on('exit', (code) => end(new ExperimentFailedError(`the engine's thread ended with code ${code}`)));
  }

  /** Starts the thread and loads TensorFlow. */
  static async start(setup: ThreadSetup, onFallback: OnFallback): Promise<EngineThread> {
    Object.assign(process.env, tensorFlowEnvironment(setup.threads));
    const worker = new Worker(new URL('./thread.js', import.meta.url), { workerData: setup });
    const ready = new Promise<EngineIdentity>((resolve, reject) => {
      worker.once('message', (message: { readonly ready: EngineIdentity }) => resolve(message.ready));
      worker.once('error', reject);
    });
    try {
      return new EngineThread(worker, await within(ready, startTimeoutMs, 'TensorFlow to load'), onFallback);
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
      close: () => this.#call('close'),
    };
  }

  async stop(): Promise<void> {
    await this.#worker.terminate();
  }

  #call<M extends keyof Methods>(method: M, ...args: Parameters<Methods[M]>): Promise<ReturnType<Methods[M]>> {
    if (this.#dead !== undefined) return Promise.reject(this.#dead);
    const id = this.#calls++;
    const call = { id, method, args };
    return new Promise((resolve, reject) => {
      this.#pending.set(id, { resolve, reject });
      // A vector to be applied changes hands; a state to be loaded stays the caller's.
      this.#worker.postMessage(call, method === 'update' ? transferList(args) : []);
    });
  }
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
