import { Fitness, leaveMs } from '@crossfold/worker/fitness';
import { describe, expect, it } from 'vitest';

function fitness() {
  const clock = { now: 0 };
  const aside: { jobs: readonly string[]; reason: string }[] = [];
  const it = new Fitness({ now: () => clock.now, onAside: (jobs, reason) => aside.push({ jobs, reason }) });
  return { clock, aside, it };
}

describe('a worker on which job after job fails', () => {
  it('is set aside for a while, with the jobs and the reason', () => {
    const { clock, aside, it: worker } = fitness();
    for (const job of ['a', 'b', 'c']) worker.failed(job, `no luck with ${job}`);
    expect(worker.aside).toBe(true);
    expect(aside).toEqual([{ jobs: ['a', 'b', 'c'], reason: 'no luck with c' }]);
    clock.now += 3600_000;
    expect(worker.aside).toBe(false);
  });

  it('is not, where it is one job again and again, or others succeed in between', () => {
    const { aside, it: worker } = fitness();
    for (let n = 0; n < 10; n++) worker.failed('a', '');
    for (const job of ['b', 'c', 'd', 'e']) {
      worker.succeeded();
      worker.failed(job, '');
    }
    expect(worker.aside).toBe(false);
    expect(aside).toEqual([]);
  });
});

describe('a worker on which a job threw', () => {
  it('leaves it to others that are busy, for a while and not for ever; after another throw anew', () => {
    const { clock, it: worker } = fitness();
    expect(worker.leaves('a')).toBe(true);
    clock.now += leaveMs - 1;
    expect(worker.leaves('a')).toBe(true);
    clock.now += 1;
    expect(worker.leaves('a')).toBe(false);
    expect(worker.leaves('b')).toBe(true);
    worker.failed('a', 'again');
    expect(worker.leaves('a')).toBe(true);
  });
});

describe('a worker that does not reach its peers', () => {
  it('leaves their job to others for a while, and no other job', () => {
    const { clock, it: worker } = fitness();
    const members = [{ worker: 'peer', address: null }];
    worker.cutOff('a');
    expect(worker.avoids({ id: 'a', members })).toBe(true);
    expect(worker.avoids({ id: 'b', members })).toBe(false);
    clock.now += 120_000;
    expect(worker.avoids({ id: 'a', members })).toBe(false);
  });

  it('takes their job once nobody is at it any more', () => {
    const { it: worker } = fitness();
    worker.cutOff('a');
    expect(worker.avoids({ id: 'a', members: [] })).toBe(false);
  });
});
