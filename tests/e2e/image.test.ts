import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { GenericContainer, Network, Wait } from 'testcontainers';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { docker, run } from './support/docker.ts';

const root = resolve(import.meta.dirname, '../..');
const image = 'crossfold:latest';

interface Inspected {
  readonly Config: {
    readonly User: string;
    readonly Labels: Record<string, string>;
    readonly Healthcheck: { readonly Test: readonly string[] };
    readonly Env: readonly string[];
  };
}

/** Runs a command in a container as locked down as deployments have it. */
const inside = (entrypoint: string, ...args: readonly string[]) =>
  run('docker', [
    'run',
    '--rm',
    '--read-only',
    '--tmpfs=/tmp',
    '--cap-drop=ALL',
    '--security-opt=no-new-privileges:true',
    '--network=none',
    `--entrypoint=${entrypoint}`,
    image,
    ...args,
  ]);

const Bill = z.object({
  components: z.array(z.object({ purl: z.string(), licenses: z.array(z.unknown()).optional() })),
});
const Installed = z.object({
  packages: z.record(z.string(), z.object({ version: z.string().optional(), link: z.boolean().optional() })),
});

describe('the image', () => {
  it('runs as nobody in particular, has a health check and labels', async () => {
    const [{ Config }] = JSON.parse(await docker('image', 'inspect', image)) as [Inspected];
    expect(Config.User).toBe('1000:1000');
    expect(Config.Healthcheck.Test).toContain('/app/coordinator/bin/healthy.cjs');
    const { version } = JSON.parse(readFileSync(resolve(root, 'package.json'), 'utf8')) as { version: string };
    expect(Config.Labels).toMatchObject({
      'org.opencontainers.image.title': 'Crossfold',
      'org.opencontainers.image.licenses': 'Apache-2.0',
      'org.opencontainers.image.version': version,
    });
    expect((await inside('id', '-u')).stdout.trim()).toBe('1000');
  });

  it('has no compiler, no Python and nothing but production packages', async () => {
    const tools = 'for t in cc gcc g++ clang make python3 pip pip3 node-gyp; do command -v $t; done; exit 0';
    expect((await inside('sh', '-c', tools)).stdout).toBe('');
    const listed = await inside('ls', '/app/node_modules');
    expect(listed.stdout).toContain('nats');
    expect(listed.stdout).not.toMatch(/^(typescript|vitest|testcontainers)$/m);
    expect((await inside('ls', '/app')).stdout.split('\n').sort()).not.toContain('setup');
  });

  it('holds its bill of materials, with every npm package that is in it', async () => {
    const read = async (file: string): Promise<unknown> => JSON.parse((await inside('cat', `/app/${file}`)).stdout);
    const bill = Bill.parse(await read('sbom.cdx.json'));
    const listed = new Set(bill.components.map(({ purl }) => decodeURIComponent(purl)));
    const { packages } = Installed.parse(await read('node_modules/.package-lock.json'));
    const there = Object.entries(packages).flatMap(([path, { version, link }]) =>
      link === true || !path.includes('node_modules/')
        ? []
        : [`pkg:npm/${path.split('node_modules/').at(-1)}@${version}`],
    );
    expect(there.length).toBeGreaterThan(100);
    expect(there.filter((one) => !listed.has(one))).toEqual([]);
    expect(bill.components.filter(({ licenses }) => licenses === undefined)).toEqual([]);
  });

  it('cannot be written to, and needs to be nowhere but in its volumes', async () => {
    const written = await inside('sh', '-c', 'touch /app/x; touch /opt/x; touch /usr/local/bin/x; ls /app/x /opt/x');
    expect(written.code).not.toBe(0);
    expect((await inside('crossfold', '--version')).stdout).toMatch(/^\d+\.\d+\.\d+/);
  });

  it('loads TensorFlow', async () => {
    const script = "process.stdout.write(require('@tensorflow/tfjs-node-gpu').version['tfjs-node'])";
    const loaded = await inside('sh', '-c', `cd /app/worker && node -e "${script}"`);
    expect(`${loaded.stdout}${loaded.code === 0 ? '' : loaded.stderr}`).toMatch(/^\d+\.\d+\.\d+$/);
  });

  it('is a whole cluster by itself, with a read-only root and no network', async () => {
    const ended = await run('docker', [
      'run',
      '--rm',
      '--read-only',
      '--tmpfs=/tmp',
      '--tmpfs=/work:uid=1000',
      '--cap-drop=ALL',
      '--network=none',
      image,
      'run',
      '/app/examples/mnist-kfold.yaml',
      '--workers=1',
      '--set=dataset.limit=400',
      '--set=training.epochs=1',
      '--json',
    ]);
    expect(ended.stderr).toContain('completed');
    expect(JSON.parse(ended.stdout)).toMatchObject({ status: 'completed', dataset: { samples: 400 } });
  });

  it('says in one line, with exit code 3, that there is no broker', async () => {
    const ended = await run('docker', [
      'run',
      '--rm',
      '--network=none',
      image,
      'worker',
      '--nats=nats://127.0.0.1:4222',
    ]);
    expect(ended.code).toBe(3);
    expect(ended.stderr.trim().split('\n').at(-1)).toContain('cannot reach the broker at 127.0.0.1:4222');
  });
});

describe('a worker in a container', () => {
  it('is healthy once it is ready, and says so no more when its broker is gone', async () => {
    const network = await new Network().start();
    const nats = await new GenericContainer('nats:2')
      .withNetwork(network)
      .withNetworkAliases('nats')
      .withCommand(['nats-server', '-js'])
      .withWaitStrategy(Wait.forLogMessage(/Server is ready/))
      .start();
    const worker = await new GenericContainer(image)
      .withNetwork(network)
      .withCommand(['worker', '--nats', 'nats://nats:4222'])
      .withEnvironment({ CROSSFOLD_HTTP: '0.0.0.0:9471' })
      .withTmpFs({ '/var/lib/crossfold/cache': 'uid=1000' })
      .withExposedPorts(9471)
      .withWaitStrategy(Wait.forHealthCheck())
      .withStartupTimeout(120_000)
      .start();
    try {
      const at = `http://${worker.getHost()}:${worker.getMappedPort(9471)}`;
      expect((await fetch(`${at}/readyz`)).status).toBe(200);
      expect(await (await fetch(`${at}/metrics`)).text()).toContain('crossfold_build_info{');
      await nats.stop();
      await expect.poll(async () => (await fetch(`${at}/readyz`)).status, { timeout: 30_000 }).toBe(503);
      expect((await fetch(`${at}/livez`)).status).toBe(200);
      // Told to end, it ends well, even without a broker to hand over to.
      await docker('stop', '--time=40', worker.getId());
      expect(await docker('inspect', '--format={{.State.ExitCode}}', worker.getId())).toBe('0');
    } finally {
      await worker.stop();
      await nats.stop().catch(() => undefined);
      await network.stop();
    }
  });
});
