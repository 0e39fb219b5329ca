import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { request } from 'node:https';
import { createUserKey } from '@crossfold/shared/broker/keys';
import { CrossfoldError, ExitCode } from '@crossfold/shared/errors';
import { z } from 'zod';
import { brokerUsers, keyVariable } from './broker-users.ts';
import { routePasswordVariable } from './kubernetes-config.ts';

/** Where a pod finds the cluster it runs in. */
export interface KubernetesAccess {
  readonly host: string;
  readonly port: number;
  readonly token: string;
  readonly ca: string;
  readonly namespace: string;
}

const mounted = '/var/run/secrets/kubernetes.io/serviceaccount';
const Environment = z.object({
  KUBERNETES_SERVICE_HOST: z.string().min(1),
  KUBERNETES_SERVICE_PORT: z.coerce.number().int().min(1).max(65_535),
});

/** @throws CrossfoldError (usage) where this process does not run in a pod with a service account's token. */
export async function accessFromPod(env: NodeJS.ProcessEnv): Promise<KubernetesAccess> {
  const parsed = Environment.safeParse(env);
  const read = (file: string): Promise<string> => readFile(`${mounted}/${file}`, 'utf8');
  try {
    if (!parsed.success) throw new Error('KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set');
    const [token, ca, namespace] = await Promise.all([read('token'), read('ca.crt'), read('namespace')]);
    const { KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: port } = parsed.data;
    return { host, port, token: token.trim(), ca, namespace: namespace.trim() };
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new CrossfoldError(`this is for a pod with a service account's token: ${reason}`, ExitCode.usage);
  }
}

const answerMs = 20_000;
const maxAnswerBytes = 64 * 1024;

/**
 * Makes the Secret with every user's seed (`<user>.nk`) and public key (`<USER>_NKEY`), and the servers' own password, unless one of that name is
 * there: then it stays as it is, whoever made it. One write, so that of several at once one wins and all agree.
 *
 * @returns whether it was made
 * @throws CrossfoldError with what the cluster answered where it refuses.
 */
export async function ensureSecret(access: KubernetesAccess, name: string): Promise<boolean> {
  const stringData: Record<string, string> = {};
  for (const user of brokerUsers) {
    const { seed, publicKey } = createUserKey();
    stringData[`${user}.nk`] = seed;
    stringData[keyVariable(user)] = publicKey;
  }
  // Begins with a letter: the server's configuration takes it for a number otherwise.
  stringData[routePasswordVariable] = `r${randomBytes(24).toString('hex')}`;
  const labels = { 'app.kubernetes.io/part-of': 'crossfold' };
  const secret = {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name, labels },
    type: 'Opaque',
    immutable: true,
    stringData,
  };
  const { status, text } = await post(access, `/api/v1/namespaces/${access.namespace}/secrets`, JSON.stringify(secret));
  if (status === 201) return true;
  if (status === 409) return false;
  throw new CrossfoldError(
    `the cluster refused to make secret ${name} (${status}): ${text.slice(0, 500)}`,
    ExitCode.failed,
  );
}

function post(
  { host, port, token, ca }: KubernetesAccess,
  path: string,
  body: string,
): Promise<{ status: number; text: string }> {
  return new Promise((resolve, reject) => {
    const headers = {
      authorization: `Bearer ${token}`,
      'content-type': 'application/json',
      'content-length': Buffer.byteLength(body),
    };
    const call = request({ host, port, ca, path, method: 'POST', headers, timeout: answerMs }, (response) => {
      const chunks: Buffer[] = [];
      let bytes = 0;
      response.on('data', (chunk: Buffer) => {
        bytes += chunk.length;
        if (bytes <= maxAnswerBytes) chunks.push(chunk);
      });
      response.on('error', reject);
      response.on('end', () => resolve({ status: response.statusCode ?? 0, text: Buffer.concat(chunks).toString() }));
    });
    call.on('timeout', () => call.destroy(new Error(`the cluster did not answer within ${answerMs / 1000} s`)));
    call.on('error', reject);
    call.end(body);
  });
}
