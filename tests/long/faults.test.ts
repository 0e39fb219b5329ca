import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Phase, Victim } from '../support/fault-cases.ts';
import { FaultCases, phases, victims } from '../support/fault-cases.ts';
import { bitsOf } from '../support/group-experiments.ts';

// In the manner of hivemind's and torchft's tests: everyone who can die, in every phase.
describe.each(victims)('an experiment whose %s dies', (victim: Victim) => {
  let cases: FaultCases;
  beforeAll(async () => {
    cases = await FaultCases.start();
  });
  afterAll(() => cases?.close());

  it.each(Object.keys(phases) as Phase[])('while %s comes to the same bits', async (phase) => {
    const run = await cases.run(victim, phase);
    expect(run.record.state).toBe('completed');
    expect(bitsOf(run.results)).toEqual(bitsOf(cases.undisturbed.results));
    expect(await cases.faults()).toEqual([]);
  });
});
