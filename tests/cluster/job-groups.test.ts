import type { Broker } from '@crossfold/shared/broker/broker';
import { openBroker } from '@crossfold/shared/broker/broker';
import { isFinal } from '@crossfold/shared/jobs/records';
import { resize } from '@crossfold/shared/jobs/transitions';
import { keyedRandom } from '@crossfold/shared/rng';
import { FrameKind } from '@crossfold/worker/exchange/frame';
import { frameHeader } from '@crossfold/worker/exchange/transport-nats';
import type { NatsConnection, PublishOptions } from 'nats';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { TestBroker } from '../support/broker.ts';
import { startBroker } from '../support/broker.ts';
import type { JobSettings, Outcome } from '../support/job-group.ts';
import { ended, TestJob } from '../support/job-group.ts';
import { aJob } from '../support/records.ts';

let server: TestBroker;
let broker: Broker;
const open: TestJob[] = [];
beforeAll(async () => {
  server = await startBroker();
  broker = await openBroker(server.url, 'test');
});
afterEach(async () => {
  for (const job of open.splice(0)) await job.close();
});
afterAll(async () => {
  await broker.close();
  await server.stop();
});

let jobs = 0;
async function queued(settings: JobSettings, seats: { minSeats: number; maxSeats: number }): Promise<TestJob> {
  const job = aJob({ id: `plain.train.0.0.${jobs++}`, ...seats });
  await broker.jobs.create(job.id, job);
  const test = new TestJob(server.url, job.id, settings);
  open.push(test);
  return test;
}

const settings = (over: Partial<JobSettings> = {}): JobSettings => ({
  exchange: 'nats',
  epochs: 2,
  stepsPerEpoch: 20,
  engine: { weights: 400, slices: 5, batchSize: 13, validationSamples: 17 },
  ...over,
});

async function alone(of: JobSettings): Promise<Outcome> {
  const job = await queued(of, { minSeats: 1, maxSeats: 1 });
  await (await job.worker('alone')).join();
  const { outcome } = await ended(broker, job.id);
  if (outcome === undefined) throw new Error('a job that nobody disturbs completes');
  return outcome;
}

describe('the last sum of a job', () => {
  it('is handed out until everyone has it, though those who have it have nothing left to do', async () => {
    const single = await alone(settings());
    const job = await queued(settings(), { minSeats: 2, maxSeats: 2 });
    // What rank 1 hands out of the last sum (a validation) is lost twice.
    let dropped = 0;
    const lossy = (nats: NatsConnection): NatsConnection =>
      new Proxy(nats, {
        get(target, property) {
          if (property === 'publish')
            return (subject: string, data: Uint8Array, options: PublishOptions) => {
              const header = frameHeader(options);
              if (header?.kind === FrameKind.finished && header.step === 41 && dropped < 2) dropped++;
              else target.publish(subject, data, options);
            };
          const value = Reflect.get(target, property);
          return typeof value === 'function' ? value.bind(target) : value;
        },
      });
    const first = (await job.worker('first')).join();
    await expect.poll(async () => (await broker.jobs.get(job.id))?.value.members.length).toBe(1);
    await Promise.all([first, (await job.worker('second', lossy)).join()]);
    expect(await ended(broker, job.id)).toMatchObject({ job: { state: 'completed' }, outcome: single });
    expect(dropped).toBe(2);
  });
});

describe('two members that do not reach each other', () => {
  it('part: the first goes on alone, the second knows that it was cut off', async () => {
    const single = await alone(settings());
    const job = await queued(settings(), { minSeats: 2, maxSeats: 2 });
    const mute = (nats: NatsConnection): NatsConnection =>
      new Proxy(nats, {
        get(target, property) {
          if (property === 'publish') return () => undefined;
          const value = Reflect.get(target, property);
          return typeof value === 'function' ? value.bind(target) : value;
        },
      });
    const [first, second] = [await job.worker('first', mute), await job.worker('second', mute)];
    const stays = first.join();
    const leaves = second.join();
    const endings = await Promise.all([stays, leaves]);
    expect(endings.map((ending) => ending?.how).toSorted()).toEqual(['cut off', 'over']);
    expect((await ended(broker, job.id)).outcome).toEqual(single);
  });
});

describe('the wall time of a job', () => {
  it('is that of its steps, whoever did them: with what a worker did that left, without the pause after it', async () => {
    const stepMs = 250;
    const timed = async (leavesAfter?: number): Promise<number | undefined> => {
      let clock = 0;
      const job = await queued(settings({ now: () => clock }), { minSeats: 1, maxSeats: 1 });
      const first = await job.worker('first');
      const before = (call: string, step: number): void => {
        if (call !== 'update') return;
        clock += stepMs;
        if (step === leavesAfter) first.drain();
      };
      const ending = await first.join({ before });
      expect(ending?.how).toBe(leavesAfter === undefined ? 'over' : 'left');
      if (leavesAfter !== undefined) {
        clock += 60_000;
        await (await job.worker('second')).join({ before });
      }
      return (await ended(broker, job.id)).job.result?.seconds;
    };
    const { epochs, stepsPerEpoch } = settings();
    const seconds = (epochs * stepsPerEpoch * stepMs) / 1000;
    // Nobody leaves; somebody does in the middle of an epoch, and before a validation.
    for (const leavesAfter of [undefined, 6, 19, 33]) expect(await timed(leavesAfter)).toBe(seconds);
  });
});

describe('members whose engines do not compute alike', () => {
  it('fail the job at the end of the epoch, at once and for good', async () => {
    const job = await queued(settings({ exchange: 'direct' }), { minSeats: 2, maxSeats: 2 });
    const [first, second] = [await job.worker('first'), await job.worker('second')];
    // In the last bit of a few small weights.
    const error = (w: number): number => (Math.abs(w) < 0.1 ? w * (1 + 2 ** -23) : w);
    await Promise.all([first.join(), second.join({ error })]);
    const { job: record, outcome } = await ended(broker, job.id);
    expect(record).toMatchObject({ state: 'failed', attempts: 0 });
    expect(record.error).toMatch(/different weights after epoch 1/);
    expect(outcome).toBeUndefined();
  });
});

describe('a group that changes on the way', () => {
  it.each(['nats', 'auto'] as const)('comes to the bits of one, over %s', async (exchange) => {
    const of = settings({ exchange, epochs: 3 });
    const names = ['a', 'b', 'c', 'd', 'e'];
    const single = await alone(of);
    for (let seed = 0; seed < 4; seed++) {
      const random = keyedRandom('group-changes', exchange, seed);
      const job = await queued(of, { minSeats: 1, maxSeats: 5 });
      const record = await job.follow();
      const changed = new Set<number>();
      const before = async (_call: string, step: number): Promise<void> => {
        // Whoever computes lets others go first now and then, so that changes fall into every phase of a step.
        for (let turns = random.below(20); turns > 0; turns--) await new Promise(setImmediate);
        if (step % 3 !== 1 || changed.has(step)) return;
        changed.add(step);
        // At every third step the job is to have fewer members, or one more. For one more the step is held up until somebody
        // has come, so that all join it sooner or later on every machine; whoever is to go does so when it has seen it.
        const fewer = random.below(3) === 0;
        let awaited = 0;
        await broker.jobs.transition(job.id, (current) => {
          const members = current.members.length;
          awaited = !fewer && members < names.length ? current.generation + 1 : 0;
          return resize(current, fewer ? 1 + random.below(members) : members + 1);
        });
        await record.until(({ generation }) => generation >= awaited);
      };
      const work = async (name: string): Promise<void> => {
        const worker = await job.worker(name);
        while (!isFinal(record.newest.state)) {
          const { version } = record;
          if ((await worker.join({ before })) === undefined) await record.changed(version);
        }
      };
      const workers = names.map(work);
      const { job: last, outcome } = await ended(broker, job.id);
      await Promise.all(workers);
      expect(outcome).toEqual(single);
      expect(last).toMatchObject({ state: 'completed', attempts: 0 });
      expect(last.generation, 'the group has changed').toBeGreaterThanOrEqual(5);
    }
  });
});
