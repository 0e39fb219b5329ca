import { chooseIdentity } from '@crossfold/coordinator/leader/prepare';
import { decodePresence } from '@crossfold/shared/broker/presence';
import { presenceSubject } from '@crossfold/shared/broker/subjects';
import type { Presence } from '@crossfold/shared/jobs/records';
import { describe, expect, it } from 'vitest';

const present = (worker: string, identity: string, over: Partial<Presence> = {}): Presence => ({
  worker,
  identity,
  threads: 1,
  engine: '',
  state: 'idle',
  job: null,
  pace: null,
  ...over,
});
const gpu = { gpu: 'NVIDIA H100 80GB HBM3' };

describe('the engine identity of an experiment', () => {
  it('is that of most workers with the threads that are asked for', () => {
    const workers = [
      present('a', 'one'),
      present('b', 'two'),
      present('c', 'two'),
      present('d', 'one', { threads: 4 }),
    ];
    expect(chooseIdentity(workers, 1)).toBe('two');
    expect(chooseIdentity(workers, 4)).toBe('one');
    expect(chooseIdentity(workers, undefined)).toBe('one');
    expect(chooseIdentity(workers, 2)).toBeUndefined();
    expect(chooseIdentity([], undefined)).toBeUndefined();
  });

  it('is that of a worker on a GPU, however many there are on processors', () => {
    const cpus = [present('a', 'cpu'), present('b', 'cpu'), present('c', 'cpu')];
    expect(chooseIdentity([...cpus, present('d', 'gpu', gpu)], 1)).toBe('gpu');
    expect(chooseIdentity([...cpus, present('d', 'gpu', { ...gpu, threads: 8 })], 1)).toBe('cpu');
    const kinds = [present('d', 'a gpu', gpu), present('e', 'b gpu', gpu), present('f', 'b gpu', gpu)];
    expect(chooseIdentity([...cpus, ...kinds], 1)).toBe('b gpu');
  });

  it('is told in a sign of life, which one without a GPU is read without', () => {
    for (const presence of [present('a', 'cpu'), present('d', 'gpu', gpu)]) {
      const data = new TextEncoder().encode(JSON.stringify(presence));
      expect(decodePresence(data, presenceSubject(presence.worker))).toEqual({ value: presence });
    }
  });
});
