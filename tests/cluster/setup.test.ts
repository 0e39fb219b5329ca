import { type ChildProcess, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { findBroker } from '../../coordinator/src/cluster/find-broker.ts';
import { download } from '../../setup/download.mjs';

const root = resolve(import.meta.dirname, '../..');
/** Nothing answers there. */
const nowhere = 'http://127.0.0.1:9';
let folder: string;
const children: ChildProcess[] = [];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'crossfold setup '));
});
afterEach(() => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
  rmSync(folder, { recursive: true, force: true });
});

/** Runs a script of ours and collects what it says. */
function start(script: string, args: readonly string[], env: NodeJS.ProcessEnv = process.env) {
  const child = spawn(process.execPath, [script, ...args], { cwd: root, env, stdio: ['ignore', 'pipe', 'pipe'] });
  children.push(child);
  let said = '';
  const listeners = new Set<() => void>();
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (text) => {
      said += text;
      for (const listener of listeners) listener();
    });
  }
  const until = (pattern: RegExp) =>
    new Promise<void>((done) => {
      const look = () => pattern.test(said) && done();
      listeners.add(look);
      look();
    });
  const end = once(child, 'close').then(([code]) => ({ code: code as number | null, said }));
  return { child, until, end };
}

describe('what cannot be had ends with one message and exit code 2', () => {
  /** A PATH with nothing but what is named. */
  function pathWith(...programs: readonly string[]): string {
    const bin = join(folder, 'bin');
    mkdirSync(bin, { recursive: true });
    symlinkSync(process.execPath, join(bin, 'node'));
    for (const program of programs) {
      writeFileSync(join(bin, program), '#!/bin/sh\nexit 1\n');
      chmodSync(join(bin, program), 0o755);
    }
    return bin;
  }
  const setup = (env: NodeJS.ProcessEnv) =>
    start(join(root, 'setup/setup.mjs'), ['--no-build'], {
      CROSSFOLD_CACHE: join(folder, 'cache'),
      CROSSFOLD_TENSORFLOW: 'cpu',
      CROSSFOLD_BINDING_HOST: nowhere,
      ...env,
    }).end;

  it('no compiler, and TensorFlow asked for: names how to get one, before anything is fetched', async () => {
    const { code, said } = await setup({ PATH: pathWith(), CROSSFOLD_ENGINE: 'tensorflow' });
    expect(code).toBe(2);
    expect(said.match(/cannot set up/g)).toHaveLength(1);
    expect(said).toContain('no C++ compiler');
    expect(said).toContain('apt-get install -y g++');
    expect(existsSync(join(folder, 'cache/downloads'))).toBe(false);
  });

  it('no network and no Python: names the index that was tried', async () => {
    const { code, said } = await setup({ PATH: pathWith('g++'), PIP_INDEX_URL: 'http://127.0.0.1:9/simple' });
    expect(code).toBe(2);
    expect(said.match(/cannot set up/g)).toHaveLength(1);
    expect(said).toContain('tried http://127.0.0.1:9/simple');
    expect(said).toContain('no python3 on the PATH');
  });

  it.skipIf(process.platform !== 'linux')('a cache that cannot be made: names the setting for another', async () => {
    const { code, said } = await setup({ PATH: pathWith(), CROSSFOLD_CACHE: '/proc/no-such/crossfold' });
    expect(code).toBe(2);
    expect(said).toContain('it cannot be written (/proc/no-such)');
    expect(said).toContain('set CROSSFOLD_CACHE to a folder');
  });

  it('a bad CROSSFOLD_ENGINE: names what is allowed', async () => {
    const { code, said } = await setup({ PATH: pathWith(), CROSSFOLD_ENGINE: 'webgl' });
    expect(code).toBe(2);
    expect(said).toContain('allowed: auto, tensorflow, wasm');
  });

  it('a bad CROSSFOLD_TENSORFLOW: names what is allowed', async () => {
    const { code, said } = await setup({ PATH: pathWith(), CROSSFOLD_TENSORFLOW: 'tpu' });
    expect(code).toBe(2);
    expect(said).toContain('CROSSFOLD_TENSORFLOW is tpu');
    expect(said).toContain('allowed: cpu, gpu');
  });
});

describe('without a compiler', () => {
  const setup = (env: NodeJS.ProcessEnv) => {
    const bin = join(folder, 'bin');
    mkdirSync(bin);
    symlinkSync(process.execPath, join(bin, 'node'));
    // So that nothing has to be fetched.
    writeFileSync(join(bin, 'nats-server'), '#!/bin/sh\n', { mode: 0o755 });
    return start(join(root, 'setup/setup.mjs'), ['--no-build'], {
      PATH: bin,
      CROSSFOLD_CACHE: join(folder, 'cache'),
      CROSSFOLD_TENSORFLOW: 'cpu',
      CROSSFOLD_BINDING_HOST: nowhere,
      ...env,
    }).end;
  };

  it('goes on with the WebAssembly engine, and says loudly what that means and what to install', async () => {
    const { code, said } = await setup({});
    expect(code).toBe(0);
    expect(said).toContain('no C++ compiler');
    expect(said).toContain('WITHOUT TensorFlow');
    expect(said).toContain('about 25 times slower');
    expect(said).toContain('apt-get install -y g++');
    expect(existsSync(join(folder, 'cache/downloads'))).toBe(false);
  });

  it('asks the host of the prebuilt binding first, and once a day', async () => {
    const first = await setup({});
    expect(first.said).toContain('asking 127.0.0.1:9 for a binding that is compiled already');
    expect(first.said).toContain('it has none for us');
    rmSync(join(folder, 'bin'), { recursive: true });
    const second = await setup({});
    expect(second.said).not.toContain('asking');
    expect(second.said).toContain('WITHOUT TensorFlow');
  });

  it('says nothing where that engine was asked for', async () => {
    expect(await setup({ CROSSFOLD_ENGINE: 'wasm' })).toEqual({ code: 0, said: '' });
  });
});

describe('download', () => {
  const content = Buffer.alloc(300_000, 'crossfold ');
  const wheel = {
    file: 'some_thing-1.0-py3-none-any.whl',
    sha256: createHash('sha256').update(content).digest('hex'),
    size: content.length,
  };
  let server: Server;
  let ranges: (string | undefined)[];
  let env: NodeJS.ProcessEnv;

  /** A package index with one file; `cutAfter` breaks the first answer off after so many bytes. */
  async function serve({ cutAfter = content.length, body = content, honourRange = true } = {}) {
    ranges = [];
    server = createServer((request, response) => {
      if (request.url === '/simple/some-thing/') return response.end(`<a href="/f/${wheel.file}">${wheel.file}</a>`);
      const from = honourRange ? Number(/bytes=(\d+)-/.exec(request.headers.range ?? '')?.[1] ?? 0) : 0;
      ranges.push(request.headers.range);
      response.writeHead(from > 0 ? 206 : 200, {
        'content-length': body.length - from,
        ...(from > 0 ? { 'content-range': `bytes ${from}-${body.length - 1}/${body.length}` } : {}),
      });
      if (ranges.length > 1 || cutAfter === body.length) return response.end(body.subarray(from));
      response.write(body.subarray(0, cutAfter));
      // Not before some of it is kept: a client that has nothing yet begins anew.
      const kept = join(folder, `${wheel.file}.part`);
      const cut = setInterval(() => {
        if ((statSync(kept, { throwIfNoEntry: false })?.size ?? 0) === 0) return;
        clearInterval(cut);
        response.destroy();
      }, 5);
      return undefined;
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    env = { PIP_INDEX_URL: `http://127.0.0.1:${port}/simple`, PATH: join(folder, 'no-programs') };
  }
  afterEach(() => {
    server.close();
  });

  it('fetches and checks a wheel', async () => {
    await serve();
    expect(readFileSync(await download(wheel, folder, env))).toEqual(content);
  });

  it('goes on after what an earlier run has left', async () => {
    await serve();
    writeFileSync(join(folder, `${wheel.file}.part`), content.subarray(0, 100_000));
    expect(readFileSync(await download(wheel, folder, env))).toEqual(content);
    expect(ranges).toEqual(['bytes=100000-']);
  });

  it('goes on after a connection that breaks', async () => {
    await serve({ cutAfter: 100_000 });
    expect(readFileSync(await download(wheel, folder, env))).toEqual(content);
    expect(ranges).toHaveLength(2);
    expect(ranges[1]).toMatch(/^bytes=\d+-$/);
  });

  it('starts again where the server knows no ranges', async () => {
    await serve({ honourRange: false });
    writeFileSync(join(folder, `${wheel.file}.part`), content.subarray(0, 100_000));
    expect(readFileSync(await download(wheel, folder, env))).toEqual(content);
  });

  it('starts again when what was left is damaged', async () => {
    await serve();
    writeFileSync(join(folder, `${wheel.file}.part`), Buffer.alloc(100_000));
    expect(readFileSync(await download(wheel, folder, env))).toEqual(content);
    expect(ranges).toEqual(['bytes=100000-', undefined]);
  });

  it('refuses a file whose digest is wrong', async () => {
    await serve({ body: Buffer.alloc(content.length) });
    await expect(download(wheel, folder, env)).rejects.toThrow('arrived damaged');
    expect(existsSync(join(folder, wheel.file))).toBe(false);
  });
});

describe('lock', () => {
  /** Holds the lock for so many ms, or waits for it at most `longestWait`. */
  function holder(milliseconds: number, longestWait = 30_000) {
    const script = join(folder, `holder-${milliseconds}.mjs`);
    const lock = JSON.stringify(join(root, 'setup/lock.mjs'));
    const say = JSON.stringify(join(root, 'setup/say.mjs'));
    writeFileSync(
      script,
      `import { withLock } from ${lock}; import { say } from ${say};
       await withLock(${JSON.stringify(join(folder, 'setup.lock'))}, async () => {
         say('holding');
         await new Promise((done) => setTimeout(done, ${milliseconds}));
       }, { longestWait: ${longestWait}, poll: 20 }).catch((error) => { say(error.message); process.exitCode = 2; });`,
    );
    return start(script, []);
  }

  it('is taken over from a holder that was killed', async () => {
    const first = holder(60_000);
    await first.until(/holding/);
    first.child.kill('SIGKILL');
    await first.end;
    expect(existsSync(join(folder, 'setup.lock'))).toBe(true);
    const second = await holder(1).end;
    expect(second).toMatchObject({ code: 0, said: 'holding\n' });
    expect(existsSync(join(folder, 'setup.lock'))).toBe(false);
  });

  it('lasts as long as a helper of a holder that was killed', async () => {
    const script = join(folder, 'with-helper.mjs');
    writeFileSync(
      script,
      `import { spawn } from 'node:child_process';
       import { lockWhileRunning, withLock } from ${JSON.stringify(join(root, 'setup/lock.mjs'))};
       await withLock(${JSON.stringify(join(folder, 'setup.lock'))}, async () => {
         const helper = spawn(process.execPath, ['-e', 'setTimeout(() => {}, 60_000)'], { stdio: 'ignore' });
         lockWhileRunning(helper);
         process.stderr.write('helper ' + helper.pid + '\\n');
         await new Promise(() => setInterval(() => {}, 1000));
       });`,
    );
    const first = start(script, []);
    await first.until(/helper \d+\n/);
    first.child.kill('SIGKILL');
    const helper = Number(/helper (\d+)/.exec((await first.end).said)?.[1]);
    const second = holder(3);
    await second.until(/waiting for set-up/);
    process.kill(helper, 'SIGKILL');
    expect((await second.end).said).toMatch(/holding\n$/);
  });

  it('makes a second one wait, saying for whom, and not for ever', async () => {
    const first = holder(60_001);
    await first.until(/holding/);
    const { code, said } = await holder(2, 200).end;
    expect(code).toBe(2);
    expect(said).toContain(`waiting for set-up ${first.child.pid} on `);
    expect(said).toMatch(/gave up after waiting .* for set-up/);
  });
});

describe('findBroker', () => {
  it('prefers the PATH, then takes what set-up has left, then names the remedy', async () => {
    const [onPath, left] = [join(folder, 'bin/nats-server'), join(folder, 'left/nats-server')];
    await expect(findBroker({ PATH: dirname(onPath) }, left)).rejects.toThrow('npm run setup');
    for (const file of [left, onPath]) {
      mkdirSync(dirname(file));
      writeFileSync(file, '');
      chmodSync(file, 0o755);
      expect(await findBroker({ PATH: dirname(onPath) }, left)).toBe(file);
    }
  });
});
