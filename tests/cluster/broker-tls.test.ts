import { execFileSync } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connectBroker } from '@crossfold/shared/broker/connection';
import { UnreachableError } from '@crossfold/shared/errors';
import { Events } from 'nats';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { TestBroker } from '../support/broker.ts';
import { startBroker } from '../support/broker.ts';

let folder: string;
let server: TestBroker;
/** One whose certificate is for its IP address, and for no name. */
let byAddress: TestBroker;

const openssl = (...parameters: readonly string[]): void =>
  void execFileSync('openssl', parameters, { cwd: folder, stdio: 'pipe' });

/** An authority of its own, and certificates that it has signed. */
function authority(name: string, subjects: readonly string[], place = 'DNS:localhost'): void {
  const fresh = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
  openssl(
    'req',
    '-x509',
    ...fresh,
    '-keyout',
    `${name}.key`,
    '-out',
    `${name}.pem`,
    '-days',
    '2',
    '-subj',
    `/CN=${name}`,
  );
  for (const subject of subjects) {
    const own = `${name}-${subject}`;
    openssl(
      'req',
      ...fresh,
      '-keyout',
      `${own}.key`,
      '-out',
      `${own}.csr`,
      '-subj',
      `/CN=${subject}`,
      '-addext',
      `subjectAltName=${place}`,
    );
    openssl(
      'x509',
      '-req',
      '-in',
      `${own}.csr`,
      '-CA',
      `${name}.pem`,
      '-CAkey',
      `${name}.key`,
      '-CAcreateserial',
      '-copy_extensions',
      'copy',
      '-out',
      `${own}.pem`,
      '-days',
      '2',
    );
  }
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'crossfold-tls-'));
  authority('ours', ['server', 'client']);
  authority('theirs', ['client']);
  const file = (name: string): string => JSON.stringify(join(folder, name));
  const config = join(folder, 'nats.conf');
  await writeFile(
    config,
    `tls { cert_file: ${file('ours-server.pem')}, key_file: ${file('ours-server.key')}, ca_file: ${file('ours.pem')}, verify: true }\n`,
  );
  server = await startBroker({ config });
  authority('address', ['server'], 'IP:127.0.0.1');
  const other = join(folder, 'address.conf');
  await writeFile(other, `tls { cert_file: ${file('address-server.pem')}, key_file: ${file('address-server.key')} }\n`);
  byAddress = await startBroker({ config: other });
});
afterAll(async () => {
  await byAddress.stop();
  await server.stop();
  await rm(folder, { recursive: true, force: true });
});

const connect = (files: Readonly<Record<string, string>>) => {
  const query = new URLSearchParams(
    Object.entries(files).map(([what, name]): [string, string] => [what, join(folder, name)]),
  );
  return connectBroker(`tls://localhost:${server.port}?${query}`, 'test');
};
const ours = { ca: 'ours.pem', cert: 'ours-client.pem', key: 'ours-client.key' };

it('a broker that asks for certificates takes those of its authority', async () => {
  const nats = await connect(ours);
  await nats.flush();
  expect(nats.info?.tls_required).toBe(true);
  await nats.close();
});

it.each([
  ['a client without a certificate', { ca: 'ours.pem' }],
  [
    'a client with the certificate of another authority',
    { ...ours, cert: 'theirs-client.pem', key: 'theirs-client.key' },
  ],
  ['a broker that the authority of the client does not vouch for', { ...ours, ca: 'theirs.pem' }],
])('refuses %s, in words', async (_who, files) => {
  const refused = connect(files).then(async (nats) => {
    // With TLS 1.3 the broker may say so a moment later.
    const ended = await nats.flush().then(
      () => 'taken',
      () => 'refused',
    );
    await nats.close();
    if (ended === 'refused') throw new UnreachableError('refused');
  });
  await expect(refused).rejects.toBeInstanceOf(UnreachableError);
});

it('of several servers the next is gone to, with the same certificates, wherever in the list they are named', async () => {
  const two = await Promise.all([1, 2].map(() => startBroker({ config: join(folder, 'nats.conf') })));
  const [first, second] = two.map(({ port }) => `localhost:${port}`);
  const query = new URLSearchParams(
    Object.entries(ours).map(([what, name]): [string, string] => [what, join(folder, name)]),
  );
  const nats = await connectBroker(`tls://${first},tls://${second}?${query}`, 'test');
  const used = nats.getServer();
  const back = (async () => {
    for await (const { type } of nats.status()) if (type === Events.Reconnect) return;
  })();
  await two.find(({ port }) => used.endsWith(`:${port}`))?.kill();
  await back;
  await nats.flush();
  expect([used, nats.getServer()].sort()).toEqual([first, second].sort());
  await nats.close();
  for (const each of two) await each.stop();
});

it('a broker that is named by its IP address has to have a certificate for it', async () => {
  const nats = await connectBroker(`tls://127.0.0.1:${byAddress.port}?ca=${join(folder, 'address.pem')}`, 'test');
  await nats.flush();
  await nats.close();
  const query = new URLSearchParams(
    Object.entries(ours).map(([what, name]): [string, string] => [what, join(folder, name)]),
  );
  await expect(connectBroker(`tls://127.0.0.1:${server.port}?${query}`, 'test')).rejects.toThrow(
    /cannot reach the broker at 127\.0\.0\.1:\d+: .*127\.0\.0\.1 is not in the cert/,
  );
  await expect(
    connectBroker(`tls://localhost:${byAddress.port}?ca=${join(folder, 'address.pem')}`, 'test'),
  ).rejects.toThrow(UnreachableError);
});
