import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { bitsOf, completedFolds, everything } from '../support/group-experiments.ts';
import { HandStarted } from '../support/hand-started.ts';

let cluster: HandStarted;
let undisturbed: ReturnType<typeof bitsOf>;
beforeAll(async () => {
  cluster = await HandStarted.start();
  undisturbed = await cluster.undisturbed();
}, 120_000);
afterAll(() => cluster?.close());
afterEach(async () => {
  await cluster.dismiss();
  expect(await cluster.faults()).toEqual([]);
});

const leader = () => cluster.services.all.find(({ name }) => name === 'coordinator-0');

describe('a worker that is stopped, or starved, while nobody else is free', { timeout: 120_000 }, () => {
  it('is waited for, by name, and goes on where it was: no attempt is counted, no generation opened', async () => {
    const alone = cluster.services.worker('alone', { faults: [{ at: 'computing', position: 5, do: 'stop' }] });
    await alone.says('ready');
    const run = cluster.run();
    const waiting = await leader()?.says(/^silent workers are waited for/);
    expect(waiting?.members).toEqual([expect.stringMatching(/^alone/)]);
    alone.signal('SIGCONT');
    const { results } = await run;
    expect(bitsOf(results)).toEqual(undisturbed);
    expect(completedFolds(results)[0]).toMatchObject({ attempts: 0, generations: 1 });
  });

  it('is replaced as soon as another is there', async () => {
    const stopped = cluster.services.worker('stopped', { faults: [{ at: 'computing', position: 5, do: 'stop' }] });
    await stopped.says('ready');
    const before = leader()?.lines.length;
    const run = cluster.run();
    await leader()?.says(/^silent workers are waited for/, undefined, before);
    const other = cluster.services.worker('other');
    const { results } = await run;
    expect(other.lines.map(({ msg }) => msg)).toContain('took a seat');
    expect(bitsOf(results)).toEqual(undisturbed);
    expect(completedFolds(results)[0]).toMatchObject({ attempts: 0, generations: 2 });
  });
});
