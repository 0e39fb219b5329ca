import { underWay } from '@crossfold/coordinator/live/partial';
import type { JobRecord } from '@crossfold/shared/jobs/records';
import { describe, expect, it } from 'vitest';
import { aJob } from '../support/records.ts';

const job = (trial: number, fold: number, state: JobRecord['state']): JobRecord => aJob({ trial, fold, state });

describe('trials that are compared last while an experiment is under way', () => {
  it('are those with fewer folds than they will have', () => {
    const whole = [job(0, 0, 'completed'), job(0, 1, 'completed')];
    const halfWay = [job(1, 0, 'completed'), job(1, 1, 'running')];
    const givenUp = [job(2, 0, 'pruned')];
    // Racing adds folds to a trial as it goes.
    const goesOn = [job(3, 0, 'completed')];
    const failed = [job(4, 0, 'failed'), job(4, 1, 'completed')];
    expect([...underWay([...whole, ...halfWay, ...givenUp, ...goesOn, ...failed], 2)]).toEqual([1, 3]);
  });

  it('are not told by the test of the best', () => {
    const test = aJob({ kind: 'test', state: 'running' });
    expect([...underWay([test, job(0, 0, 'completed')], 1)]).toEqual([]);
  });
});
