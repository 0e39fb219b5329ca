/**
 * `npm run notebook`: provides the TypeScript kernel and what runs notebooks, runs notebooks/convnets.ipynb from top to
 * bottom, and writes its outputs into it when all of it went well; what a failed run came to is written beside it.
 * `npm run notebook -- --install` provides everything and runs nothing. Exit code 1 where a cell fails.
 */
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { copyFileSync, existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { broker } from './broker.mjs';
import { build } from './build.mjs';
import { contextOf, findProgram, linkTo, pointsTo, whole } from './context.mjs';
import { lockWhileRunning } from './lock.mjs';
import { codeDigest } from './notebook/digest.mjs';
import { packages } from './packages.mjs';
import { MissingError, say, seconds, timed } from './say.mjs';
import { report, setUp } from './steps.mjs';
import { tensorflow } from './tensorflow.mjs';

/** @typedef {import('./context.mjs').Context} Context */

const own = join(import.meta.dirname, 'notebook');
/** A cell that takes longer hangs. */
const CELL_SECONDS = 600;
const PYTHONS = ['python3', ...[15, 14, 13, 12, 11].map((minor) => `python3.${minor}`)];
const OLDEST = 11;

/** @param {Context} context */
function homeOf({ cache }) {
  const hash = createHash('sha256');
  for (const name of ['package-lock.json', 'requirements.txt']) hash.update(readFileSync(join(own, name)));
  return join(cache, `notebook-${hash.digest('hex').slice(0, 12)}`);
}

/** @param {Context} context */
const linkOf = ({ modules }) => join(modules, '.crossfold', 'notebook');

/**
 * The first Python that is new enough.
 * @param {NodeJS.ProcessEnv} env
 */
function findPython(env) {
  return PYTHONS.filter((name) => findProgram(name, env) !== undefined).find((name) => {
    const script = `import sys; sys.exit(sys.version_info < (3, ${OLDEST}))`;
    return spawnSync(name, ['-c', script], { env, timeout: 20_000 }).status === 0;
  });
}

/** @type {import('node:child_process').ChildProcess | undefined} what runs the notebook */
let child;

/** @type {import('./context.mjs').Step} */
export const notebookTools = {
  missing: (context) => !pointsTo(linkOf(context), homeOf(context)) || !existsSync(join(homeOf(context), 'python')),

  obstacles(context) {
    if (existsSync(join(homeOf(context), 'python')) || findPython(context.env) !== undefined) return [];
    return [
      new MissingError(`notebooks are run by Jupyter's client, which needs Python 3.${OLDEST} or newer`, [
        'Debian, Ubuntu: apt-get install -y python3-venv',
        'macOS: brew install python',
      ]),
    ];
  },

  async provide(context) {
    const home = homeOf(context);
    mkdirSync(home, { recursive: true });
    await whole(join(home, 'kernel'), (aside) =>
      timed('installing the TypeScript kernel (tslab, 90 MB)', () => installKernel(context, aside)),
    );
    await whole(join(home, 'python'), (aside) =>
      timed("installing Jupyter's client (nbclient, 46 MB)", () => installClient(context, aside)),
    );
    linkTo(home, linkOf(context));
  },
};

/**
 * @param {Context} context
 * @param {string} folder
 */
async function installKernel({ env }, folder) {
  for (const name of ['package.json', 'package-lock.json']) copyFileSync(join(own, name), join(folder, name));
  const npm = env.npm_execpath;
  const [command, first] = npm?.endsWith('.js') ? [process.execPath, [npm]] : ['npm', []];
  const args = [...first, 'ci', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'];
  await run(command, args, { cwd: folder, env }, 'npm', ['a network that reaches an npm registry']);
}

/**
 * @param {Context} context
 * @param {string} folder
 */
async function installClient({ env }, folder) {
  const venv = ['Debian, Ubuntu: apt-get install -y python3-venv'];
  await run(findPython(env) ?? 'python3', ['-m', 'venv', folder], { env }, 'python3 -m venv', venv);
  const python = join(folder, 'bin', 'python');
  const options = ['--quiet', '--disable-pip-version-check', '--require-hashes', '--only-binary=:all:'];
  await run(python, ['-m', 'pip', 'install', ...options, '-r', join(own, 'requirements.txt')], { env }, 'pip', [
    'a network that reaches a Python package index (PIP_INDEX_URL chooses another)',
  ]);
}

/**
 * @param {string} command
 * @param {readonly string[]} args
 * @param {import('node:child_process').SpawnOptions} options
 * @param {string} what
 * @param {readonly string[]} remedy
 * @returns {Promise<void>}
 */
function run(command, args, options, what, remedy) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { ...options, stdio: ['ignore', 'pipe', 'pipe'] });
    lockWhileRunning(child);
    let said = '';
    for (const stream of [child.stdout, child.stderr]) stream?.on('data', (text) => (said += text));
    child.on('error', (error) => reject(new MissingError(`${what} cannot be run (${error.message})`, remedy)));
    child.on('close', (code) => {
      if (code === 0) return resolve();
      const reason = said.trim().split('\n').slice(-3).join(' ') || `exit code ${code}`;
      reject(new MissingError(`${what} failed (${reason})`, [...remedy, 'then the same command goes on from there']));
    });
  });
}

/**
 * Where Jupyter finds the kernel: `JUPYTER_PATH`. Written anew every time, for it names the Node that runs it.
 * @param {Context} context
 */
function writeKernel(context) {
  const folder = join(context.modules, '.crossfold', 'jupyter', 'kernels', 'tslab');
  mkdirSync(folder, { recursive: true });
  const main = join(linkOf(context), 'kernel', 'node_modules', 'tslab', 'bin', 'tslab');
  // Node says of each module that is required rather than imported that this is new.
  const argv = [process.execPath, '--disable-warning=ExperimentalWarning', main, 'kernel', '--config-path'];
  const kernel = { argv: [...argv, '{connection_file}'], display_name: 'TypeScript', language: 'typescript' };
  writeFileSync(join(folder, 'kernel.json.new'), `${JSON.stringify(kernel, null, 2)}\n`);
  renameSync(join(folder, 'kernel.json.new'), join(folder, 'kernel.json'));
  return resolve(folder, '../..');
}

/**
 * @param {Context} context
 * @returns {Promise<number>} the exit code
 */
async function runNotebook(context) {
  const jupyter = writeKernel(context);
  const folder = join(context.root, 'notebooks');
  const file = join(folder, 'convnets.ipynb');
  const fresh = join(folder, 'convnets.running.ipynb');
  const started = performance.now();
  const python = join(linkOf(context), 'python', 'bin', 'python');
  child = spawn(python, [join(own, 'execute.py'), file, fresh, folder, String(CELL_SECONDS)], {
    // Other kernels and settings of this user stay out of it.
    env: { ...context.env, JUPYTER_PATH: jupyter, JUPYTER_PLATFORM_DIRS: '1' },
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  const code = await new Promise((done) => {
    child?.on('error', () => done(2));
    child?.on('close', done);
  });
  const took = seconds(performance.now() - started);
  if (code !== 0) {
    const failed = join(folder, 'convnets.failed.ipynb');
    if (existsSync(fresh)) renameSync(fresh, failed);
    say(`notebook: failed after ${took}; what it came to is in ${failed}, convnets.ipynb is as it was`);
    return 1;
  }
  const notebook = JSON.parse(readFileSync(fresh, 'utf8'));
  notebook.metadata.crossfold = { cells: codeDigest(notebook) };
  writeFileSync(fresh, `${JSON.stringify(notebook, null, 1)}\n`);
  renameSync(fresh, file);
  say(`notebook: ran in ${took}; outputs are in ${file}`);
  return 0;
}

for (const [signal, code] of /** @type {const} */ ([
  ['SIGINT', 130],
  ['SIGTERM', 143],
  ['SIGHUP', 129],
])) {
  process.on(signal, () => {
    // It ends the kernel, which ends the cluster.
    child?.kill('SIGINT');
    process.exit(code);
  });
}
const context = contextOf(resolve(import.meta.dirname, '..'), process.env);
try {
  await setUp(context, [packages, tensorflow, broker, build, notebookTools]);
  if (process.argv.includes('--install')) {
    say(`notebook: JUPYTER_PATH=${writeKernel(context)} shows the kernel to Jupyter`);
  } else process.exitCode = await runNotebook(context);
} catch (error) {
  process.exitCode = report(error);
}
