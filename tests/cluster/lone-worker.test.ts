import { maxAttempts } from '@crossfold/shared/jobs/transitions';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { ExperimentInput } from '../support/group-experiments.ts';
import { bitsOf, completedFolds, everything } from '../support/group-experiments.ts';
import { HandStarted } from '../support/hand-started.ts';
import type { Service } from '../support/processes.ts';

/** One epoch of 40 steps. */
const experiment: ExperimentInput = {
  ...everything,
  dataset: { name: 'mnist', limit: 1600 },
  training: { ...everything.training, epochs: 1 },
};

let cluster: HandStarted;
let undisturbed: ReturnType<typeof bitsOf>;
beforeAll(async () => {
  cluster = await HandStarted.start();
  undisturbed = await cluster.undisturbed(experiment);
}, 120_000);
afterAll(() => cluster?.close());
afterEach(async () => {
  await cluster.dismiss();
  expect(await cluster.faults()).toEqual([]);
});

/** Stops a worker, in the middle of a step, until the leader has given its job back to the queue. */
async function missed(worker: Service): Promise<void> {
  const leader = cluster.services.all.find(({ name }) => name === 'coordinator-0');
  const said = leader?.lines.length;
  worker.signal('SIGSTOP');
  await leader?.says('all workers of the job were lost', undefined, said);
}

describe('a worker that is stopped, or gets no processor time, while nobody else is free', { timeout: 180_000 }, () => {
  it('goes on with all that it holds when it wakes, however often, and no attempt is counted', async () => {
    const alone = cluster.services.worker('alone', { faults: [{ at: 'computing', do: 'hold', again: true }] });
    await alone.says('ready');
    /** Whether steps are let go as they come. */
    let free = false;
    alone.onLine(({ msg }) => {
      if (free && msg === 'failing on purpose') alone.signal('SIGUSR2');
    });
    const letGo = (): void => {
      free = true;
      alone.signal('SIGUSR2');
    };
    const run = cluster.run(experiment);
    const times = maxAttempts + 2;
    for (let n = 0, from = 0; n < times; n++) {
      await alone.says('failing on purpose', undefined, from);
      await missed(alone);
      from = alone.lines.length;
      alone.signal('SIGCONT');
      letGo();
      await alone.says('was taken for lost: back with all that it holds', undefined, from);
      free = n === times - 1;
      from = alone.lines.length;
    }
    const { results } = await run;
    expect(bitsOf(results)).toEqual(undisturbed);
    expect(completedFolds(results)[0]).toMatchObject({ attempts: 0, generations: 1 + times });
    const seats = alone.lines.filter(({ msg, job }) => msg === 'took a seat' && /\.train\./.test(`${job}`));
    expect(seats).toHaveLength(1);
    expect(alone.lines.map(({ msg }) => msg)).not.toContain('went on from a checkpoint');
  });

  it('is too late where another has come, and does no harm; no attempt is counted', async () => {
    const stopped = cluster.services.worker('stopped', { faults: [{ at: 'computing', position: 5, do: 'hold' }] });
    await stopped.says('ready');
    const run = cluster.run({ ...experiment, workersPerJob: 1 });
    await stopped.says('failing on purpose');
    await missed(stopped);
    const other = cluster.services.worker('other', { faults: [{ at: 'computing', position: 7, do: 'hold' }] });
    await other.says('failing on purpose');
    stopped.signal('SIGCONT');
    stopped.signal('SIGUSR2');
    await stopped.says('no longer a member of the job');
    other.signal('SIGUSR2');
    const { results } = await run;
    expect(bitsOf(results)).toEqual(undisturbed);
    expect(completedFolds(results)[0]).toMatchObject({ attempts: 0, generations: 2 });
  });
});
