import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { z } from 'zod';

const root = resolve(import.meta.dirname, '../..');
/** Where setup/prometheus.mjs leaves a link to what it fetched. */
const fetched = join(root, 'node_modules/.crossfold/prometheus');

function find(name: string): string | undefined {
  const found = spawnSync('sh', ['-c', `command -v ${name}`], { encoding: 'utf8' }).stdout.trim();
  return found !== '' ? found : existsSync(join(fetched, name)) ? join(fetched, name) : undefined;
}

const programs = { prometheus: find('prometheus'), promtool: find('promtool') };
/** Tests that need Prometheus are skipped where it cannot be had, except where everything is to be tested. */
export const withoutPrometheus =
  (programs.prometheus === undefined || programs.promtool === undefined) && !process.env.CI;

const program = (name: keyof typeof programs): string => {
  const found = programs[name];
  if (found === undefined) throw new Error(`${name} is not on the PATH, and setup/prometheus.mjs could not fetch it`);
  return found;
};

/** Runs promtool; what it says, where it ends well. */
export function promtool(cwd: string, ...words: readonly string[]): string {
  return execFileSync(program('promtool'), words, { cwd, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
}

export interface Sample {
  readonly metric: Readonly<Record<string, string>>;
  readonly value: number;
}

export interface TestPrometheus {
  readonly url: string;
  /** What an expression is now. */
  query(expr: string): Promise<Sample[]>;
  /** What it was over the last `seconds`, by series: times in seconds since 1970, and values. */
  range(
    expr: string,
    seconds: number,
    step: number,
  ): Promise<{ metric: Sample['metric']; values: [number, number][] }[]>;
  /**
   * Resolves once every target has been scraped, and every rule worked out, after this moment: what is shown then is how
   * things are now.
   *
   * @throws Error naming the targets that were not within `seconds`
   */
  scraped(seconds?: number): Promise<void>;
  /** Every rule that is loaded, and how it went when it was worked out last. */
  rules(): Promise<readonly RuleHealth[]>;
  stop(): Promise<void>;
}

const Targets = z.object({
  activeTargets: z.array(
    z.object({ labels: z.record(z.string(), z.string()), lastScrape: z.string(), health: z.string() }),
  ),
});
const RuleHealth = z.object({ name: z.string(), health: z.string(), lastError: z.string().exactOptional() });
type RuleHealth = z.infer<typeof RuleHealth>;
const Rules = z.object({
  groups: z.array(z.object({ name: z.string(), lastEvaluation: z.string(), rules: z.array(RuleHealth) })),
});

/** A real Prometheus with a configuration of the test's; it ends with the test. */
export async function startPrometheus(
  config: string,
  files: Readonly<Record<string, string>> = {},
): Promise<TestPrometheus> {
  const folder = await mkdtemp(join(tmpdir(), 'crossfold-prometheus-'));
  for (const [name, text] of Object.entries({ ...files, 'prometheus.yml': config })) {
    await mkdir(join(folder, name, '..'), { recursive: true });
    await writeFile(join(folder, name), text);
  }
  const port = await freePort();
  const child = spawn(
    program('prometheus'),
    [
      `--config.file=${join(folder, 'prometheus.yml')}`,
      `--storage.tsdb.path=${join(folder, 'data')}`,
      `--web.listen-address=127.0.0.1:${port}`,
      '--log.level=warn',
    ],
    { stdio: ['ignore', 'ignore', 'pipe'] },
  );
  let log = '';
  child.stderr.on('data', (text: Buffer) => {
    log += text.toString();
  });
  const url = `http://127.0.0.1:${port}`;
  const stop = async (): Promise<void> => {
    if (child.exitCode === null && child.signalCode === null) {
      child.kill('SIGKILL');
      await once(child, 'exit');
    }
    await rm(folder, { recursive: true, force: true });
  };
  for (const until = performance.now() + 30_000; ; ) {
    if (
      await fetch(`${url}/-/ready`).then(
        (r) => r.ok,
        () => false,
      )
    )
      break;
    if (child.exitCode !== null || performance.now() > until) {
      await stop();
      throw new Error(`prometheus did not start: ${log}`);
    }
    await new Promise((done) => setTimeout(done, 50));
  }
  const ask = async (path: string, parameters: Readonly<Record<string, string>>): Promise<unknown> => {
    const response = await fetch(`${url}/api/v1/${path}?${new URLSearchParams(parameters)}`);
    const answer = (await response.json()) as { status: string; error?: string; data: unknown };
    if (answer.status !== 'success') throw new Error(`${parameters.query ?? path}: ${answer.error}`);
    return answer.data;
  };
  const askFor = async (path: string, parameters: Readonly<Record<string, string>>): Promise<unknown> =>
    ((await ask(path, parameters)) as { result: unknown }).result;
  /** What is still as it was before `since`, epoch milliseconds; where targets are not, their time is when all were. */
  const stale = async (since: number): Promise<{ targets: string[]; at: number }> => {
    const { activeTargets } = Targets.parse(await ask('targets', { state: 'active' }));
    const targets = activeTargets.filter(
      ({ lastScrape, health }) => health !== 'up' || Date.parse(lastScrape) <= since,
    );
    const at = Math.max(...activeTargets.map(({ lastScrape }) => Date.parse(lastScrape)));
    return { targets: targets.map(({ labels }) => labels.instance ?? ''), at };
  };
  return {
    url,
    async query(expr) {
      const result = (await askFor('query', { query: expr })) as {
        metric: Sample['metric'];
        value: [number, string];
      }[];
      return result.map(({ metric, value }) => ({ metric, value: Number(value[1]) }));
    },
    async range(query, seconds, step) {
      const end = Date.now() / 1000;
      const result = await askFor('query_range', { query, start: `${end - seconds}`, end: `${end}`, step: `${step}` });
      return (result as { metric: Sample['metric']; values: [number, string][] }[]).map(({ metric, values }) => ({
        metric,
        values: values.map(([at, value]) => [at, Number(value)]),
      }));
    },
    async scraped(seconds = 60) {
      const since = Date.now();
      const until = since + 1000 * seconds;
      const again = (): Promise<void> => new Promise((done) => setTimeout(done, 50));
      let last = await stale(since);
      for (; last.targets.length > 0; last = await stale(since)) {
        if (Date.now() > until) throw new Error(`gave up waiting for ${last.targets.join(', ')} to be scraped`);
        await again();
      }
      for (;;) {
        const { groups } = Rules.parse(await ask('rules', {}));
        if (groups.every(({ lastEvaluation }) => Date.parse(lastEvaluation) > last.at)) return;
        if (Date.now() > until) throw new Error('gave up waiting for the rules to be worked out');
        await again();
      }
    },
    async rules() {
      return Rules.parse(await ask('rules', {})).groups.flatMap(({ rules }) => rules);
    },
    stop,
  };
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}
