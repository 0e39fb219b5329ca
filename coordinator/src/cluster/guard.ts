/**
 * A small process that the embedded cluster's nats-server hangs under, because a server that is no Node process cannot
 * notice by itself that whoever started it is gone: when the channel to the parent closes, however the parent ended,
 * the guard ends the server. Run as `node guard.js <folder for the ports file> <nats-server> <arguments...>`.
 */
import { spawn } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pause } from '@crossfold/shared/wait';
import { z } from 'zod';

/** What the guard says to its parent once the server takes connections. */
export interface GuardReady {
  readonly type: 'ready';
  /** Process id of the server. */
  readonly pid: number;
  readonly port: number;
  /** Port where it answers about itself, where it does. */
  readonly monitor?: number;
}

/** As nats-server writes it, once it listens everywhere. */
const PortsFile = z.object({ nats: z.array(z.string()), monitoring: z.array(z.string()).optional() });

const readyWithinMs = 30_000;
const graceMs = 3000;

function main(portsFolder: string, binary: string, parameters: readonly string[]): void {
  // The server writes its log to standard error.
  const server = spawn(binary, parameters, { stdio: ['ignore', 1, 1] });
  const ending = new AbortController();
  const end = (): void => {
    if (ending.signal.aborted) return;
    ending.abort();
    server.kill('SIGTERM');
    setTimeout(() => server.kill('SIGKILL'), graceMs).unref();
  };
  server.on('error', (error) => {
    process.stderr.write(`cannot start ${binary}: ${error.message}\n`);
    process.exit(1);
  });
  server.on('exit', (code) => process.exit(ending.signal.aborted ? 0 : (code ?? 1)));
  process.on('disconnect', end);
  process.on('SIGTERM', end);
  // A terminal's Ctrl-C is for the parent, which ends things in their order.
  process.on('SIGINT', () => undefined);
  process.on('SIGHUP', () => undefined);
  if (!process.connected) end();
  void announce(portsFolder, server.pid ?? 0, ending.signal);
}

async function announce(portsFolder: string, pid: number, signal: AbortSignal): Promise<void> {
  const file = join(portsFolder, `nats-server_${pid}.ports`);
  for (const until = performance.now() + readyWithinMs; performance.now() < until && !signal.aborted; ) {
    const text = await readFile(file, 'utf8').catch(() => '');
    const port = portIn(text, 'nats');
    if (port !== undefined) {
      const monitor = portIn(text, 'monitoring');
      process.send?.({ type: 'ready', pid, port, ...(monitor === undefined ? {} : { monitor }) } satisfies GuardReady);
      return;
    }
    await pause(10, signal);
  }
}

/** Port of the first address that the server listens on for something; undefined where the file does not say so (yet). */
function portIn(text: string, purpose: 'nats' | 'monitoring'): number | undefined {
  try {
    const [address = ''] = PortsFile.parse(JSON.parse(text))[purpose] ?? [];
    const port = Number(/:(\d+)$/.exec(address)?.[1]);
    return Number.isInteger(port) ? port : undefined;
  } catch {
    // Not written to its end.
    return undefined;
  }
}

const [portsFolder, binary, ...parameters] = process.argv.slice(2);
if (portsFolder !== undefined && binary !== undefined) main(portsFolder, binary, parameters);
