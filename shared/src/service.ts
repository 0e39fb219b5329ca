import type { Logger } from './logger.ts';

/** What a service is given by whoever runs it. */
export interface ServiceHandles {
  readonly logger: Logger;
  /** Aborts when the service should end: finish or hand over what is under way, then return. */
  readonly signal: AbortSignal;
  /** To be called once the service does its work. */
  readonly onReady: () => void;
}

/** The parts of `process` that a service's life hangs on. */
export type ServiceProcess = Pick<
  NodeJS.Process,
  'pid' | 'connected' | 'on' | 'off' | 'send' | 'disconnect' | 'exit' | 'kill'
>;

/** How long a service may take to hand over after it was asked to end. */
export const drainMs = 25_000;

/** What a child process says to its parent once it is ready. */
export const readyMessage = { type: 'ready' } as const;

const exitCodes = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const;

/**
 * Runs a service for the life of this process. The first SIGTERM, SIGINT or SIGHUP asks it to end, a second one, or
 * `drainMs` without an end, ends it at once. A service whose parent holds a channel to it dies with the parent, at once:
 * whatever killed the parent has taken the rest of the cluster along, so there is nobody to hand over to.
 */
export async function runService(
  run: (handles: ServiceHandles) => Promise<void>,
  logger: Logger,
  host: ServiceProcess = process,
): Promise<void> {
  const ending = new AbortController();
  let timer: NodeJS.Timeout | undefined;
  const end = (signal: keyof typeof exitCodes): void => {
    if (ending.signal.aborted) {
      logger.warn({ signal }, 'asked to end again: ending at once');
      host.exit(exitCodes[signal]);
      return;
    }
    logger.info({ signal }, 'asked to end: handing over');
    ending.abort();
    timer = setTimeout(() => {
      logger.error(`still not handed over after ${drainMs / 1000} s: ending at once`);
      host.exit(1);
    }, drainMs);
    timer.unref();
  };
  const listeners = (['SIGTERM', 'SIGINT', 'SIGHUP'] as const).map((name) => [name, () => end(name)] as const);
  // A kill, not an exit: an exit would wait for the thread that computes.
  const orphaned = (): void => {
    logger.warn('the parent process is gone: ending at once');
    host.kill(host.pid, 'SIGKILL');
  };
  for (const [name, listener] of listeners) host.on(name, listener);
  const hasParent = host.send !== undefined;
  if (hasParent) host.on('disconnect', orphaned);
  // The parent may have died while this process was starting.
  if (hasParent && !host.connected) orphaned();
  try {
    await run({
      logger,
      signal: ending.signal,
      onReady: () => {
        logger.info('ready');
        host.send?.(readyMessage);
      },
    });
    logger.info('ended');
  } finally {
    clearTimeout(timer);
    for (const [name, listener] of listeners) host.off(name, listener);
    host.off('disconnect', orphaned);
    // An open channel would keep the process alive.
    if (hasParent && host.connected) host.disconnect?.();
  }
}
