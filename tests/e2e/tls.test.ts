import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { brokerUsers, renderAuthorization } from '@crossfold/coordinator/deploy/broker-users';
import { connectBroker } from '@crossfold/shared/broker/connection';
import { createUserKey } from '@crossfold/shared/broker/keys';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { TestBroker } from '../support/broker.ts';
import { startBroker } from '../support/broker.ts';
import { run } from './support/docker.ts';

// A broker that is reached by TLS alone, with certificates as an authority of one's own makes them: the server's, and one
// that clients have to show.
const root = resolve(import.meta.dirname, '../..');
let folder: string;
let server: TestBroker;

const file = (name: string): string => join(folder, name);
async function openssl(...args: readonly string[]): Promise<void> {
  const { code, stderr } = await run('openssl', args, { cwd: folder });
  if (code !== 0) throw new Error(`openssl ${args.join(' ')}: ${stderr}`);
}
async function authority(name: string): Promise<void> {
  const key = ['-newkey', 'rsa:2048', '-nodes', '-keyout', `${name}.key`];
  await openssl('req', '-x509', ...key, '-out', `${name}.crt`, '-subj', `/CN=${name}`, '-days', '2');
}
async function signed(name: string, extension: string): Promise<void> {
  await openssl(
    ...[
      'req',
      '-newkey',
      'rsa:2048',
      '-nodes',
      '-keyout',
      `${name}.key`,
      '-out',
      `${name}.csr`,
      '-subj',
      `/CN=${name}`,
    ],
  );
  await writeFile(file(`${name}.ext`), extension);
  const by = ['-CA', 'ca.crt', '-CAkey', 'ca.key', '-CAcreateserial', '-days', '2', '-extfile', `${name}.ext`];
  await openssl('x509', '-req', '-in', `${name}.csr`, '-out', `${name}.crt`, ...by);
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'crossfold tls '));
  await authority('ca');
  await authority('other');
  await signed('server', 'subjectAltName=IP:127.0.0.1,DNS:localhost\n');
  await signed('client', 'extendedKeyUsage=clientAuth\n');
  const keys = new Map(brokerUsers.map((user) => [user, createUserKey()]));
  await writeFile(file('client.nk'), keys.get('client')?.seed ?? '', { mode: 0o600 });
  const authorization = renderAuthorization((user) => keys.get(user)?.publicKey ?? '');
  const tls = `tls: { cert_file: "${file('server.crt')}", key_file: "${file('server.key')}", ca_file: "${file('ca.crt')}", verify: true }`;
  await writeFile(file('tls.conf'), `${authorization}${tls}\n`);
  server = await startBroker({ config: file('tls.conf') });
});
afterAll(async () => {
  await server?.stop();
  await rm(folder, { recursive: true, force: true });
});

const address = (scheme: string, files: Readonly<Record<string, string>>): string => {
  const named = Object.entries(files).map(([name, value]): [string, string] => [name, file(value)]);
  return `${scheme}://127.0.0.1:${server.port}?${new URLSearchParams(named)}`;
};
const whole = { credentials: 'client.nk', ca: 'ca.crt', cert: 'client.crt', key: 'client.key' };

describe('a broker with TLS', () => {
  it.each(['tls', 'nats'])('is reached by %s:// with the authority and a certificate', async (scheme) => {
    const nats = await connectBroker(address(scheme, whole), 'test', 'client');
    expect(nats.info).toMatchObject({ tls_required: true, tls_verify: true });
    await nats.close();
  });

  it.each([
    [
      'an authority that is not the right one',
      { ...whole, ca: 'other.crt' },
      /self.signed certificate|unable to verify/,
    ],
    [
      'no certificate',
      { credentials: whole.credentials, ca: whole.ca },
      /127\.0\.0\.1:\d+: it does not answer, or does not take our certificate/,
    ],
    ['a key that is not its own', { ...whole, key: 'other.key' }, /key values mismatch/],
  ])('is not with %s', async (_, files, reason) => {
    await expect(connectBroker(address('tls', files), 'test', 'client')).rejects.toThrow(reason);
  });

  it('is used by the command line, by the files that its environment names', async () => {
    const command = (verb: string, ca: string) =>
      run('node', [join(root, 'coordinator/bin/main.cjs'), verb, '--nats', `tls://localhost:${server.port}`], {
        cwd: folder,
        env: {
          ...process.env,
          CROSSFOLD_NATS_CREDENTIALS: file('client.nk'),
          CROSSFOLD_NATS_CA: file(ca),
          CROSSFOLD_NATS_CERT: file('client.crt'),
          CROSSFOLD_NATS_KEY: file('client.key'),
        },
      });
    const refused = await command('list', 'other.crt');
    expect(refused.code).toBe(3);
    expect(refused.stderr).toMatch(/^crossfold: cannot reach the broker at localhost:\d+: .*certificate.*\n$/);
    expect((await command('doctor', 'ca.crt')).stdout).toMatch(/^ok +broker +nats-server \S+, .*JetStream on$/m);
  });
});
