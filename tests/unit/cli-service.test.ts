import { EventEmitter } from 'node:events';
import fs from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createLogger, redactCredentials } from '@crossfold/shared/logger';
import { drainMs, runService, type ServiceHandles, type ServiceProcess } from '@crossfold/shared/service';
import { aborted } from '@crossfold/shared/wait';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

class FakeProcess extends EventEmitter {
  readonly pid = 7;
  readonly did: string[] = [];
  connected: boolean;
  send: ((message: unknown) => boolean) | undefined;

  constructor(child: boolean) {
    super();
    this.connected = child;
    if (child) this.send = (message) => this.did.push(`send ${JSON.stringify(message)}`) > 0;
  }
  disconnect(): void {
    this.connected = false;
    this.did.push('disconnect');
  }
  exit(code: number): void {
    this.did.push(`exit ${code}`);
  }
  kill(pid: number, signal: string): void {
    this.did.push(`kill ${pid} ${signal}`);
  }
}

const logger = createLogger({ service: 'test', env: { CROSSFOLD_LOG_LEVEL: 'silent' } });
/** Ready at once, and ends when it is asked to. */
const polite = async ({ signal, onReady }: ServiceHandles): Promise<void> => {
  onReady();
  await aborted(signal);
};
const stubborn = (): Promise<void> => new Promise(() => undefined);
const start = (host: FakeProcess, service: (handles: ServiceHandles) => Promise<void>): Promise<void> =>
  runService(service, { logger, host: host as unknown as ServiceProcess });

describe('a service', () => {
  beforeEach(() => {
    vi.useFakeTimers();
  });
  afterEach(() => vi.useRealTimers());

  it.each(['SIGTERM', 'SIGINT', 'SIGHUP'])('hands over on %s and leaves no listener', async (signal) => {
    const host = new FakeProcess(false);
    const service = start(host, polite);
    host.emit(signal);
    await service;
    expect(host.eventNames()).toEqual([]);
    expect(host.did).toEqual([]);
  });

  it('ends at once when it is asked again', () => {
    const host = new FakeProcess(false);
    void start(host, stubborn);
    host.emit('SIGTERM');
    expect(host.did).toEqual([]);
    host.emit('SIGINT');
    expect(host.did).toEqual(['kill 7 SIGINT', 'exit 130']);
    expect(host.eventNames()).toEqual([]);
  });

  it('ends at once when handing over takes too long', () => {
    const host = new FakeProcess(false);
    void start(host, stubborn);
    host.emit('SIGTERM');
    vi.advanceTimersByTime(drainMs - 1);
    expect(host.did).toEqual([]);
    vi.advanceTimersByTime(1);
    expect(host.did).toEqual(['kill 7 SIGKILL', 'exit 1']);
  });

  it('tells its parent when it is ready, and lets go of it when it ends', async () => {
    const host = new FakeProcess(true);
    const service = start(host, polite);
    expect(host.did).toEqual([`send ${JSON.stringify({ type: 'ready' })}`]);
    host.emit('SIGTERM');
    await service;
    expect(host.did.at(-1)).toBe('disconnect');
  });

  it('dies with its parent, without waiting for anything', () => {
    const host = new FakeProcess(true);
    void start(host, stubborn);
    host.connected = false;
    host.emit('disconnect');
    expect(host.did).toEqual(['kill 7 SIGKILL']);
  });

  it('dies with a parent that was gone before it listened', () => {
    const host = new FakeProcess(true);
    host.connected = false;
    void start(host, stubborn);
    expect(host.did).toEqual(['kill 7 SIGKILL']);
  });

  it('passes on what it failed with', async () => {
    await expect(start(new FakeProcess(false), () => Promise.reject(new Error('no')))).rejects.toThrow('no');
  });
});

describe('the log', () => {
  const write = (
    env: NodeJS.ProcessEnv,
    log: (to: ReturnType<typeof createLogger>) => void,
  ): Record<string, unknown>[] => {
    const lines: string[] = [];
    log(createLogger({ service: 'worker', to: { write: (line) => lines.push(line) }, env }));
    return lines.map((line) => JSON.parse(line));
  };

  it('is JSON with level, time and service, and without credentials', () => {
    const [line] = write({}, (log) =>
      log.warn({ err: new Error('cannot reach nats://me:secret@host:1') }, 'at nats://token@host'),
    );
    expect(line).toMatchObject({ level: 'warn', service: 'worker', msg: 'at nats://***@host' });
    expect(JSON.stringify(line)).not.toContain('secret');
    expect(Date.parse(String(line?.time))).toBeGreaterThan(0);
  });

  it('ends nobody on a full disk, and has what was said meanwhile once there is room', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'crossfold-log-'));
    const file = join(folder, 'worker.log');
    const log = createLogger({ service: 'worker', to: file, env: {} });
    const write = vi.spyOn(fs, 'writeSync').mockImplementation(() => {
      throw Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC', errno: -28 });
    });
    try {
      for (const text of ['one', 'two']) expect(() => log.info(text)).not.toThrow();
      expect(write).toHaveBeenCalledTimes(2);
    } finally {
      write.mockRestore();
    }
    log.info('three');
    const lines = (await readFile(file, 'utf8')).trim().split('\n');
    await rm(folder, { recursive: true });
    expect(lines.map((line) => JSON.parse(line).msg)).toEqual(['one', 'two', 'three']);
    const full = createLogger({ service: 'worker', to: '/dev/full', env: {} });
    for (let n = 0; n < 100; n++) expect(() => full.fatal('nobody hears this')).not.toThrow();
  });

  it('has the level that the environment asks for, or says that it is none', () => {
    const both = (to: ReturnType<typeof createLogger>): void => {
      to.debug('a');
      to.error('b');
    };
    expect(write({ CROSSFOLD_LOG_LEVEL: 'error' }, both).map((line) => line.msg)).toEqual(['b']);
    expect(write({ CROSSFOLD_LOG_LEVEL: 'DEBUG' }, both).map((line) => line.msg)).toEqual(['a', 'b']);
    expect(write({ CROSSFOLD_LOG_LEVEL: 'loud' }, both)[0]).toMatchObject({ asked: 'loud' });
  });

  it.each([
    ['nats://a:b@h:1,nats://c@i', 'nats://***@h:1,nats://***@i'],
    ["at nats://u:it's,a/secret@h:4222", 'at nats://***@h:4222'],
    ['at nats://u:pa@ss@h:4222, then', 'at nats://***@h:4222, then'],
    ['{"url":"nats://u:p\\"q@h","next":"a@b"}', '{"url":"nats://***@h","next":"a@b"}'],
    ['file:///app/node_modules/@nats-io/a.js:3:4', 'file:///app/node_modules/@nats-io/a.js:3:4'],
    ['mail me@example.org', 'mail me@example.org'],
    ['http://host/path@2x', 'http://host/path@2x'],
  ])('%s', (text, shown) => expect(redactCredentials(text)).toBe(shown));
});
