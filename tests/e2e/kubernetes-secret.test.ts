import { mkdtemp, readFile, rm } from 'node:fs/promises';
import type { Server } from 'node:https';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { renderAuthorization } from '@crossfold/coordinator/deploy/broker-users';
import type { KubernetesAccess } from '@crossfold/coordinator/deploy/kubernetes-secret';
import { ensureSecret } from '@crossfold/coordinator/deploy/kubernetes-secret';
import { userKeyOf } from '@crossfold/shared/broker/keys';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { run } from './support/docker.ts';

// The cluster's API as the job meets it: HTTPS with a certificate of the cluster's own authority, a token, and what it
// answers to one who may create secrets and nothing else.
interface Secret {
  readonly metadata: { readonly name: string };
  readonly immutable: boolean;
  readonly stringData: Readonly<Record<string, string>>;
}
let folder: string;
let server: Server;
let access: KubernetesAccess;
let secrets: Map<string, Secret>;
let allowed: boolean;

async function certificate(name: string): Promise<void> {
  const key = ['-newkey', 'rsa:2048', '-nodes', '-keyout', `${name}.key`, '-subj', `/CN=${name}`];
  const made = ['-x509', '-days', '2', '-out', `${name}.crt`, '-addext', 'subjectAltName=IP:127.0.0.1'];
  const { code, stderr } = await run('openssl', ['req', ...key, ...made], { cwd: folder });
  if (code !== 0) throw new Error(stderr);
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'crossfold-secret-'));
  await certificate('api');
  await certificate('other');
  return () => rm(folder, { recursive: true, force: true });
});

beforeEach(async () => {
  const [key, cert] = await Promise.all(['api.key', 'api.crt'].map((name) => readFile(join(folder, name), 'utf8')));
  secrets = new Map();
  allowed = true;
  server = createServer({ key, cert }, (request, response) => {
    let body = '';
    request.on('data', (part) => (body += part));
    request.on('end', () => {
      const answer = (status: number, message: string) => response.writeHead(status).end(JSON.stringify({ message }));
      if (request.headers.authorization !== 'Bearer t0ken' || !allowed) return answer(403, 'secrets is forbidden');
      if (request.method !== 'POST' || request.url !== '/api/v1/namespaces/crossfold/secrets') return answer(404, '');
      const secret = JSON.parse(body) as Secret;
      if (secrets.has(secret.metadata.name)) return answer(409, 'already exists');
      secrets.set(secret.metadata.name, secret);
      return answer(201, '');
    });
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const { port } = server.address() as AddressInfo;
  access = { host: '127.0.0.1', port, token: 't0ken', ca: cert ?? '', namespace: 'crossfold' };
});
afterEach(async () => {
  server.closeAllConnections();
  await new Promise((done) => server.close(done));
});

describe('the Secret of an installation', () => {
  it('has a key for each user, whose public half the servers are given, and is made once', async () => {
    expect(await Promise.all([ensureSecret(access, 'keys'), ensureSecret(access, 'keys')])).toEqual(
      expect.arrayContaining([true, false]),
    );
    const made = secrets.get('keys');
    expect(made?.immutable).toBe(true);
    const data = made?.stringData ?? {};
    expect(Object.keys(data)).toHaveLength(9);
    const variables = new Set<string>();
    renderAuthorization((user) => {
      const variable = `${user.toUpperCase()}_NKEY`;
      variables.add(variable);
      expect(userKeyOf(data[`${user}.nk`] ?? '')?.publicKey).toBe(data[variable]);
      return variable;
    });
    expect(new Set([...variables].map((variable) => data[variable])).size).toBe(4);
    // A number would be read as one by the servers' configuration.
    expect(data.ROUTE_PASSWORD).toMatch(/^r[0-9a-f]{48}$/);
    expect(await ensureSecret(access, 'keys')).toBe(false);
    expect(secrets.get('keys')).toBe(made);
  });

  it('is refused with what the cluster says, and to a cluster that is not the one', async () => {
    allowed = false;
    await expect(ensureSecret(access, 'keys')).rejects.toThrow(/refused to make secret keys \(403\): .*forbidden/);
    const ca = await readFile(join(folder, 'other.crt'), 'utf8');
    await expect(ensureSecret({ ...access, ca }, 'keys')).rejects.toThrow(/self-signed|unable to verify/);
    expect(secrets.size).toBe(0);
  });
});
