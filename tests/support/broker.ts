import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { findBroker } from '@crossfold/coordinator/cluster/find-broker';
import type { SeatLine, TakenSeat } from '@crossfold/shared/broker/seats';

export interface TestBroker {
  readonly url: string;
  readonly port: number;
  readonly pid: number;
  /** Where it answers about itself, if its configuration says `http: "127.0.0.1:-1"`. */
  readonly monitor: string;
  /** Kills the server at once; its files stay. */
  kill(): Promise<void>;
  /** Starts it again on the same port and files. */
  restart(): Promise<void>;
  stop(): Promise<void>;
}

/** A real nats-server, with JetStream where not said otherwise, on a free loopback port, its files in a folder of its own. */
export async function startBroker(
  options: { readonly config?: string; readonly jetStream?: boolean } = {},
): Promise<TestBroker> {
  const folder = await mkdtemp(join(tmpdir(), 'crossfold-broker-'));
  const binary = await findBroker(process.env);
  let port = -1;
  let monitor = '';
  const start = async (): Promise<ReturnType<typeof spawn>> => {
    await rm(join(folder, 'ports'), { recursive: true, force: true });
    const extra = options.config === undefined ? [] : ['-c', options.config];
    const storage = options.jetStream === false ? [] : ['-js', '-sd', folder];
    const child = spawn(
      binary,
      ['-a', '127.0.0.1', '-p', String(port), ...storage, '--ports_file_dir', folder, ...extra],
      { stdio: ['ignore', 'ignore', 'pipe'] },
    );
    let log = '';
    await new Promise<void>((resolve, reject) => {
      child.stderr?.on('data', (text: Buffer) => {
        log += text.toString();
        if (log.includes('Server is ready')) resolve();
      });
      child.once('exit', (code) => reject(new Error(`nats-server ended with ${code}: ${log}`)));
    });
    port = await portOf(folder, child.pid ?? 0, log);
    monitor = /Starting http monitor on ([^\n]*)/.exec(log)?.[1] ?? '';
    return child;
  };
  let child = await start();
  const kill = async (): Promise<void> => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill('SIGKILL');
    await once(child, 'exit');
  };
  return {
    get url() {
      return `nats://127.0.0.1:${port}`;
    },
    get port() {
      return port;
    },
    get pid() {
      return child.pid ?? 0;
    },
    get monitor() {
      return `http://${monitor}`;
    },
    kill,
    async restart() {
      await kill();
      child = await start();
    },
    async stop() {
      await kill();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** The next seat of a line, however long it takes to come. */
export async function someSeat(line: SeatLine): Promise<TakenSeat> {
  for (;;) {
    const seat = await line.next(1000);
    if (seat !== undefined) return seat;
  }
}

async function portOf(folder: string, pid: number, log: string): Promise<number> {
  const fromLog = /Listening for client connections on [^\n]*:(\d+)/.exec(log)?.[1];
  if (fromLog !== undefined) return Number(fromLog);
  const file = (await readdir(folder)).find((name) => name.endsWith(`_${pid}.ports`));
  if (file === undefined) throw new Error('nats-server did not say its port');
  return Number(/:(\d+)"/.exec(await readFile(join(folder, file), 'utf8'))?.[1]);
}
