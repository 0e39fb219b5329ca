import { experimentIn, filterOf, mergeLogs } from '@crossfold/coordinator/logs/select';
import { LogShipper, logsKept } from '@crossfold/shared/broker/log-stream';
import { prettyLine } from '@crossfold/shared/log-format';
import { createLogger } from '@crossfold/shared/logger';
import { LogPlace } from '@crossfold/worker/observe/log-place';
import type { GroupPlace, SteppedFacts } from '@crossfold/worker/observe/observer';
import type { NatsConnection } from 'nats';
import { describe, expect, it } from 'vitest';
import { aJob } from '../support/records.ts';

const line = (second: number, over: Record<string, unknown>): string =>
  JSON.stringify({ level: 'info', time: `2026-01-01T00:00:0${second}.000Z`, service: 'w', ...over });

describe('lines of several logs', () => {
  const logs = [
    [line(1, { msg: 'a', experiment: 'e' }), line(3, { msg: 'c', job: 'e.train.0.0.1' }), 'not a line', ''],
    [
      line(2, { msg: 'b', experiment: 'e', level: 'warn' }),
      line(2, { msg: 'other', experiment: 'f' }),
      line(4, { msg: 'd', level: 'debug', experiment: 'e' }),
      line(5, { msg: 'of the service' }),
    ],
  ];
  const said = (lines: readonly string[]): unknown[] => lines.map((one) => JSON.parse(one).msg);

  it('are those of the experiment, in order of time', () => {
    expect(said(mergeLogs(logs, { experiment: 'e', level: 'info' }, false))).toEqual(['a', 'b', 'c']);
    expect(said(mergeLogs(logs, { experiment: 'e', level: 'debug' }, true))).toEqual([
      'a',
      'b',
      'c',
      'd',
      'of the service',
    ]);
    expect(said(mergeLogs(logs, { experiment: 'e', level: 'warn' }, true))).toEqual(['b']);
  });

  it('are those of one job where one is named', () => {
    expect(filterOf('e.train.0.0.1', 'info')).toEqual({ experiment: 'e', job: 'e.train.0.0.1', level: 'info' });
    expect(said(mergeLogs(logs, filterOf('e.train.0.0.1', 'info'), true))).toEqual(['c']);
    expect(experimentIn('runs/some.folder')).toBe('runs/some.folder');
  });
});

describe('what is sent to the broker', () => {
  const broker = (): { nats: NatsConnection; sent: [string, string][] } => {
    const sent: [string, string][] = [];
    const nats = { isClosed: () => false, publish: (to: string, what: string) => sent.push([to, what]) };
    return { nats: nats as unknown as NatsConnection, sent };
  };

  it('is what is about an experiment, from before the broker was there too', () => {
    const { nats, sent } = broker();
    const shipper = new LogShipper();
    const log = createLogger({
      service: 'w',
      to: { write: () => undefined },
      tap: (text) => shipper.take(text),
      env: {},
    });
    log.info({ experiment: 'e' }, 'early');
    shipper.attach(nats);
    log.info('nobody’s');
    log.info({ job: 'f.train.0.0.0' }, 'at nats://me:secret@host');
    log.info({ experiment: 'a b', job: 3 }, 'no name');
    log.info({ experiment: 'e' }, 'x'.repeat(logsKept.lineBytes));
    expect(sent.map(([to]) => to)).toEqual(['crossfold.logs.e', 'crossfold.logs.f']);
    expect(JSON.parse(sent[0]?.[1] ?? '')).toMatchObject({ msg: 'early', service: 'w' });
    expect(JSON.stringify(sent)).not.toContain('secret');
  });

  it('is no flood', () => {
    const { nats, sent } = broker();
    let now = 0;
    const shipper = new LogShipper(() => now);
    shipper.attach(nats);
    for (let i = 0; i < 1000; i++) shipper.take(line(1, { experiment: 'e' }));
    expect(sent).toHaveLength(200);
    now = 1000;
    shipper.take(line(1, { experiment: 'e' }));
    expect(sent).toHaveLength(201);
  });
});

describe('lines for people', () => {
  const show = prettyLine(false);

  it('have who, where and what on one line', () => {
    const shown = show(
      line(1, {
        service: 'worker-1',
        experiment: 'e',
        job: 'e.train.0.0.1',
        fold: '1',
        rank: 0,
        step: 12,
        peer: 'w-2',
        msg: 'lost',
      }),
    );
    expect(shown).toMatch(/^\[\d\d:00:01\.000\] INFO: worker-1 \(fold 1, rank 0, step 12\): lost \{"peer":"w-2"\}\n$/);
  });

  it('are what a terminal gets, or whoever asks for them', () => {
    const lines: string[] = [];
    const to = { write: (text: string) => lines.push(text) };
    createLogger({ service: 'w', to, env: { CROSSFOLD_LOG_FORMAT: 'pretty' } }).info('x');
    // A file or a stream of one's own stays as machines read it.
    expect(JSON.parse(lines[0] ?? '')).toMatchObject({ msg: 'x' });
  });
});

it('a worker’s lines say where in its job it is', () => {
  const place = new LogPlace();
  const lines: Record<string, unknown>[] = [];
  const to = { write: (text: string) => lines.push(JSON.parse(text)) };
  const log = createLogger({ service: 'w', to, fields: () => place.fields(), env: {} });
  place.entered({ record: aJob({ generation: 3 }), rank: 1 } as GroupPlace);
  place.stepped({ epoch: 0, step: 6 } as SteppedFacts);
  log.child({ experiment: 'e' }).error({ err: new Error('of this line'), job: 'e.train.0.0.0' }, 'inside');
  log.info('still inside');
  place.left();
  log.info('outside');
  expect(lines[0]).toMatchObject({ experiment: 'e', generation: 3, rank: 1, epoch: 1, step: 7 });
  // What one line says is not carried on to the next.
  expect(lines[1]).toMatchObject({ generation: 3, rank: 1 });
  for (const field of ['err', 'job', 'experiment']) expect(lines[1]).not.toHaveProperty(field);
  expect(lines[2]).not.toHaveProperty('rank');
});
