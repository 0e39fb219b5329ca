/**
 * For machines without a C++ compiler: the binding that TensorFlow.js' package offers ready-made, from its own host. It
 * was built against an older libtensorflow, whose C interface the newer one still has; that it loads is tried before it
 * is used. Nobody publishes digests of these files, so what vouches for one is the host's certificate alone.
 */
import { copyFileSync, existsSync, mkdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { whole } from './context.mjs';
import { get } from './index.mjs';
import { say } from './say.mjs';

/** @typedef {import('./context.mjs').Context} Context */

/** As the package has it in its package.json, which is not installed yet when this is asked. */
const HOST = 'https://storage.googleapis.com/tf-builds/pre-built-binary';
const BINDING = 'tfjs_binding.node';
/** What it links to, and what TensorFlow's wheel calls that. */
const [LINKED, PROVIDED] = ['libtensorflow.so.2', 'libtensorflow_cc.so.2'];
/** A host that says nothing for so long does not answer. */
const PATIENCE = 10_000;
const LARGEST = 20_000_000;
/** A host that had nothing is asked again after so long. */
const PAUSE = 24 * 3_600_000;

/** @param {Context} context */
const homeOf = ({ cache }) => join(cache, `prebuilt-binding-${process.platform}-${process.arch}`);
/** @param {Context} context */
const refusedOf = (context) => `${homeOf(context)}.unusable`;
/** @param {Context} context */
const askedOf = (context) => `${homeOf(context)}.asked`;

/** @param {Context} context */
export const hasPrebuilt = (context) => existsSync(join(homeOf(context), BINDING)) && !existsSync(refusedOf(context));

/**
 * The next time does without.
 * @param {Context} context
 */
export function refusePrebuilt(context) {
  writeFileSync(refusedOf(context), '');
}

/**
 * Fetches the binding where its host has one for this machine and answers; says so where it does not. Never fails, and
 * asks once a day.
 * @param {Context} context
 */
export async function fetchPrebuilt(context) {
  // It is built for Linux and macOS on x64, and TensorFlow itself is no longer built for the latter.
  if (hasPrebuilt(context) || existsSync(refusedOf(context)) || `${process.platform}-${process.arch}` !== 'linux-x64')
    return;
  const asked = statSync(askedOf(context), { throwIfNoEntry: false })?.mtimeMs ?? 0;
  if (Date.now() - asked < PAUSE) return;
  const lock = JSON.parse(readFileSync(join(context.root, 'package-lock.json'), 'utf8'));
  const { version } = lock.packages['node_modules/@tensorflow/tfjs-node-gpu'];
  const host = (context.env.CROSSFOLD_BINDING_HOST || HOST).replace(/\/+$/, '');
  const url = new URL(`${host}/napi-v8/${version}/CPU-linux-${version}.tar.gz`);
  say(`setup: no C++ compiler: asking ${url.host} for a binding that is compiled already`);
  try {
    const binding = member(gunzipSync(await fetchBytes(url, context.env), { maxOutputLength: 10 * LARGEST }), BINDING);
    keepLoaded(binding);
    await whole(homeOf(context), async (aside) => writeFileSync(join(aside, BINDING), binding, { mode: 0o755 }));
  } catch (error) {
    say(`setup: it has none for us: ${error instanceof Error ? error.message : String(error)}`);
    writeFileSync(askedOf(context), '');
  }
}

/**
 * Puts the fetched binding where the compiled one would be, with the name that it knows the library by.
 * @param {Context} context
 * @param {string} home TensorFlow's folder in the cache
 * @returns {Promise<void>}
 */
export async function usePrebuilt(context, home) {
  await whole(join(home, 'lib', 'napi-v8'), async (aside) =>
    copyFileSync(join(homeOf(context), BINDING), join(aside, BINDING)),
  );
  mkdirSync(join(home, 'deps', 'lib'), { recursive: true });
  if (!existsSync(join(home, 'deps', 'lib', LINKED))) symlinkSync(PROVIDED, join(home, 'deps', 'lib', LINKED));
}

/**
 * @param {URL} url
 * @param {NodeJS.ProcessEnv} env
 * @returns {Promise<Buffer>}
 */
async function fetchBytes(url, env) {
  /** @type {NodeJS.Timeout | undefined} */
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${PATIENCE / 1000} s`)), PATIENCE);
  });
  try {
    const response = await Promise.race([get(url, {}, env), /** @type {Promise<never>} */ (late)]);
    clearTimeout(timer);
    if (response.statusCode !== 200) {
      response.destroy();
      throw new Error(`${url.host} answers ${response.statusCode}`);
    }
    const chunks = [];
    let size = 0;
    response.setTimeout(PATIENCE, () => response.destroy(new Error(`nothing more within ${PATIENCE / 1000} s`)));
    for await (const chunk of response) {
      size += chunk.length;
      if (size > LARGEST) throw new Error(`it is larger than ${LARGEST / 1e6} MB`);
      chunks.push(chunk);
    }
    return Buffer.concat(chunks);
  } finally {
    clearTimeout(timer);
  }
}

/**
 * A file out of a tar archive (POSIX ustar).
 * @param {Buffer} tar
 * @param {string} name without its folders
 * @returns {Buffer}
 */
export function member(tar, name) {
  for (let at = 0; at + 512 <= tar.length && tar[at] !== 0; ) {
    const text = (/** @type {number} */ from, /** @type {number} */ length) =>
      tar.toString('latin1', at + from, at + from + length).replace(/\0.*$/s, '');
    const size = Number.parseInt(text(124, 12).trim() || '0', 8);
    if (!Number.isSafeInteger(size) || size < 0) break;
    if (basename(text(0, 100)) === name && size > 0) return Buffer.from(tar.subarray(at + 512, at + 512 + size));
    at += 512 + 512 * Math.ceil(size / 512);
  }
  throw new Error(`the archive has no ${name} inside`);
}

const [PT_DYNAMIC, DT_NULL, DT_FLAGS_1, DF_1_NODELETE] = [2, 0n, 0x6ffffffbn, 8n];

/**
 * Marks a library as never to be unloaded, as the linker's `-z nodelete` does (tensorflow.mjs says why): in the flags of
 * its dynamic section (System V ABI, "Dynamic Section"), or in one of the empty entries that linkers leave at its end.
 * @param {Buffer} library 64-bit little-endian ELF; changed in place
 * @throws Error where it is something else, or has no room
 */
export function keepLoaded(library) {
  if (library.readUInt32BE(0) !== 0x7f454c46 || library[4] !== 2 || library[5] !== 1)
    throw new Error('it is no 64-bit library for Linux');
  const headers = Number(library.readBigUInt64LE(0x20));
  for (let n = 0; n < library.readUInt16LE(0x38); n++) {
    const header = headers + n * library.readUInt16LE(0x36);
    if (library.readUInt32LE(header) !== PT_DYNAMIC) continue;
    const from = Number(library.readBigUInt64LE(header + 8));
    const end = from + Number(library.readBigUInt64LE(header + 0x20));
    for (let entry = from; entry + 16 <= end; entry += 16) {
      const tag = library.readBigInt64LE(entry);
      if (tag === DT_FLAGS_1) {
        library.writeBigUInt64LE(library.readBigUInt64LE(entry + 8) | DF_1_NODELETE, entry + 8);
        return;
      }
      if (tag !== DT_NULL) continue;
      // The last one has to stay: it ends the section.
      if (entry + 32 > end) break;
      library.writeBigInt64LE(DT_FLAGS_1, entry);
      library.writeBigUInt64LE(DF_1_NODELETE, entry + 8);
      return;
    }
  }
  throw new Error('it has no room for a mark in its dynamic section');
}
