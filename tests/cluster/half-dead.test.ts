import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { bitsOf, everything } from '../support/group-experiments.ts';
import { HandStarted } from '../support/hand-started.ts';
import type { TcpProxy } from '../support/tcp-proxy.ts';
import { freePort, tcpProxy } from '../support/tcp-proxy.ts';

// Whoever is stopped here wakes up when nobody waits for it any more; for half a minute by the clock: tests/long.

let cluster: HandStarted;
let folder: string;
let undisturbed: ReturnType<typeof bitsOf>;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'crossfold-half-dead-'));
  // A broker that soon cuts off whoever does not read.
  await writeFile(join(folder, 'nats.conf'), 'write_deadline: "500ms"\nmax_pending: 4MB\n');
  cluster = await HandStarted.start({ config: join(folder, 'nats.conf') });
  undisturbed = await cluster.undisturbed();
}, 120_000);
afterAll(async () => {
  await cluster?.close();
  await rm(folder, { recursive: true, force: true });
});
afterEach(async () => {
  await cluster.dismiss();
  expect(await cluster.faults()).toEqual([]);
});

describe('a worker that is stopped in the middle of a step', { timeout: 120_000 }, () => {
  it('is replaced; when it wakes it finds its generation closed, does no harm, and is of use again', async () => {
    const pair = await cluster.pair({ faults: [{ at: 'computing', position: 5, do: 'stop' }] });
    const { first: stopped, second: other } = pair;
    const { run } = await cluster.runWith(pair, { ...everything, exchange: 'nats' });
    await other.says('members were lost');
    expect(bitsOf((await run).results)).toEqual(undisturbed);
    expect(other.lines.map(({ msg }) => msg)).not.toContain('went on from a checkpoint');

    // Messages that it does not read, more than the broker and the system keep for it: it is cut off.
    const noise = new Uint8Array(64 * 1024);
    for (let n = 0; n < 400; n++) {
      cluster.broker.nats.publish('crossfold.presence.noise', noise);
      if (n % 20 === 0) await cluster.broker.nats.flush();
    }
    stopped.signal('SIGCONT');
    await other.kill();
    const seats = stopped.lines.length;
    expect(bitsOf((await cluster.run({ ...everything, exchange: 'nats' })).results)).toEqual(undisturbed);
    expect(stopped.lines.slice(seats).map(({ msg }) => msg)).toContain('took a seat');
  });
});

describe('a coordinator that is stopped', { timeout: 120_000 }, () => {
  it('has lost the lease to a standby when it wakes, and does no harm', async () => {
    const leader = cluster.services.all.find(({ name }) => name === 'coordinator-0');
    const standby = cluster.services.coordinator('coordinator-standby');
    await standby.says('ready');
    const worker = cluster.services.worker('worker', { faults: [{ at: 'computing', position: 5, do: 'hold' }] });
    await worker.says('ready');
    const run = cluster.run();
    await worker.says('failing on purpose');
    leader?.signal('SIGSTOP');
    worker.signal('SIGUSR2');
    await standby.says('leading');
    leader?.signal('SIGCONT');
    await leader?.says('lost the lease');
    expect(bitsOf((await run).results)).toEqual(undisturbed);
  });
});

describe('two members that do not reach each other any more', { timeout: 120_000 }, () => {
  const proxies: TcpProxy[] = [];
  afterEach(async () => {
    for (const proxy of proxies.splice(0)) await proxy.close();
  });

  it.each([
    ['direct', 'part, and the job goes on with one of them'],
    ['auto', 'go on over the broker'],
  ] as const)('directly, with exchange %s, %s', async (exchange, _) => {
    // Where the path of its socket would be too long for the system a worker is reached over TCP alone.
    const long = join(folder, 'a-folder-with-a-long-name-'.repeat(5));
    const options = async () => {
      const port = await freePort();
      const proxy = await tcpProxy({ host: '127.0.0.1', port });
      proxies.push(proxy);
      const parameters = ['--listen', `127.0.0.1:${port}`, '--advertise', `127.0.0.1:${proxy.port}`];
      return { parameters, env: { TMPDIR: long } };
    };
    const held = { at: 'computing', position: 5, do: 'hold' } as const;
    const pair = await cluster.pair({ ...(await options()), faults: [held] }, await options());
    const { first, second } = pair;
    const { run } = await cluster.runWith(pair, { ...everything, exchange });
    await first.says('failing on purpose');
    expect(proxies.reduce((sum, { connections }) => sum + connections, 0)).toBeGreaterThan(0);
    for (const proxy of proxies) proxy.failAfter(0, 'swallow');
    first.signal('SIGUSR2');
    const { results } = await run;
    expect(bitsOf(results)).toEqual(undisturbed);
    const said = [...first.lines, ...second.lines].map(({ msg }) => msg);
    expect(said.includes('members were lost')).toBe(exchange === 'direct');
  });
});
