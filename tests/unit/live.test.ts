import { reportable } from '@crossfold/coordinator/live/partial';
import type { JobRecord } from '@crossfold/shared/jobs/records';
import { describe, expect, it } from 'vitest';
import { aJob } from '../support/records.ts';

const job = (trial: number, fold: number, state: JobRecord['state']): JobRecord => aJob({ trial, fold, state });
const placesOf = (jobs: readonly JobRecord[]): string[] => jobs.map(({ trial, fold }) => `${trial}.${fold}`);

describe('what is reported on while an experiment is under way', () => {
  it('is each fold that is over, where there is one trial', () => {
    const jobs = [job(0, 0, 'completed'), job(0, 1, 'failed'), job(0, 2, 'running'), job(0, 3, 'paused')];
    expect(placesOf(reportable(jobs, 1, 4))).toEqual(['0.0', '0.1']);
  });

  it('is each trial that is over, where there are several: those with fewer folds would be compared unfairly', () => {
    const whole = [job(0, 0, 'completed'), job(0, 1, 'completed')];
    const halfWay = [job(1, 0, 'completed'), job(1, 1, 'running')];
    const givenUp = [job(2, 0, 'pruned')];
    // Racing adds folds to a trial as it goes.
    const goesOn = [job(3, 0, 'completed')];
    expect(placesOf(reportable([...whole, ...halfWay, ...givenUp, ...goesOn], 4, 2))).toEqual(['0.0', '0.1', '2.0']);
  });

  it('leaves out the test of the best', () => {
    const test = aJob({ kind: 'test', state: 'completed' });
    expect(reportable([test, job(0, 0, 'completed')], 1, 1)).toEqual([job(0, 0, 'completed')]);
  });
});
