import type { ChildProcess } from 'node:child_process';
import { fork, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { findBroker } from '@crossfold/coordinator/cluster/find-broker';

/**
 * Runs `body` beside a nats-server of its own on a free loopback port; it is told its address, its process's id, and where
 * the server says what it has carried.
 */
export async function withBroker(body: (url: string, pid: number, monitor: string) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'crossfold-bench-'));
  const broker = spawn(
    await findBroker(process.env),
    ['-a', '127.0.0.1', '-p', '-1', '-m', '-1', '-js', '-sd', folder],
    {
      stdio: ['ignore', 'ignore', 'pipe'],
    },
  );
  try {
    const { port, monitor } = await portsOf(broker);
    await body(`nats://127.0.0.1:${port}`, broker.pid ?? 0, `http://127.0.0.1:${monitor}`);
  } finally {
    broker.kill();
    await once(broker, 'exit');
    await rm(folder, { recursive: true, force: true });
  }
}

async function portsOf(broker: ChildProcess): Promise<{ port: string; monitor: string }> {
  let log = '';
  for await (const text of broker.stderr ?? []) {
    log += String(text);
    const port = /Listening for client connections on [^\n]*:(\d+)/.exec(log)?.[1];
    const monitor = /Starting http monitor on [^\n]*:(\d+)/.exec(log)?.[1];
    if (port !== undefined && monitor !== undefined && log.includes('Server is ready')) {
      // Not to be left unread: the pipe would fill up.
      broker.stderr?.resume();
      return { port, monitor };
    }
  }
  throw new Error(`nats-server ended: ${log}`);
}

/** A process that runs the same benchmark's file as a member: it hears with `tasks` and answers with `say`. */
export class Member {
  readonly #child: ChildProcess;
  readonly #heard: unknown[] = [];
  #wake: (() => void) | undefined;
  #ended: string | undefined;

  constructor(file: string) {
    this.#child = fork(new URL(file).pathname, ['member'], { stdio: 'inherit' });
    this.#child.on('message', (message) => {
      this.#heard.push(message);
      this.#wake?.();
    });
    this.#child.once('exit', (code) => {
      this.#ended = `a process of the benchmark ended with ${code}`;
      this.#wake?.();
    });
  }

  tell(task: object): void {
    this.#child.send(task);
  }

  async hear<T>(): Promise<T> {
    while (this.#heard.length === 0) {
      if (this.#ended !== undefined) throw new Error(this.#ended);
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    return this.#heard.shift() as T;
  }

  async leave(): Promise<void> {
    if (this.#ended !== undefined) return;
    const gone = once(this.#child, 'exit');
    this.#child.disconnect();
    await gone;
  }
}

/** In a member: what it is told, one after another, until the parent is gone. */
export async function* tasks<T>(): AsyncGenerator<T> {
  process.once('disconnect', () => process.exit(0));
  const heard: T[] = [];
  let wake: (() => void) | undefined;
  process.on('message', (task) => {
    heard.push(task as T);
    wake?.();
  });
  for (;;) {
    const next = heard.shift();
    if (next !== undefined) yield next;
    else
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
  }
}

/** In a member: tells the parent. */
export const say = (message: unknown): void => {
  process.send?.(message as object);
};

export const median = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[values.length >> 1] ?? Number.NaN;

/** What the figures are of. */
export const machine = (): { cores: number; cpu: string; node: string } => ({
  cores: cpus().length,
  cpu: cpus()[0]?.model ?? 'unknown',
  node: process.version,
});

/** The value of `--NAME VALUE` among the benchmark's arguments. */
export function option(name: string): string | undefined {
  const at = process.argv.indexOf(`--${name}`);
  return at < 0 ? undefined : process.argv[at + 1];
}

/** Rows under their headings, columns as wide as they must be. */
export function table(headings: readonly string[], rows: readonly (readonly (string | number)[])[]): string {
  const text = [headings, ...rows].map((row) => row.map(String));
  const width = headings.map((_, column) => Math.max(...text.map((row) => row[column]?.length ?? 0)));
  return text.map((row) => row.map((cell, column) => cell.padStart(width[column] ?? 0)).join('  ')).join('\n');
}
