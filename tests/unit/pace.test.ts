import type { JobRecord } from '@crossfold/shared/jobs/records';
import { PaceMeter } from '@crossfold/worker/job/pace';
import type { GroupPlace } from '@crossfold/worker/observe/observer';
import { describe, expect, it } from 'vitest';
import { aJob } from '../support/records.ts';

const place = (members: number): GroupPlace => ({
  record: aJob({
    members: Array.from({ length: members }, (_, i) => ({ worker: `w${i}`, address: null })),
  }) satisfies JobRecord,
  rank: 0,
  exchange: {} as GroupPlace['exchange'],
});

/** Steps that each take so long, of which two slices take 20 ms and the update 1. */
function step(meter: PaceMeter, times: number, ms: number): void {
  for (let n = 0; n < times; n++)
    meter.stepped({
      epoch: 0,
      step: n,
      slices: 2,
      samples: 16,
      transport: 'direct',
      times: { started: 0, dataMs: 0, computed: 20, summed: ms - 1, updated: ms },
    });
}

describe('the pace of a job', () => {
  it('is measured in whole steps for each size of its group, once there are enough of them', () => {
    const meter = new PaceMeter(4, 1000, 'direct');
    expect(meter.pace(90)).toBeUndefined();
    meter.entered(place(2));
    step(meter, 3, 900);
    expect(meter.pace(87)).toMatchObject({ slices: 4, sliceMs: 10, aloneMs: 1, stepsLeft: 87 });
    expect(meter.pace(87)).not.toHaveProperty('measured');
    step(meter, 30, 24);
    expect(meter.pace(57)?.measured).toEqual({ members: 2, stepMs: 24 });
    // Another generation of as many goes on; of more it begins anew.
    meter.entered(place(2));
    expect(meter.pace(57)?.measured).toEqual({ members: 2, stepMs: 24 });
    meter.entered(place(4));
    expect(meter.pace(57)).not.toHaveProperty('measured');
    step(meter, 27, 30);
    expect(meter.pace(30)?.measured).toEqual({ members: 4, stepMs: 30 });
  });
});
