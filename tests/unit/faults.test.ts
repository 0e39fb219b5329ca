import { EventEmitter } from 'node:events';
import { ConfigError } from '@crossfold/shared/errors';
import { faultsFrom } from '@crossfold/shared/faults';
import { createLogger } from '@crossfold/shared/logger';
import { describe, expect, it } from 'vitest';

const logger = createLogger({ service: 'test', env: { CROSSFOLD_LOG_LEVEL: 'silent' } });

function faults(text: string) {
  const signals: string[] = [];
  const host = Object.assign(new EventEmitter(), { pid: 1, kill: (_pid: number, s: string) => signals.push(s) });
  return { signals, host, faults: faultsFrom({ CROSSFOLD_FAULTS: text }, logger, host as unknown as NodeJS.Process) };
}

describe('faults on purpose', () => {
  it('happen where they are asked for, once', async () => {
    const { faults: f, signals } = faults('[{"at":"computing","rank":1,"position":7,"do":"kill"}]');
    await f.at('computing', { rank: 0, position: 7 });
    await f.at('computing', { rank: 1, position: 6 });
    await f.at('validating', { rank: 1, position: 7 });
    expect(signals).toEqual([]);
    await f.at('computing', { rank: 1, position: 7 });
    await f.at('computing', { rank: 1, position: 7 });
    expect(signals).toEqual(['SIGKILL']);
  });

  it('throw, stop, or hold until they are told to go on', async () => {
    const {
      faults: f,
      signals,
      host,
    } = faults(
      '[{"at":"loading","do":"throw","again":true},{"at":"sending","do":"stop"},{"at":"storing","do":"hold"}]',
    );
    await expect(f.at('loading')).rejects.toThrow('failed on purpose at loading');
    await expect(f.at('loading')).rejects.toThrow('failed on purpose at loading');
    f.passing('sending');
    expect(signals).toEqual(['SIGSTOP']);
    const held = f.at('storing');
    expect(await Promise.race([held, new Promise((resolve) => setImmediate(resolve, 'held'))])).toBe('held');
    host.emit('SIGUSR2');
    await held;
  });

  it('are refused with what would be right', () => {
    expect(() => faults('kill everybody')).toThrow(ConfigError);
    expect(() => faults('[{"at":"lunch","do":"kill"}]')).toThrow(/CROSSFOLD_FAULTS.*loading, opened, seated/);
  });
});
