import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { Cluster, Datasets, Run } from 'crossfold';
import * as library from 'crossfold';
import { beforeAll, describe, expect, it } from 'vitest';
import { helped } from '../support/helped.ts';

const page = readFileSync(join(resolve(import.meta.dirname, '../..'), 'docs/library.md'), 'utf8');

interface Row {
  readonly calls: string;
  readonly options: readonly string[];
}

/** Rows of the table of commands, by command. */
const rows = new Map<string, Row>(
  (page.split('\n## What each command is here\n')[1]?.split('\n## ')[0] ?? '')
    .split('\n')
    .filter((line) => line.startsWith('| `'))
    .flatMap((line) => {
      const [, commands = '', calls = '', options = ''] = line.split(/(?<!\\)\|/);
      const own = [...options.matchAll(/`(--[\w-]+)`/g)].map(([, flag = '']) => flag);
      return [...commands.matchAll(/`([^`]+)`/g)].map(
        ([, command = '']) => [command, { calls, options: own }] as const,
      );
    }),
);

// What has no value to ask: the compiler holds each against its type.
const ofCluster = {
  url: true,
  submit: true,
  run: true,
  datasets: true,
  list: true,
  remove: true,
  removeAll: true,
  close: true,
} satisfies Record<keyof Cluster, true>;
const ofRun = {
  id: true,
  events: true,
  finished: true,
  record: true,
  jobs: true,
  standing: true,
  cancel: true,
  resume: true,
  refit: true,
  logs: true,
  followLogs: true,
  recordTimeline: true,
} satisfies Record<keyof Run, true>;
const ofDatasets = {
  import: true,
  list: true,
  show: true,
  verify: true,
  remove: true,
} satisfies Record<keyof Datasets, true>;
const members: Readonly<Record<string, object>> = {
  cluster: ofCluster,
  run: ofRun,
  datasets: ofDatasets,
  finished: library.FinishedRun.prototype,
  model: library.Model.prototype,
  nets: library.Nets.prototype,
};

describe('the table of commands and calls', () => {
  let verbs: Map<string, string[]>;
  beforeAll(async () => {
    verbs = await helped();
    // Those that only hold others.
    for (const above of ['data', 'inspect']) verbs.delete(above);
  });

  it('has every command, and none that is not there', () => {
    expect([...rows.keys()].sort()).toEqual([...verbs.keys()].sort());
  });

  it('names calls for each, or says why there are none', () => {
    const bare = [...rows].filter(([, { calls }]) => !/`[\w.]+\(/.test(calls) && !/^ none: \w+/.test(calls));
    expect(bare).toEqual([]);
  });

  it('says what every option of a command is', () => {
    const everywhere = new Set(['--help', '--nats', '--json']);
    const missing = [...verbs].flatMap(([verb, flags]) => {
      const row = rows.get(verb);
      if (row === undefined || row.calls.startsWith(' none: ')) return [];
      const wanted = flags.filter((flag) => !everywhere.has(flag));
      return [
        ...wanted.filter((flag) => !row.options.includes(flag)).map((flag) => `${verb} ${flag} is not there`),
        ...row.options.filter((flag) => !wanted.includes(flag)).map((flag) => `${verb} has no ${flag}`),
      ];
    });
    expect(missing).toEqual([]);
  });

  it('and the page name calls that there are', () => {
    const called = [...page.matchAll(/`(?:(\w+)\.)?(\w+)\(/g)].map(([, of, name = '']) => ({ of, name }));
    expect(called.length).toBeGreaterThan(80);
    const unknown = called.filter(({ of, name }) =>
      of === undefined ? !(name in library) : !(name in (members[of] ?? {})),
    );
    expect(unknown).toEqual([]);
  });
});
