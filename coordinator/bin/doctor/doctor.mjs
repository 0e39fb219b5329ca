/**
 * `crossfold doctor`: what a machine has of what Crossfold needs. Plain JavaScript on nothing but Node, because it has to
 * run where packages, engine or build are missing; what it asks of those it asks in processes of their own.
 */
import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { broker, clock } from './broker.mjs';
import { compiler, engine, gpu } from './engine.mjs';
import { build, disk, memory, natsServer, node, packages, ports, python } from './machine.mjs';

/**
 * What one check has found. `warn`: things work, but not as well as they could; `fail`: something does not work.
 * @typedef {{ status: 'ok' | 'warn' | 'fail', found: string, remedy?: readonly string[] }} Finding
 * @typedef {Finding & { check: string }} Named
 */

/**
 * What checks know of the world.
 * @typedef {{
 *   root: string,
 *   env: NodeJS.ProcessEnv,
 *   nats: string | undefined,
 *   setup: typeof import('./setup.mjs') | undefined,
 *   identity: () => Promise<import('./engine.mjs').Loaded>,
 *   asked: () => Promise<import('./broker.mjs').Asked>,
 * }} Patient setup is there in a checkout only; the last two ask once, whoever asks first
 */

/** @type {Readonly<Record<string, (patient: Patient) => Promise<Finding | undefined>>>} a check that does not apply finds nothing */
const checks = {
  node,
  packages,
  build,
  compiler,
  python,
  engine,
  gpu,
  'nats-server': natsServer,
  broker,
  clock,
  ports,
  disk,
  memory,
};

const root = resolve(import.meta.dirname ?? new URL('.', import.meta.url).pathname, '../../..');

/**
 * @param {{ env: NodeJS.ProcessEnv, nats?: string | undefined, root?: string }} world
 * @returns {Promise<Named[]>}
 */
export async function examine({ env, nats, root: where = root }) {
  const setup = existsSync(join(where, 'setup', 'context.mjs')) ? await import('./setup.mjs') : undefined;
  const address = nats ?? env.CROSSFOLD_NATS_URL;
  /** @type {Patient} */
  const patient = {
    root: where,
    env,
    nats: address === '' ? undefined : address,
    setup,
    identity: once(async () => (await import('./engine.mjs')).loadEngine(patient)),
    asked: once(async () => (await import('./broker.mjs')).askBroker(patient)),
  };
  /** @type {Named[]} */
  const findings = [];
  for (const [check, examineOne] of Object.entries(checks)) {
    const finding = await examineOne(patient).catch(
      (/** @type {unknown} */ error) =>
        /** @type {Finding} */ ({ status: 'fail', found: error instanceof Error ? error.message : String(error) }),
    );
    if (finding !== undefined) findings.push({ check, ...finding });
  }
  return findings;
}

/**
 * @param {readonly Named[]} findings
 * @param {boolean} color
 */
export function asText(findings, color) {
  const width = Math.max(...findings.map(({ check }) => check.length));
  const paint = { ok: 32, warn: 33, fail: 31 };
  const lines = findings.flatMap(({ check, status, found, remedy = [] }) => [
    `${color ? `\x1b[${paint[status]}m` : ''}${status.padEnd(4)}${color ? '\x1b[0m' : ''}  ${check.padEnd(width)}  ${found}`,
    ...remedy.map((line) => `${' '.repeat(width + 8)}- ${line}`),
  ]);
  return `${[...lines, conclusion(findings)].join('\n')}\n`;
}

/** @param {readonly Named[]} findings */
function conclusion(findings) {
  /** @param {Finding['status']} status */
  const named = (status) => findings.filter((f) => f.status === status).map(({ check }) => check);
  const [failed, warned] = [named('fail'), named('warn')];
  if (failed.length > 0) return `\nto be mended: ${failed.join(', ')}`;
  return warned.length > 0 ? `\nready, but look at: ${warned.join(', ')}` : '\nready';
}

/** @param {readonly Named[]} findings */
export const passes = (findings) => findings.every(({ status }) => status !== 'fail');

/**
 * @template T
 * @param {() => Promise<T>} ask
 * @returns {() => Promise<T>}
 */
function once(ask) {
  /** @type {Promise<T> | undefined} */
  let answer;
  return () => {
    answer ??= ask();
    return answer;
  };
}

const usage = `Usage: crossfold doctor [options]

Looks for what Crossfold needs on this machine, and says how to get what is missing. Changes nothing. Exit code 0 when
things work, 1 when something has to be mended.

Options:
  --nats <url>  also examine the broker there (default: CROSSFOLD_NATS_URL)
  --json        print one JSON document on stdout, and nothing else
  -h, --help    display help for command

Examples:
  $ crossfold doctor
  $ crossfold doctor --nats nats://cluster.example:4222
`;

/**
 * The command, as bin/crossfold.cjs runs it in a checkout whether or not that is set up.
 * @param {readonly string[]} argv the words after `doctor`
 * @returns {Promise<number>} exit code
 */
export async function command(argv) {
  let options;
  try {
    options = parseArgs({
      args: [...argv],
      options: { nats: { type: 'string' }, json: { type: 'boolean' }, help: { type: 'boolean', short: 'h' } },
    }).values;
  } catch (error) {
    process.stderr.write(`crossfold: ${error instanceof Error ? error.message.split('\n')[0] : error}\n`);
    return 2;
  }
  if (options.help) {
    process.stdout.write(usage);
    return 0;
  }
  const findings = await examine({ env: process.env, nats: options.nats });
  process.stdout.write(
    options.json
      ? `${JSON.stringify({ ready: passes(findings), checks: findings })}\n`
      : asText(findings, process.stdout.isTTY === true),
  );
  return passes(findings) ? 0 : 1;
}
