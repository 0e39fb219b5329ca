import { randomBytes } from 'node:crypto';
import type { ExperimentClient } from '../client/types.ts';
import type { EmbeddedCluster, EmbeddedOptions } from '../cluster/embedded.ts';

/** Where a command writes. */
export interface Output {
  readonly isTTY?: boolean;
  /** Lines that a terminal has. */
  readonly rows?: number;
  readonly columns?: number;
  write(text: string): unknown;
}

/** What commands have of the world around them. */
export interface CommandContext {
  readonly env: NodeJS.ProcessEnv;
  /** Results: what was asked for, and with `--json` nothing else. */
  readonly out: Output;
  /** Progress and messages. */
  readonly err: Output;
  /** The time of day. */
  readonly date: () => Date;
  /** Milliseconds on a clock that never goes back. */
  readonly now: () => number;
  /** A random number below 65,536. */
  readonly suffix: () => number;
  readonly connect: (url: string) => Promise<ExperimentClient>;
  readonly startCluster: (options: EmbeddedOptions, signal: AbortSignal) => Promise<EmbeddedCluster>;
  /** Calls back when the user, or the system, asks the process to end; returns how to stop listening. */
  readonly onInterrupt: (listener: () => void) => () => void;
}

/** The context of a real process. What only some commands need is loaded by them. */
export const processContext = (): CommandContext => ({
  env: process.env,
  out: unbroken(process.stdout),
  err: unbroken(process.stderr),
  date: () => new Date(),
  now: () => performance.now(),
  suffix: () => randomBytes(2).readUInt16BE(),
  connect: async (url) => (await import('../client/client.ts')).connectClient(url),
  startCluster: async (options, signal) => (await import('../cluster/embedded.ts')).startEmbedded(options, signal),
  onInterrupt(listener) {
    const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
    for (const signal of signals) process.on(signal, listener);
    return () => {
      for (const signal of signals) process.off(signal, listener);
    };
  },
});

/** A reader that has had enough (`| head`) is no reason to give a run up. */
function unbroken(stream: NodeJS.WriteStream): NodeJS.WriteStream {
  return stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
  });
}
