import { existsSync } from 'node:fs';
import { open, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pause } from '@crossfold/shared/wait';
import type { LogFilter } from './select.ts';
import { mergeLogs } from './select.ts';

const lookEveryMs = 500;

/** The folder of a run's logs; undefined where it has none. */
export function logsFolder(run: string): string | undefined {
  const folder = join(run, 'logs');
  return existsSync(folder) ? folder : undefined;
}

/** Lines of the services of a cluster on this machine, in order of time. The broker's own log has another form. */
export async function folderLogs(folder: string, filter: LogFilter): Promise<string[]> {
  const files = await servicesIn(folder);
  const logs = await Promise.all(files.map(async (file) => (await readFile(join(folder, file), 'utf8')).split('\n')));
  return mergeLogs(logs, filter, true);
}

/** Lines as they are written, after those that are there: a batch each time that there are some. */
export async function* followFolder(folder: string, filter: LogFilter, signal: AbortSignal): AsyncIterable<string[]> {
  const read = new Map<string, number>();
  while (!signal.aborted) {
    const files = await servicesIn(folder);
    const fresh = await Promise.all(files.map((file) => readFrom(join(folder, file), read)));
    const lines = mergeLogs(fresh, filter, true);
    if (lines.length > 0) yield lines;
    await pause(lookEveryMs, signal);
  }
}

const isService = (file: string): boolean =>
  file.endsWith('.log') && !file.endsWith('.stderr.log') && file !== 'nats.log';

const servicesIn = async (folder: string): Promise<string[]> =>
  (await readdir(folder, { withFileTypes: true }))
    .filter((one) => one.isFile())
    .map(({ name }) => name)
    .filter(isService);

/** Whole lines of a file from where it was read to. */
async function readFrom(file: string, read: Map<string, number>): Promise<string[]> {
  const handle = await open(file);
  try {
    const from = read.get(file) ?? 0;
    const { size } = await handle.stat();
    if (size <= from) return [];
    const { buffer } = await handle.read(Buffer.alloc(size - from), 0, size - from, from);
    const end = buffer.lastIndexOf(0x0a) + 1;
    read.set(file, from + end);
    return buffer.subarray(0, end).toString('utf8').split('\n');
  } finally {
    await handle.close();
  }
}
