/** Checks of the machine and the checkout. */
import { existsSync } from 'node:fs';
import { access, constants, stat, statfs } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import { availableParallelism, homedir, tmpdir, totalmem } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { ask, findProgram } from './process.mjs';

/** @typedef {import('./doctor.mjs').Patient} Patient */
/** @typedef {import('./doctor.mjs').Finding} Finding */

/** @returns {Promise<Finding>} whoever gets here has passed setup/check-node.cjs, or lives in an image */
export async function node() {
  return { status: 'ok', found: `${process.version}, ${process.execPath}` };
}

/** @param {Patient} patient @returns {Promise<Finding | undefined>} */
export async function packages({ root, env, setup }) {
  if (setup === undefined) return undefined;
  if (!setup.packages.missing(setup.contextOf(root, env))) return { status: 'ok', found: 'as package-lock.json says' };
  return {
    status: 'fail',
    found: 'npm packages are missing, or are not those of package-lock.json',
    remedy: [
      'npm run setup installs them; it needs a network that reaches an npm registry',
      ...(findProgram('npm', env) === undefined && !env.npm_execpath
        ? ['npm is not on the PATH: install Node.js together with npm, https://nodejs.org']
        : []),
    ],
  };
}

/** @param {Patient} patient @returns {Promise<Finding | undefined>} */
export async function build({ root, env, setup }) {
  if (setup === undefined) return undefined;
  if (!setup.build.missing(setup.contextOf(root, env))) return { status: 'ok', found: 'up to date' };
  return {
    status: 'warn',
    found: 'older than the sources, or not there',
    remedy: ['any other command compiles it, or npm run setup'],
  };
}

/** @param {Patient} patient @returns {Promise<Finding>} */
export async function python({ env }) {
  const program = findProgram('python3', env);
  return { status: 'ok', found: program === undefined ? 'none, and none is needed' : `${program} (not needed)` };
}

/** Older ones lack parts of JetStream that are used. */
const leastNats = [2, 10];

/** @param {Patient} patient @returns {Promise<Finding>} */
export async function natsServer({ root, env, setup, nats }) {
  const left = join(root, 'node_modules', '.crossfold', 'nats-server');
  const program = findProgram('nats-server', env) ?? (existsSync(left) ? left : undefined);
  const install = setup?.brokerInstall ?? ['put a nats-server on the PATH'];
  if (program === undefined) {
    // A cluster that runs elsewhere has its own.
    const status = nats === undefined ? 'fail' : 'warn';
    return {
      status,
      found: 'none on the PATH, and none fetched: no cluster can be started here',
      remedy: [...(setup === undefined ? [] : ['npm run setup fetches one']), ...install],
    };
  }
  const { ok, output, errors } = await ask(program, ['--version'], env);
  const version = /v(\d+)\.(\d+)\.\d+\S*/.exec(output);
  if (!ok || version === null)
    return { status: 'fail', found: `${program} does not run: ${errors || output.trim()}`, remedy: install };
  const [major = 0, minor = 0] = [Number(version[1]), Number(version[2])];
  const [leastMajor = 0, leastMinor = 0] = leastNats;
  if (major < leastMajor || (major === leastMajor && minor < leastMinor))
    return { status: 'fail', found: `${program} is ${version[0]}, older than ${leastNats.join('.')}`, remedy: install };
  return { status: 'ok', found: `${version[0].slice(1)}, ${program}` };
}

/** Where services listen unless told otherwise; see coordinator/src/cli/options.ts. */
const usualPorts = [9470, 9471];

/** @returns {Promise<Finding>} */
export async function ports() {
  const free = await canListen(0);
  if (free !== undefined)
    return {
      status: 'fail',
      found: `no port of 127.0.0.1 can be listened on and reached (${free})`,
      remedy: ['a loopback interface (ip link set lo up), and fewer programs that listen, or a sandbox that lets them'],
    };
  const taken = [];
  for (const port of usualPorts) if ((await canListen(port)) !== undefined) taken.push(port);
  return {
    status: 'ok',
    found:
      taken.length === 0
        ? `127.0.0.1 has free ones, ${usualPorts.join(' and ')} for metrics among them`
        : `127.0.0.1 has free ones; ${taken.join(' and ')} for metrics ${taken.length === 1 ? 'is' : 'are'} taken, and services will use others`,
  };
}

/**
 * Listening alone succeeds where the loopback interface is down.
 * @param {number} port @returns {Promise<string | undefined>} why not
 */
function canListen(port) {
  return new Promise((done) => {
    const server = createServer();
    server.on('error', (/** @type {NodeJS.ErrnoException} */ error) => done(error.code ?? error.message));
    server.listen(port, '127.0.0.1', () => {
      const address = /** @type {import('node:net').AddressInfo} */ (server.address());
      const socket = connect(address.port, '127.0.0.1');
      const end = (/** @type {string | undefined} */ why) => {
        socket.destroy();
        server.close(() => done(why));
      };
      socket.on('connect', () => end(undefined));
      socket.on('error', (/** @type {NodeJS.ErrnoException} */ error) => end(error.code ?? error.message));
    });
  });
}

const giga = 1e9;
/** Below the first a data set or a set-up may not fit, below the second nothing does. */
const room = { warn: 3 * giga, fail: 0.2 * giga };

/** @param {Patient} patient @returns {Promise<Finding>} */
export async function disk({ env }) {
  const cache = env.CROSSFOLD_CACHE || join(env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'crossfold');
  const places = [
    { what: 'cache', path: cache, remedy: 'set CROSSFOLD_CACHE to a folder that can be written, with 5 GB to spare' },
    { what: 'runs', path: resolve('runs'), remedy: 'work in another folder, or name one by --out' },
    { what: 'temporary files', path: tmpdir(), remedy: 'set TMPDIR to a folder that can be written' },
  ];
  /** @type {Finding['status']} */
  let status = 'ok';
  const [found, remedy] = [/** @type {string[]} */ ([]), /** @type {string[]} */ ([])];
  for (const place of places) {
    const there = await nearest(place.path);
    const { bavail, bsize } = await statfs(there);
    const bytes = bavail * bsize;
    const writable = await access(there, constants.W_OK).then(
      () => true,
      () => false,
    );
    found.push(
      `${place.what} ${writable ? `${(bytes / giga).toFixed(1)} GB free` : 'cannot be written'} (${place.path})`,
    );
    if (writable && bytes >= room.warn) continue;
    if (!writable || bytes < room.fail) status = 'fail';
    else if (status === 'ok') status = 'warn';
    remedy.push(writable ? `free some space in ${there}, or ${place.remedy}` : place.remedy);
  }
  return { status, found: found.join('; '), ...(remedy.length === 0 ? {} : { remedy }) };
}

/** @param {string} path @returns {Promise<string>} the nearest folder above that is there */
async function nearest(path) {
  for (let at = path; ; at = dirname(at)) {
    const there = await stat(at).catch(() => undefined);
    if (there?.isDirectory() || at === dirname(at)) return at;
  }
}

/** A worker holds TensorFlow, a data set's pixels and a net. */
const perWorker = 0.6 * giga;

/** @returns {Promise<Finding>} */
export async function memory() {
  // Of the container, by either version of cgroups; nothing, or more than there is, where there is none.
  const bytes = Math.min(process.constrainedMemory() || totalmem(), totalmem());
  const cores = availableParallelism();
  const found = `${(bytes / giga).toFixed(1)} GB for ${cores} ${cores === 1 ? 'core' : 'cores'}`;
  if (bytes >= cores * perWorker) return { status: 'ok', found };
  const workers = Math.max(1, Math.floor(bytes / perWorker));
  return { status: 'warn', found, remedy: [`start no more than --workers ${workers}: each takes 0.5 GB and more`] };
}
