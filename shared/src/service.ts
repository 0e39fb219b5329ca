import type { Border } from './border.ts';
import type { Endpoint } from './endpoint.ts';
import { Health } from './health.ts';
import type { HttpServer } from './http/server.ts';
import { startHttp } from './http/server.ts';
import type { Site } from './http/site.ts';
import type { WriteToken } from './http/write-token.ts';
import type { Logger } from './logger.ts';

/** What a service is given by whoever runs it. */
export interface ServiceHandles {
  readonly logger: Logger;
  /** Aborts when the service should end: finish or hand over what is under way, then return. */
  readonly signal: AbortSignal;
  /** To be called once the service does its work. */
  readonly onReady: () => void;
  /** Where the service says which of its parts are missing; starting and leaving are seen to. */
  readonly health: Health;
}

export interface ServiceOptions {
  readonly logger: Logger;
  /** Serves probes and metrics, for as long as the service lives. */
  readonly http?: {
    readonly listen: Endpoint;
    readonly metrics: { read(): Promise<{ readonly text: string; readonly type: string }> };
    readonly site?: Site;
    readonly token?: WriteToken | undefined;
    readonly border?: Border;
  };
  readonly host?: ServiceProcess;
}

/** The parts of `process` that a service's life hangs on. */
export type ServiceProcess = Pick<
  NodeJS.Process,
  'pid' | 'connected' | 'on' | 'off' | 'send' | 'disconnect' | 'exit' | 'kill'
>;

/** How long a service may take to hand over after it was asked to end. */
export const drainMs = 25_000;

/** What a child process says to its parent once it is ready. */
export interface ReadyMessage {
  readonly type: 'ready';
  /** Where it serves its metrics and probes, if it does: `http://host:port`. */
  readonly http?: string;
}

const exitCodes = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const;

/**
 * Runs a service for the life of this process. The first SIGTERM, SIGINT or SIGHUP asks it to end, a second one, or
 * `drainMs` without an end, ends it at once. A service whose parent holds a channel to it dies with the parent, at once:
 * whatever killed the parent has taken the rest of the cluster along, so there is nobody to hand over to.
 */
export async function runService(
  run: (handles: ServiceHandles) => Promise<void>,
  { logger, http, host = process }: ServiceOptions,
): Promise<void> {
  const ending = new AbortController();
  const health = new Health();
  health.set('starting', true);
  let timer: NodeJS.Timeout | undefined;
  /**
   * An exit would wait for the thread that computes, for ever where that hangs; a signal does not. The first process of a
   * container is immune to its own signals, and has to exit.
   */
  const endAtOnce = (signal: NodeJS.Signals, code: number): void => {
    for (const [name, listener] of listeners) host.off(name, listener);
    host.kill(host.pid, signal);
    host.exit(code);
  };
  const end = (signal: keyof typeof exitCodes): void => {
    if (ending.signal.aborted) {
      logger.warn({ signal }, 'asked to end again: ending at once');
      endAtOnce(signal, exitCodes[signal]);
      return;
    }
    logger.info({ signal }, 'asked to end: handing over');
    health.set('leaving', true);
    ending.abort();
    timer = setTimeout(() => {
      logger.error(`still not handed over after ${drainMs / 1000} s: ending at once`);
      endAtOnce('SIGKILL', 1);
    }, drainMs);
    timer.unref();
  };
  const listeners = (['SIGTERM', 'SIGINT', 'SIGHUP'] as const).map((name) => [name, () => end(name)] as const);
  const orphaned = (): void => {
    logger.warn('the parent process is gone: ending at once');
    host.kill(host.pid, 'SIGKILL');
  };
  for (const [name, listener] of listeners) host.on(name, listener);
  const hasParent = host.send !== undefined;
  if (hasParent) host.on('disconnect', orphaned);
  // The parent may have died while this process was starting.
  if (hasParent && !host.connected) orphaned();
  let server: HttpServer | undefined;
  try {
    if (http !== undefined) server = await startHttp({ ...http, health, logger });
    const ready: ReadyMessage = { type: 'ready', ...(server === undefined ? {} : { http: server.url }) };
    await run({
      logger,
      health,
      signal: ending.signal,
      onReady: () => {
        logger.info('ready');
        health.set('starting', false);
        host.send?.(ready);
      },
    });
    logger.info('ended');
  } finally {
    await server?.close();
    clearTimeout(timer);
    for (const [name, listener] of listeners) host.off(name, listener);
    host.off('disconnect', orphaned);
    // An open channel would keep the process alive.
    if (hasParent && host.connected) host.disconnect?.();
  }
}
