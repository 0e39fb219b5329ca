import { TrainingSpec } from '@crossfold/shared/config/training';
import { noFaults } from '@crossfold/shared/faults';
import type { Exchange } from '@crossfold/worker/exchange/exchange';
import type { Place } from '@crossfold/worker/job/actions';
import { HopelessError, validate } from '@crossfold/worker/job/actions';
import { initialState } from '@crossfold/worker/job/state';
import { observers } from '@crossfold/worker/observe/observer';
import { expect, it } from 'vitest';
import { plainEngine } from '../support/plain-engine.ts';

const training = TrainingSpec.parse({ epochs: 1, optimizer: { name: 'sgd' } });

it.each([
  [Number.NaN, 1],
  [Number.POSITIVE_INFINITY, 1],
  [0.5, 0],
])('a validation loss of %s is counted as diverged %d times', async (loss, times) => {
  let diverged = 0;
  const engine = plainEngine({ weights: 4, slices: training.microBatches, batchSize: 8, validationSamples: 1 });
  const given = Float32Array.of(loss, 0, 1);
  const place = {
    rank: 0,
    size: 1,
    exchange: { travelled: 'none', allReduce: async () => new Float32Array(0) } as Partial<Exchange> as Exchange,
    signal: new AbortController().signal,
    now: () => 0,
    observer: observers([{ diverged: () => void diverged++ }]),
    faults: noFaults,
  } as Partial<Place> as Place;
  const validated = validate(
    { ...initialState, running: { ...initialState.running, samples: 8 } },
    0,
    { ...engine, readValidation: () => ({ outputs: given, digestsAgree: true }) },
    training,
    place,
    1,
  );
  if (times === 0) expect((await validated).history.valLoss).toEqual([loss]);
  else await expect(validated).rejects.toThrow(HopelessError);
  expect(diverged).toBe(times);
});
