import { spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { contextOf } from '../../setup/context.mjs';
import { fetchPrebuilt, hasPrebuilt, keepLoaded, member, refusePrebuilt, usePrebuilt } from '../../setup/prebuilt.mjs';
import { tensorflowVersion } from '../../setup/wheels.mjs';

const root = resolve(import.meta.dirname, '../..');
const installed = join(root, 'node_modules/@tensorflow/tfjs-node-gpu');
const isTarget = process.platform === 'linux' && process.arch === 'x64';
const noDelete = 8n;
let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'crossfold prebuilt '));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** Where a library keeps its DF_1_ flags. */
function flagsAt(library: Buffer): number {
  const headers = Number(library.readBigUInt64LE(0x20));
  const all = Array.from({ length: library.readUInt16LE(0x38) }, (_, n) => headers + n * library.readUInt16LE(0x36));
  const dynamic = all.find((header) => library.readUInt32LE(header) === 2) ?? 0;
  let entry = Number(library.readBigUInt64LE(dynamic + 8));
  while (library.readBigInt64LE(entry) !== 0x6ffffffbn) entry += 16;
  return entry + 8;
}

/** The binding that set-up compiled, made into what the package's host has: linked to another name, to be unloaded. */
function asOffered(): Buffer {
  const binding = readFileSync(join(installed, 'lib/napi-v8/tfjs_binding.node'));
  const name = Buffer.from('libtensorflow_cc.so.2\0');
  const at = binding.indexOf(name);
  expect(at).toBeGreaterThan(0);
  Buffer.from('libtensorflow.so.2\0\0\0\0').copy(binding, at);
  const flags = flagsAt(binding);
  binding.writeBigUInt64LE(binding.readBigUInt64LE(flags) & ~noDelete, flags);
  return binding;
}

function archiveOf(file: Buffer): Buffer {
  mkdirSync(join(folder, 'napi-v8'));
  const header = Buffer.alloc(512);
  header.write('napi-v8/tfjs_binding.node');
  header.write(file.length.toString(8).padStart(11, '0'), 124);
  header.write('0', 156);
  return gzipSync(Buffer.concat([header, file, Buffer.alloc(512 - (file.length % 512)), Buffer.alloc(1024)]), {
    level: 1,
  });
}

/** A host that answers every path with the same. */
async function host(status: number, body: Buffer) {
  const paths: string[] = [];
  const server = createServer((request, response) => {
    paths.push(request.url ?? '');
    response.writeHead(status).end(body);
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const { port } = server.address() as AddressInfo;
  const env = {
    ...process.env,
    CROSSFOLD_CACHE: join(folder, 'cache'),
    CROSSFOLD_BINDING_HOST: `http://127.0.0.1:${port}`,
  };
  mkdirSync(join(folder, 'cache'));
  return { paths, context: contextOf(root, env), close: () => new Promise((done) => server.close(done)) };
}

describe.skipIf(!isTarget)('the prebuilt binding', () => {
  it('is fetched from its host, and computes with the TensorFlow that was fetched elsewhere', async () => {
    const { paths, context, close } = await host(200, archiveOf(asOffered()));
    await fetchPrebuilt(context).finally(close);
    expect(paths).toEqual([expect.stringMatching(/^\/napi-v8\/4\.\d+\.\d+\/CPU-linux-4\.\d+\.\d+\.tar\.gz$/)]);
    expect(hasPrebuilt(context)).toBe(true);
    const home = join(folder, 'tensorflow');
    const libraries = realpathSync(join(installed, 'deps/lib'));
    mkdirSync(join(home, 'deps/lib'), { recursive: true });
    for (const name of ['libtensorflow_cc.so.2', 'libtensorflow_framework.so.2'])
      symlinkSync(join(libraries, name), join(home, 'deps/lib', name));
    await usePrebuilt(context, home);
    // In a thread that ends before the process does: a library that is taken out of memory then ends it by a signal.
    const script = `const { Worker, isMainThread } = require('node:worker_threads');
      if (isMainThread) new Worker(__filename, { argv: process.argv.slice(2) });
      else process.stdout.write(require(process.argv[2]).TF_Version);`;
    const file = join(folder, 'try.cjs');
    writeFileSync(file, script);
    const tried = spawnSync(process.execPath, [file, join(home, 'lib/napi-v8/tfjs_binding.node')], {
      encoding: 'utf8',
    });
    expect({ status: tried.status, signal: tried.signal, out: tried.stdout }).toEqual({
      ...{ status: 0, signal: null },
      out: tensorflowVersion,
    });
  });

  it.each([
    ['has no such file', 404, Buffer.from('')],
    ['answers with something else', 200, Buffer.from('<html>a login page</html>')],
    ['has another library', 200, gzipSync(Buffer.alloc(2048))],
  ])('is done without where its host %s', async (_, status, body) => {
    const { context, close } = await host(status, body);
    await fetchPrebuilt(context).finally(close);
    expect(hasPrebuilt(context)).toBe(false);
    expect(existsSync(join(folder, 'cache', 'prebuilt-binding-linux-x64'))).toBe(false);
  });

  it('is not asked for again once it has been of no use', async () => {
    const { paths, context, close } = await host(200, archiveOf(asOffered()));
    refusePrebuilt(context);
    await fetchPrebuilt(context).finally(close);
    expect(paths).toEqual([]);
    expect(hasPrebuilt(context)).toBe(false);
  });

  it('is marked as one to stay in memory, and nothing but such a library is', () => {
    const binding = asOffered();
    keepLoaded(binding);
    expect(binding.readBigUInt64LE(flagsAt(binding)) & noDelete).toBe(noDelete);
    expect(() => keepLoaded(Buffer.alloc(64))).toThrow('no 64-bit library');
    expect(() => member(Buffer.alloc(1024), 'tfjs_binding.node')).toThrow('has no tfjs_binding.node');
  });
});
