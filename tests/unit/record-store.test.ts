import { unwatchedBorder } from '@crossfold/shared/border';
import { Link } from '@crossfold/shared/broker/link';
import { RecordStore } from '@crossfold/shared/broker/record-store';
import { UnreachableError } from '@crossfold/shared/errors';
import type { JetStreamManager, KV, NatsConnection } from 'nats';
import { NatsError } from 'nats';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';

const refusal = (code: number, error: number): NatsError => {
  const refused = new NatsError('refused', String(code));
  refused.api_error = { code, err_code: error, description: 'refused' };
  return refused;
};
/** As a server says that keeps copies: another write of the record is not settled. */
const underWay = () => refusal(400, 10164);
const stale = () => refusal(400, 10071);

/** A store of one record, whose bucket meets writes with these answers first. */
function store(answers: (() => Error)[], patienceMs = 5000) {
  let value: { n: number } | undefined;
  let revision = 0;
  const writes: string[] = [];
  const write = async (what: string, data: Uint8Array): Promise<number> => {
    writes.push(what);
    const refused = answers.shift();
    if (refused !== undefined) throw refused();
    value = JSON.parse(new TextDecoder().decode(data));
    return ++revision;
  };
  const kv = {
    get: async () =>
      value && { operation: 'PUT', key: 'k', value: new TextEncoder().encode(JSON.stringify(value)), revision },
    create: (_key: string, data: Uint8Array) => write('create', data),
    update: (_key: string, data: Uint8Array, from: number) => write(`update ${from}`, data),
  };
  const nats = {
    status: () => ({ async *[Symbol.asyncIterator]() {} }),
    closed: () => new Promise(() => undefined),
    isClosed: () => false,
  };
  const link = new Link(nats as unknown as NatsConnection, { patienceMs });
  const parts = {
    kv: kv as unknown as KV,
    manager: {} as JetStreamManager,
    link,
    bucket: 'b',
    border: unwatchedBorder,
  };
  return {
    records: new RecordStore({ ...parts, schema: z.object({ n: z.number() }), keyOf: () => undefined }),
    writes,
  };
}

describe('a record of which another write is under way', () => {
  it('is read again, and changed once that is settled', async () => {
    const answers: (() => Error)[] = [];
    const { records, writes } = store(answers);
    await records.create('k', { n: 0 });
    answers.push(underWay, underWay, stale);
    expect(await records.update('k', { n: 1 }, 1)).toBe(false);
    expect(await records.transition('k', ({ n }) => ({ n: n + 1 }))).toEqual({ n: 1 });
    expect(writes).toEqual(['create', 'update 1', 'update 1', 'update 1', 'update 1']);
  });

  it('is not taken for one that exists before that is known', async () => {
    const free = store([underWay, underWay]);
    expect(await free.records.create('k', { n: 0 })).toBe(true);
    const taken = store([underWay, stale]);
    expect(await taken.records.create('k', { n: 0 })).toBe(false);
    await expect(store(new Array(99).fill(underWay), 200).records.create('k', { n: 0 })).rejects.toThrow(
      UnreachableError,
    );
  });
});
