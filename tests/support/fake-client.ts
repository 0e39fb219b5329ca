import type { CommandContext } from '@crossfold/coordinator/cli/context';
import { cancel, resume } from '@crossfold/coordinator/client/control';
import type { ExperimentClient, Outcome } from '@crossfold/coordinator/client/types';
import type { EmbeddedOptions } from '@crossfold/coordinator/cluster/embedded';
import { localLibrary } from '@crossfold/coordinator/datasets/local-library';
import type { Experiment } from '@crossfold/shared/config/experiment';
import { ConfigError } from '@crossfold/shared/errors';
import type { ExperimentRecord } from '@crossfold/shared/jobs/records';
import type { ProgressEvent } from '@crossfold/shared/progress';

const blob = { digest: '0'.repeat(64), bytes: 1 };

export const experimentRecord = (id: string, changes: Partial<ExperimentRecord> = {}): ExperimentRecord => ({
  schema: 1,
  id,
  name: 'x',
  state: 'completed',
  spec: blob,
  source: blob,
  manifest: null,
  folds: null,
  plan: null,
  results: null,
  jobs: 1,
  priority: 0,
  maxConcurrentJobs: null,
  fresh: false,
  final: 'fold',
  cancelled: [],
  resumed: [],
  error: null,
  badConfiguration: false,
  createdAt: 0,
  startedAt: 0,
  finishedAt: 1000,
  ...changes,
});

/** A cluster as commands see it, without one. */
export interface FakeWorld {
  readonly context: CommandContext;
  /** What was written so far. */
  readonly out: () => string;
  readonly err: () => string;
  readonly interrupt: () => void;
  /** What was done, in order: `connect nats://...`, `submit ID`, `start 2`, `stop drain`, `remove` (a cluster), `close`. */
  readonly done: string[];
  readonly submitted: Map<string, Experiment>;
  readonly records: Map<string, ExperimentRecord>;
  readonly started: EmbeddedOptions[];
}

export interface FakeBehaviour {
  readonly env?: NodeJS.ProcessEnv;
  /** What following yields; by default the experiment completes at once. */
  readonly follow?: (id: string, signal: AbortSignal, world: FakeWorld) => AsyncIterable<ProgressEvent>;
  readonly outcome?: (id: string, world: FakeWorld) => Partial<Outcome>;
  readonly connect?: (url: string) => Promise<void>;
}

export function fakeWorld(behaviour: FakeBehaviour = {}): FakeWorld {
  let out = '';
  let err = '';
  const interrupts = new Set<() => void>();
  const world: FakeWorld = {
    out: () => out,
    err: () => err,
    interrupt: () => {
      for (const listener of interrupts) listener();
    },
    done: [],
    submitted: new Map(),
    records: new Map(),
    started: [],
    context: {
      env: behaviour.env ?? {},
      out: { write: (text) => (out += text) },
      err: { write: (text) => (err += text) },
      date: () => new Date(Date.UTC(2026, 0, 2, 3, 4, 5)),
      now: () => performance.now(),
      suffix: () => 0xbeef,
      async connect(url) {
        await behaviour.connect?.(url);
        world.done.push(`connect ${url}`);
        return client;
      },
      async startCluster(options) {
        world.done.push(`start ${options.workers}`);
        world.started.push(options);
        return {
          url: 'nats://crossfold:secret@127.0.0.1:1',
          http: () => new Map(),
          pids: () => [],
          async stop(how) {
            world.done.push(`stop ${how}`);
          },
          async remove() {
            world.done.push('remove');
          },
        };
      },
      onInterrupt(listener) {
        interrupts.add(listener);
        return () => interrupts.delete(listener);
      },
    },
  };
  const known = (id: string): ExperimentRecord => {
    const record = world.records.get(id);
    if (record === undefined) throw new ConfigError(`there is no experiment ${id}`);
    return record;
  };
  const client: ExperimentClient = {
    datasets: localLibrary({ CROSSFOLD_CACHE: '/nonexistent' }),
    async submit(experiment, _baseDir, id, { fresh = false } = {}) {
      world.done.push(`submit ${id}${fresh ? ' fresh' : ''}`);
      world.submitted.set(id, experiment);
      world.records.set(id, experimentRecord(id, { state: 'running' }));
    },
    async *follow(id, signal) {
      known(id);
      if (behaviour.follow !== undefined) yield* behaviour.follow(id, signal, world);
      else {
        world.records.set(id, experimentRecord(id));
        yield { type: 'experiment', state: 'completed' };
      }
    },
    async outcome(id) {
      const experiment = world.submitted.get(id);
      if (experiment === undefined) throw new Error('never submitted');
      const outcome = { record: known(id), experiment, results: undefined, folds: undefined, models: [] };
      return { ...outcome, ...behaviour.outcome?.(id, world) };
    },
    list: async () => [...world.records.values()],
    listen: async () => new Map(),
    jobs: async () => [],
    async refit(id, final, trial) {
      const record = known(id);
      world.done.push(`refit ${id} ${final} ${trial ?? 'best'}`);
      return record;
    },
    async cancel(id, selection = {}) {
      world.done.push(`cancel ${id} ${JSON.stringify(selection)}`);
      world.records.set(id, cancel(known(id), selection, 0) ?? known(id));
      return known(id);
    },
    async resume(id, selection = {}) {
      world.done.push(`resume ${id} ${JSON.stringify(selection)}`);
      world.records.set(id, resume(known(id), selection));
      return known(id);
    },
    async remove(unwanted, { dryRun = false } = {}) {
      const ids = 'ids' in unwanted ? unwanted.ids : [...world.records.keys()];
      world.done.push(`${dryRun ? 'would remove' : 'remove'} ${ids.join(' ')}`);
      return ids.map((id) => {
        const { name, state, finishedAt } = known(id);
        return { id, name, state, finishedAt, jobs: 1, artifacts: 1500, data: 0 };
      });
    },
    logs: async () => [],
    async *followLogs() {},
    async recordTimeline(id, file) {
      world.done.push(`record ${id} to ${file}`);
      return {
        async stop() {
          world.done.push('stop recording');
          return { events: 3, left: 0, uncertaintyMs: 0.5 };
        },
      };
    },
    async close() {
      world.done.push('close');
    },
  };
  return world;
}
