import { Abandoned } from '@crossfold/coordinator/leader/abandoned';
import { Board } from '@crossfold/coordinator/leader/board';
import type { LeaderContext } from '@crossfold/coordinator/leader/leader';
import type { Loss } from '@crossfold/shared/broker/presence';
import type { JobRecord, Presence } from '@crossfold/shared/jobs/records';
import { describe, expect, it } from 'vitest';
import { aJob } from '../support/records.ts';

const id = 'exp.train.0.0.0';
const member = (worker: string) => ({ worker, address: null });
const running = (over: Partial<JobRecord> = {}): JobRecord =>
  aJob({ id, state: 'running', generation: 1, members: [member('a')], ...over });
const presence = (worker: string, state: Presence['state'], identity = 'engine'): Presence => ({
  worker,
  identity,
  threads: 1,
  engine: '',
  state,
  job: null,
  pace: null,
});

/** A leader that looks once, or again; who is lost and who is there is the test's to say. */
class World {
  readonly board = new Board();
  readonly losses = new Map<string, Loss>();
  alive: Presence[] = [];
  readonly said: string[] = [];
  readonly freed: boolean[] = [];
  readonly #abandoned: Abandoned;

  constructor(...jobs: readonly JobRecord[]) {
    for (const job of jobs) this.board.seeJob(job);
    const transition = async (job: string, change: (record: JobRecord) => JobRecord | undefined) => {
      const next = change(this.job(job));
      if (next !== undefined) this.board.seeJob(next);
      return next;
    };
    const context = {
      now: () => 0,
      roster: { lossOf: (worker: string) => this.losses.get(worker), alive: () => this.alive },
      broker: {
        jobs: { transition },
        nats: { isClosed: () => false, publish: (_: string, text: string) => this.said.push(JSON.parse(text).message) },
      },
      logger: { warn: () => undefined },
      observer: { lost: (again: boolean) => this.freed.push(again) },
    };
    this.#abandoned = new Abandoned(context as unknown as LeaderContext, this.board);
  }

  job(job = id): JobRecord {
    const found = this.board.jobs.get(job);
    if (found === undefined) throw new Error(`there is no ${job}`);
    return found;
  }

  look(): Promise<void> {
    return this.#abandoned.free();
  }
}

describe('a job all of whose workers are lost', () => {
  it('is given back at once where they have ended: an attempt', async () => {
    const world = new World(running());
    await world.look();
    expect(world.job().state).toBe('running');
    world.losses.set('a', 'gone');
    await world.look();
    expect(world.job()).toMatchObject({ state: 'queued', members: [], attempts: 1 });
    expect(world.freed).toEqual([true]);
  });

  it('stays with one that is merely silent while nobody could take it over, which is said once', async () => {
    const world = new World(running());
    world.losses.set('a', 'silent');
    world.alive = [presence('b', 'busy'), presence('c', 'idle', 'another engine'), presence('d', 'aside')];
    for (let looks = 0; looks < 3; looks++) await world.look();
    expect(world.job()).toMatchObject({ state: 'running', members: [member('a')], generation: 1 });
    expect(world.said).toEqual(['a of exp.train.0.0.0 cannot be heard; no other worker is free, so it is waited for']);
    // It is heard again, and falls silent once more.
    world.losses.delete('a');
    await world.look();
    world.losses.set('a', 'silent');
    await world.look();
    expect(world.said).toHaveLength(2);

    world.alive = [presence('b', 'idle')];
    await world.look();
    expect(world.job()).toMatchObject({ state: 'queued', attempts: 0, absences: 1 });
  });

  it('is given back where another job has members to spare', async () => {
    const other = running({ id: 'exp.train.0.0.1', minSeats: 1, members: [member('b'), member('c')] });
    const world = new World(running(), other);
    world.losses.set('a', 'silent');
    await world.look();
    expect(world.job().state).toBe('queued');
    expect(world.job(other.id).state).toBe('running');
  });

  it('is an attempt where one of a group has ended, and is left alone while one of it is there', async () => {
    const world = new World(running({ members: [member('a'), member('b')] }));
    world.losses.set('a', 'gone');
    await world.look();
    expect(world.job().state).toBe('running');
    world.losses.set('b', 'silent');
    await world.look();
    expect(world.job()).toMatchObject({ state: 'queued', attempts: 1 });
  });
});
