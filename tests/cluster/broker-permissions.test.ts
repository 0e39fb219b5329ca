import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { BrokerUser } from '@crossfold/coordinator/deploy/broker-users';
import { brokerUsers, renderAuthorization } from '@crossfold/coordinator/deploy/broker-users';
import type { Broker } from '@crossfold/shared/broker/broker';
import { openBroker } from '@crossfold/shared/broker/broker';
import { connectBroker } from '@crossfold/shared/broker/connection';
import { groupSecret } from '@crossfold/shared/broker/group-key';
import { createUserKey } from '@crossfold/shared/broker/keys';
import type { Role } from '@crossfold/shared/broker/permissions';
import { allStreams, roles } from '@crossfold/shared/broker/permissions';
import { GroupKeyStream, groupKeySubject, seatSubject } from '@crossfold/shared/broker/subjects';
import type { NatsConnection } from 'nats';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { TestBroker } from '../support/broker.ts';
import { startBroker } from '../support/broker.ts';
import { aJob } from '../support/records.ts';

// A real server with the users and permissions that deployments get.
let folder: string;
let server: TestBroker;
const open = new Map<Role, Broker>();
const brokerOf = (role: Role): Broker => {
  const broker = open.get(role);
  if (broker === undefined) throw new Error(`${role} is not connected`);
  return broker;
};
const seedOf = (user: string): string => join(folder, `${user}.nk`);
const urlOf = (user: string): string => `${server.url}?credentials=${encodeURIComponent(seedOf(user))}`;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'crossfold-permissions-'));
  const keys = new Map<BrokerUser, string>();
  for (const user of brokerUsers) {
    const { seed, publicKey } = createUserKey();
    await writeFile(seedOf(user), `${seed}\n`, { mode: 0o600 });
    keys.set(user, publicKey);
  }
  await writeFile(seedOf('stranger'), createUserKey().seed);
  const config = join(folder, 'nats.conf');
  await writeFile(
    config,
    renderAuthorization((user) => keys.get(user) ?? ''),
  );
  server = await startBroker({ config });
  // Those who may not make streams come first, and wait for the one who may.
  const waiting = (['worker', 'client'] as const).map(async (role) => {
    open.set(role, await openBroker(urlOf(role), role, { role }));
  });
  open.set('coordinator', await openBroker(urlOf('coordinator'), 'coordinator', { role: 'coordinator' }));
  await Promise.all(waiting);
});
afterAll(async () => {
  for (const broker of open.values()) await broker.close();
  await server.stop();
  await rm(folder, { recursive: true, force: true });
});

/** Whether the server refuses to pass a message on. */
async function refused(nats: NatsConnection, subject: string): Promise<boolean> {
  const status = nats.status();
  nats.publish(subject, new Uint8Array(0));
  const answer = nats.flush().then(() => 'passed' as const);
  const seen = (async () => {
    for await (const event of status) if (String(event.data) === 'PERMISSIONS_VIOLATION') return 'refused' as const;
    return 'passed' as const;
  })();
  // The server answers in order: a refusal comes before the flush's pong.
  const first = await Promise.race([seen, answer.then(() => new Promise<'passed'>((r) => setImmediate(r, 'passed')))]);
  return first === 'refused';
}

const job = aJob({ id: 'permitted.train.0.0.0', identity: 'cpu' });

describe('with its own credentials', () => {
  it('a coordinator writes records, cuts data and gives out seats that a worker takes', async () => {
    const coordinator = brokerOf('coordinator');
    const worker = brokerOf('worker');
    expect(await coordinator.jobs.create(job.id, job)).toBe(true);
    const line = worker.seats.line('cpu');
    await coordinator.seats.offer('cpu', job.id);
    const seat = await line.next(2000);
    expect(seat?.job).toBe(job.id);
    seat?.acknowledge();
    await expect.poll(() => coordinator.seats.waiting()).toEqual(new Map());
    await coordinator.seats.clear();
    const shard = await coordinator.data.put(new Uint8Array([1, 2, 3]));
    expect([...(await worker.data.get(shard, 10))]).toEqual([1, 2, 3]);
    expect(await coordinator.leases.create('leader', { holder: 'c', renewals: 0 })).toBe(true);
    await coordinator.leases.delete('leader');
  });

  it('coordinators and workers know the key of groups, which no client can read or exchange', async () => {
    const key = await brokerOf('worker').groupKey.read();
    expect(key).toMatch(/^[\w-]{43}$/);
    expect(await brokerOf('coordinator').groupKey.read()).toBe(key);
    const client = brokerOf('client');
    expect(await client.groupKey.read()).toBeUndefined();
    // What it knows of a group is not enough to get in.
    const group = { id: job.id, generation: 1, secret: 'as the record has it' };
    expect(groupSecret(key ?? '', group)).not.toBe(groupSecret('', group));
    // JetStream sends its answers wherever it is told to: not here.
    client.nats.publish('$JS.API.INFO', undefined, { reply: groupKeySubject });
    const manager = await brokerOf('coordinator').nats.jetstreamManager();
    await client.nats.flush();
    const another = await openBroker(urlOf('worker'), 'another', { role: 'worker' });
    expect(await another.groupKey.read()).toBe(key);
    await another.close();
    expect((await manager.streams.info(GroupKeyStream)).state.last_seq).toBe(1);
  });

  it('a worker changes jobs, keeps checkpoints and is watched', async () => {
    const worker = brokerOf('worker');
    const client = brokerOf('client');
    const stop = new AbortController();
    const attempts: number[] = [];
    await client.jobs.watch(
      'permitted.>',
      stop.signal,
      ({ value }) => attempts.push(value.attempts),
      () => undefined,
    );
    await worker.jobs.transition(job.id, (current) => ({ ...current, attempts: 3 }));
    await expect.poll(() => attempts.at(-1)).toBe(3);
    stop.abort();
    const checkpoint = await worker.artifacts.put(new Uint8Array(300_000));
    expect((await client.artifacts.get(checkpoint, 300_000)).length).toBe(300_000);
    await worker.artifacts.remove(checkpoint);
    expect(await worker.artifacts.has(checkpoint)).toBe(false);
    expect(await worker.jobs.keys('permitted.>')).toEqual([job.id]);
  });

  it('a client uploads, and follows what workers and the leader say', async () => {
    const client = brokerOf('client');
    const source = await client.data.put(new Uint8Array(400_000).fill(7));
    expect(await brokerOf('coordinator').data.has(source)).toBe(true);
    const heard = new Promise<string>((resolve) => {
      client.nats.subscribe('crossfold.progress.permitted.>', { callback: (_, message) => resolve(message.string()) });
    });
    await client.nats.flush();
    brokerOf('worker').nats.publish('crossfold.progress.permitted.train.0.0.0', 'an epoch');
    expect(await heard).toBe('an epoch');
  });
});

describe('refused by the server', () => {
  const forbidden: readonly (readonly [Role, string, string])[] = [
    ['worker', 'submits an experiment', '$KV.crossfold_experiments.x'],
    ['worker', 'leads', '$KV.crossfold_leases.leader'],
    ['worker', 'gives out seats', seatSubject('cpu')],
    ['worker', 'changes a data set', '$O.crossfold_data.C.x'],
    ['worker', 'purges a data set', '$JS.API.STREAM.PURGE.OBJ_crossfold_data'],
    ['worker', 'makes a stream', '$JS.API.STREAM.CREATE.KV_crossfold_jobs'],
    ['worker', "puts a groups' key of its own", groupKeySubject],
    ['client', "puts a groups' key of its own", groupKeySubject],
    ['client', "reads the groups' key", `$JS.API.STREAM.MSG.GET.${GroupKeyStream}`],
    ['client', "has the groups' key sent", `$JS.API.CONSUMER.CREATE.${GroupKeyStream}`],
    ['client', 'changes a job', '$KV.crossfold_jobs.permitted.train.0.0.0'],
    ['client', 'leads', '$KV.crossfold_leases.leader'],
    ['client', 'gives out seats', seatSubject('cpu')],
    ['client', 'takes seats', '$JS.API.CONSUMER.MSG.NEXT.CROSSFOLD_SEATS.seats-cpu'],
    ['client', 'takes a seat off the queue', '$JS.ACK.CROSSFOLD_SEATS.seats-cpu.1.1.1.1.0'],
    ['client', 'speaks in a group', 'crossfold.group.permitted.train.0.0.0.1.all'],
    ['client', 'passes for a worker', 'crossfold.presence.w1'],
    ['coordinator', 'speaks in a group', 'crossfold.group.permitted.train.0.0.0.1.all'],
    ...roles.flatMap((role) => [
      [role, 'deletes a stream', '$JS.API.STREAM.DELETE.KV_crossfold_jobs'] as const,
      [role, 'uses subjects of others', 'elsewhere.x'] as const,
      // With an answer's subject of its choice it would have JetStream do what it may not ask for itself.
      [role, 'has what is stored sent as it is', '$JS.API.DIRECT.GET.OBJ_crossfold_data'] as const,
      [role, 'has a piece sent as it is', '$JS.API.DIRECT.GET.OBJ_crossfold_data.$O.crossfold_data.C.x'] as const,
      [role, 'answers in place of others', '_INBOX.x.y'] as const,
    ]),
  ];
  it('what is allowed is not', async () => {
    expect(await refused(brokerOf('worker').nats, 'crossfold.presence.w1')).toBe(false);
    expect(await refused(brokerOf('coordinator').nats, seatSubject('other'))).toBe(false);
  });

  it.each(forbidden)('a %s that %s', async (role, _, subject) => {
    expect(await refused(brokerOf(role).nats, subject)).toBe(true);
  });

  it.each(roles)('a %s that listens to what others are told', async (role) => {
    const { nats } = brokerOf(role);
    for (const other of roles.filter((r) => r !== role)) {
      const outcome = new Promise<string>((resolve) => {
        nats.subscribe(`_INBOX.${other}.>`, { callback: (error) => resolve(error?.code ?? 'a message') });
      });
      expect(await outcome).toBe('PERMISSIONS_VIOLATION');
    }
  });

  it('a record of an experiment by a worker is an error, and nothing is written', async () => {
    const { experiments } = brokerOf('worker');
    await expect(experiments.delete('permitted')).rejects.toThrow(/permission/i);
    expect(await brokerOf('coordinator').experiments.keys('>')).toEqual([]);
  });

  it.each(['stranger'])('a %s', async (who) => {
    await expect(connectBroker(urlOf(who), 'test')).rejects.toThrow('refused the credentials');
  });

  it('who has no credentials, a password, or a token', async () => {
    const { port } = server;
    for (const given of ['', 'coordinator:coordinator@', 'token@'])
      await expect(connectBroker(`nats://${given}127.0.0.1:${port}`, 'test')).rejects.toThrow(
        'refused the credentials',
      );
  });
});

describe('an operator', () => {
  it('may do everything, so that streams can be backed up', async () => {
    const nats = await connectBroker(urlOf('operator'), 'test');
    const manager = await nats.jetstreamManager();
    const names: string[] = [];
    for await (const stream of manager.streams.list()) names.push(stream.config.name);
    expect(names.sort()).toEqual([...allStreams].sort());
    await nats.close();
  });
});

describe('a role that waits for streams that nobody makes', () => {
  it('says whom it waits for', async () => {
    const config = join(folder, 'nats.conf');
    const other = await startBroker({ config });
    const url = `${other.url}?credentials=${encodeURIComponent(seedOf('worker'))}`;
    await expect(openBroker(url, 'worker', { role: 'worker', settleMs: 600 })).rejects.toThrow(
      /is a coordinator running/,
    );
    await other.stop();
  });
});
