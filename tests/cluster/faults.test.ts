import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Phase, Victim } from '../support/fault-cases.ts';
import { FaultCases } from '../support/fault-cases.ts';
import { bitsOf } from '../support/group-experiments.ts';

describe('an experiment', () => {
  let cases: FaultCases;
  beforeAll(async () => {
    cases = await FaultCases.start();
  }, 120_000);
  afterAll(() => cases?.close());

  // All of them: tests/long/faults.test.ts.
  const some: [Victim, Phase][] = [
    ['rank 0', 'computing'],
    ['rank 1', 'handing a segment out'],
    ['rank 0', 'acknowledging'],
    ['joiner', 'computing'],
    ['coordinator', 'sending a segment'],
    ['broker', 'storing the result'],
  ];
  it.each(some)(
    'comes to the same bits although its %s dies while %s',
    async (victim, phase) => {
      const run = await cases.run(victim, phase);
      expect(run.record.state).toBe('completed');
      expect(bitsOf(run.results)).toEqual(bitsOf(cases.undisturbed.results));
      expect(await cases.faults()).toEqual([]);
    },
    120_000,
  );
});
