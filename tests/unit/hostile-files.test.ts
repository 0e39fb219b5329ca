import { execFileSync } from 'node:child_process';
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { gzipSync } from 'node:zlib';
import { main } from '@crossfold/coordinator/cli/main';
import { readRunId } from '@crossfold/coordinator/cli/run-folder';
import { readIdxFile } from '@crossfold/coordinator/data/idx-file';
import { scanImageFolder } from '@crossfold/coordinator/data/image-folder';
import { folderLogs } from '@crossfold/coordinator/logs/folder';
import { readModelFile } from '@crossfold/coordinator/models/find-model';
import { readPicture } from '@crossfold/coordinator/models/labelled';
import { readRun } from '@crossfold/coordinator/results/read-run';
import { parseBrokerAddress } from '@crossfold/shared/broker/address';
import { ConfigError } from '@crossfold/shared/errors';
import { writeTokenOf } from '@crossfold/shared/http/write-token';
import fc from 'fast-check';
import { unzipSync, zipSync } from 'fflate';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { fakeWorld } from '../support/fake-client.ts';
import { fuzzRuns, fuzzSeed, mutated } from '../support/hostile.ts';
import { idxBytes } from '../support/idx.ts';

const fixtures = resolve(import.meta.dirname, '../fixtures/keras-h5');
/** A library that is slow to start is tried with fewer. */
const damages = Math.min(10_000, Math.max(100, Math.floor(fuzzRuns / 4)));
let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'crossfold-hostile-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** Reads what a file has been damaged to: its content, or one message for the user. */
async function read(file: string, bytes: Uint8Array, reads: (file: string) => Promise<unknown>): Promise<boolean> {
  await writeFile(file, bytes);
  try {
    await reads(file);
    return true;
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    expect(error.message).toContain(file);
    expect(error.message.length).toBeLessThan(2000);
    return false;
  }
}

const openHandles = async (): Promise<number> => (await readdir('/proc/self/fd')).length;

describe('a file that is damaged anywhere is read, or refused in words', () => {
  it.each(['keras-sequential.h5', 'tf_keras-functional.h5'])('%s', { timeout: 3_600_000 }, async (name) => {
    const whole = await readFile(join(fixtures, name));
    const file = join(folder, name);
    expect(await read(file, whole, readModelFile)).toBe(true);
    const before = await openHandles();
    let refused = 0;
    for (const bytes of fc.sample(mutated([whole]), { numRuns: damages, seed: fuzzSeed }))
      if (!(await read(file, bytes, readModelFile))) refused++;
    expect(refused).toBeGreaterThan(damages / 10);
    expect(await openHandles()).toBeLessThan(before + 5);
  });

  it.each(['keras-sequential.keras', 'keras-functional.keras'])('%s', { timeout: 3_600_000 }, async (name) => {
    const whole = await readFile(join(fixtures, name));
    const file = join(folder, name);
    expect(await read(file, whole, readModelFile)).toBe(true);
    const parts = unzipSync(whole);
    const before = await openHandles();
    let refused = 0;
    // A single bit of the weights.
    const flipped = Uint8Array.from(whole);
    const middle = Math.floor(whole.length / 2);
    flipped[middle] = (flipped[middle] ?? 0) ^ 1;
    await expect(read(file, flipped, readModelFile)).resolves.toBe(false);
    // The archive, and what its checksums do not notice: its parts, packed again as they should be.
    const some = Math.ceil(damages / 4);
    const damaged = fc.sample(mutated([whole]), { numRuns: some, seed: fuzzSeed });
    for (const [part, bytes] of Object.entries(parts))
      for (const other of fc.sample(mutated([bytes]), { numRuns: some, seed: fuzzSeed }))
        damaged.push(zipSync({ ...parts, [part]: other }, { level: 0 }));
    for (const bytes of damaged) if (!(await read(file, bytes, readModelFile))) refused++;
    expect(refused).toBeGreaterThan(damages / 10);
    // Of some files that it cannot open the library keeps its one handle; never more than that.
    expect(await openHandles()).toBeLessThan(before + damaged.length / 4);
  });

  it('an archive that unpacks to more than it can hold is refused before memory is taken for it', async () => {
    const whole = await readFile(join(fixtures, 'keras-sequential.keras'));
    const parts = unzipSync(whole);
    const file = join(folder, 'bomb.keras');
    const refusal = (bytes: Uint8Array) =>
      writeFile(file, bytes).then(() => expect(readModelFile(file)).rejects.toThrow(/unpacks to \d+ bytes, more than/));
    const zeros = new Uint8Array(2 ** 26 + 2 ** 20);
    await refusal(zipSync({ ...parts, 'model.weights.h5': zeros }, { level: 1 }));
    await refusal(zipSync({ ...parts, 'config.json': zeros.subarray(0, 2 ** 24 + 1) }, { level: 1 }));
    // It only says so: the length of every part, in the list at the archive's end.
    const liar = Uint8Array.from(whole);
    const view = new DataView(liar.buffer);
    for (let at = 0; at < liar.length - 46; at++)
      if (view.getUint32(at, true) === 0x02014b50) view.setUint32(at + 24, 2 ** 31 - 2, true);
    await refusal(liar);
  });

  it('IDX, packed or not', { timeout: 3_600_000 }, async () => {
    const images = idxBytes(
      [6, 4, 4],
      Uint8Array.from({ length: 96 }, (_, i) => i),
    );
    const reads = (file: string): Promise<unknown> => readIdxFile(file, [3]);
    for (const [name, whole] of [
      ['images', images],
      ['images.gz', new Uint8Array(gzipSync(images))],
    ] as const) {
      const file = join(folder, name);
      expect(await read(file, whole, reads)).toBe(true);
      let refused = 0;
      for (const bytes of fc.sample(mutated([whole]), { numRuns: damages, seed: fuzzSeed }))
        if (!(await read(file, bytes, reads))) refused++;
      expect(refused).toBeGreaterThan(damages / 4);
    }
  });

  it('what is no file is not waited for', async () => {
    const reads = (file: string): Promise<unknown> => readIdxFile(file, [3]);
    await mkdir(join(folder, 'a-folder.h5'));
    for (const path of [join(folder, 'a-folder.h5'), '/dev/zero', join(folder, 'none')]) {
      await expect(reads(path)).rejects.toBeInstanceOf(ConfigError);
      await expect(readModelFile(path)).rejects.toBeInstanceOf(ConfigError);
    }
    // Whoever opens one of these waits for somebody who writes.
    const pipes = ['x.keras', 'x.h5', 'x.safetensors', 'x.jpg', 'seed.nk', 'results.json', 'worker.log'].map((name) =>
      join(folder, name),
    );
    execFileSync('mkfifo', pipes);
    const [keras = '', h5 = '', safetensors = '', picture = '', seed = ''] = pipes;
    await expect(reads(keras)).rejects.toBeInstanceOf(ConfigError);
    for (const model of [keras, h5, safetensors])
      await expect(readModelFile(model)).rejects.toBeInstanceOf(ConfigError);
    const decoding = { fit: 'fill', kernel: 'lanczos3', maxPixels: 1000 } as const;
    expect(await readPicture(picture, { height: 8, width: 8, channels: 3 }, decoding)).toMatch(
      /is not a file but a pipe/,
    );
    expect(() => parseBrokerAddress(`nats://host?credentials=${seed}`)).toThrow(ConfigError);
    expect(() => writeTokenOf({ CROSSFOLD_PAGE_TOKEN_FILE: seed })).toThrow(ConfigError);
    await expect(readRun(folder)).rejects.toThrow(/results.json is damaged: it is not a file/);
    expect(await readRunId(folder, 'named-so')).toBe('named-so');
    await expect(folderLogs(folder, { experiment: 'any', level: 'info' })).resolves.toEqual([]);
    await Promise.all(pipes.map((pipe) => rm(pipe)));
  });
});

it('names of pictures and classes may be of any script, and lead nowhere', async () => {
  const names = [
    'кошка',
    '猫',
    'القط',
    'बिल्ली',
    'e\u0301',
    'a b',
    "quote'",
    'percent%2e',
    '-rf',
    '\u202egpj',
    'emoji😺',
    '__proto__',
    'constructor',
  ];
  const set = join(folder, 'scripts');
  for (const name of names) {
    await mkdir(join(set, name), { recursive: true });
    await writeFile(join(set, name, `${name}.jpg`), 'x');
  }
  const scanned = await scanImageFolder(set, 'set');
  expect([...scanned.classes].sort()).toEqual(names.map((name) => name.normalize('NFC')).sort());
  expect(scanned.train.length).toBe(names.length);
  await symlink('/etc', join(set, 'elsewhere'));
  await expect(scanImageFolder(set, 'set')).rejects.toThrow(/holds links that are not followed/);
});

it('what is wrong with thousands of files is said in one message that people can read', async () => {
  const set = join(folder, 'links');
  for (const name of ['a', 'b']) await mkdir(join(set, name), { recursive: true });
  for (let i = 0; i < 500; i++) await symlink('/etc/hostname', join(set, 'a', `${i}\u001b[2J\u202e.jpg`));
  await writeFile(join(folder, 'links.yaml'), JSON.stringify({ ...dataset('links'), name: 'links' }));
  const { context, err } = fakeWorld({});
  expect(await main(['run', join(folder, 'links.yaml'), '--dry-run'], context)).toBe(2);
  expect(err()).toMatch(/^crossfold: .*holds links that are not followed: a\/0\?\[2J\?\.jpg .*, and 480 more\n$/);
  expect(err().length).toBeLessThan(4000);
});

/** An experiment on pictures, as far as what is read of it before it is looked at. */
const dataset = (path: string) => ({
  dataset: { path, image: { height: 8, width: 8, channels: 3 } },
  evaluation: { method: 'kfold', folds: 2 },
  model: { layers: [{ type: 'flatten' }, { type: 'dense', units: 2, activation: 'softmax' }] },
  training: { epochs: 1, optimizer: { name: 'sgd' } },
});

it.each([
  'nats://a:1,user:seCret@b:99999',
  'user:seCret@[:1',
  'nats://user:se@Cret@b:0',
  'nats://user:seCret,word@h',
  'nats://user:a,seCret,word@h',
  'seCret@host with blanks',
])('an address that is none is named without its credentials: %s', (address) => {
  let said = '';
  try {
    parseBrokerAddress(address);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    said = error.message;
  }
  expect(said).toMatch(/is not a broker's address/);
  expect(said).not.toMatch(/Cret|user/);
});
