import { isIP } from 'node:net';
import type { PeerCertificate } from 'node:tls';
import { checkServerIdentity } from 'node:tls';
import type { Authenticator, TlsOptions } from 'nats';
import { credsAuthenticator, nkeyAuthenticator, tokenAuthenticator, usernamePasswordAuthenticator } from 'nats';
import { ConfigError } from '../errors.ts';
import { readTextFile } from '../text-file.ts';

/** Where the broker is and what to show it. */
export interface BrokerAddress {
  /** `host:port`, one or more. */
  readonly servers: readonly string[];
  readonly authenticator?: Authenticator;
  readonly tls?: TlsOptions;
}

/** Files that an address may name, as query parameters, and the environment variables that name them otherwise. */
const accessFiles = {
  credentials: 'CROSSFOLD_NATS_CREDENTIALS',
  ca: 'CROSSFOLD_NATS_CA',
  cert: 'CROSSFOLD_NATS_CERT',
  key: 'CROSSFOLD_NATS_KEY',
} as const;
type AccessFile = keyof typeof accessFiles;

/**
 * Reads `nats://host:4222` or, for TLS, `tls://host:4222`; several servers are separated by commas. A user and password
 * (`user:password@`) or a token (`token@`) may stand before one of the hosts, for all of them. So may query parameters behind one; they name files:
 * `?credentials=FILE` holds an nkey seed, a `.creds` file, `user:password` or a token; `ca`, `cert` and `key` hold
 * PEM for TLS.
 *
 * @throws ConfigError where it is no address, or names a file that cannot be read.
 */
export function parseBrokerAddress(text: string): BrokerAddress {
  const parts = text.split(',');
  // A comma may be meant as part of a password: what stands before one is shown only where no credentials follow.
  const urls = parts.map((part, i) =>
    parseUrl(
      part,
      parts.slice(i + 1).some((later) => later.includes('@')),
    ),
  );
  const files =
    only(
      urls.filter((url) => url.search !== ''),
      'files',
    )?.searchParams ?? new URLSearchParams();
  const identified = only(
    urls.filter((url) => url.username !== ''),
    'credentials',
  );
  for (const name of files.keys())
    if (!(name in accessFiles))
      throw new ConfigError(`a broker's address takes no ${name}; allowed: ${Object.keys(accessFiles).join(', ')}`);
  const authenticator = authenticatorOf(identified, files.get('credentials'));
  const tls = urls.some((url) => url.protocol === 'tls:') || files.has('ca') || files.has('cert') || files.has('key');
  return {
    servers: urls.map((url) => `${url.hostname}:${url.port === '' ? '4222' : url.port}`),
    ...(authenticator === undefined ? {} : { authenticator }),
    ...(tls ? { tls: { ...tlsOptions(files), ...identityByAddress(urls.map((url) => url.hostname)) } } : {}),
  };
}

/**
 * The address with the files that the environment names, where it names none itself and has no credentials inside.
 */
export function withAccess(address: string, env: NodeJS.ProcessEnv): string {
  const named = Object.entries(accessFiles).filter(([, variable]) => (env[variable] ?? '') !== '');
  if (named.length === 0 || /[?]/.test(address)) return address;
  const own = address.includes('@');
  const wanted = named.filter(([name]) => name !== 'credentials' || !own);
  const query = new URLSearchParams(wanted.map(([name, variable]): [string, string] => [name, env[variable] ?? '']));
  if (query.size === 0) return address;
  const [first = '', ...others] = address.split(',');
  return [`${first}?${query}`, ...others].join(',');
}

function parseUrl(text: string, secret: boolean): URL {
  const wrong = (): ConfigError =>
    new ConfigError(
      `${JSON.stringify(secret ? '***' : text.replace(/^(\s*\w+:\/\/)?.*@/s, '$1***@'))} is not a broker's address; one looks like nats://host:4222, or tls://host:4222 (--nats, CROSSFOLD_NATS_URL)`,
    );
  try {
    const url = new URL(text.includes('://') ? text.trim() : `nats://${text.trim()}`);
    // What is not special to URL parsing has its host taken as it stands.
    if (
      ['nats:', 'tls:'].includes(url.protocol) &&
      /^[\w.-]+$|^\[[\da-f:.]+\]$/i.test(url.hostname) &&
      url.port !== '0'
    )
      return url;
  } catch {
    // It is none.
  }
  throw wrong();
}

/** What one of several servers says for all of them. */
function only(urls: readonly URL[], what: string): URL | undefined {
  if (urls.length > 1)
    throw new ConfigError(`${what} of a broker with several servers are named once, at one of them (--nats)`);
  return urls[0];
}

function authenticatorOf(url: URL | undefined, file: string | null): Authenticator | undefined {
  if (file !== null) return fromFile(file);
  if (url === undefined) return undefined;
  const user = decodeURIComponent(url.username);
  if (user === '') return undefined;
  if (url.password === '') return tokenAuthenticator(user);
  return usernamePasswordAuthenticator(user, decodeURIComponent(url.password));
}

/** Read again with every connection, so that a file that was exchanged counts from the next reconnection on. */
function fromFile(file: string): Authenticator {
  const read = (): string => readAccessFile('credentials', file).trim();
  read();
  return (nonce) => {
    const text = read();
    if (text.includes('BEGIN NATS USER JWT')) return credsAuthenticator(new TextEncoder().encode(text))(nonce);
    if (/^SU[A-Z2-7]{56}$/.test(text)) return nkeyAuthenticator(new TextEncoder().encode(text))(nonce);
    const colon = text.indexOf(':');
    if (colon < 0) return tokenAuthenticator(text)(nonce);
    return usernamePasswordAuthenticator(text.slice(0, colon), text.slice(colon + 1))(nonce);
  };
}

function tlsOptions(files: URLSearchParams): TlsOptions {
  const read = (name: AccessFile): string | undefined => {
    const file = files.get(name);
    return file === null ? undefined : readAccessFile(name, file);
  };
  const [ca, cert, key] = [read('ca'), read('cert'), read('key')];
  return {
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
  };
}

/**
 * The client leaves the name out where a server is given by its IP address, and Node then takes the certificate for one of
 * `localhost`: here it has to be for one of the addresses that were given. Servers that have names are checked by these.
 */
function identityByAddress(hosts: readonly string[]): {
  checkServerIdentity?: (name: string, certificate: PeerCertificate) => Error | undefined;
} {
  const addresses = hosts.map((host) => host.replace(/^\[|\]$/g, '')).filter((host) => isIP(host) !== 0);
  if (addresses.length === 0) return {};
  return {
    checkServerIdentity: (name, certificate) => {
      if (name !== 'localhost' || hosts.includes(name)) return checkServerIdentity(name, certificate);
      const wrong = addresses.map((address) => checkServerIdentity(address, certificate));
      return wrong.includes(undefined) ? undefined : wrong[0];
    },
  };
}

function readAccessFile(name: AccessFile, file: string): string {
  try {
    return readTextFile(file);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new ConfigError({
      field: accessFiles[name],
      value: file,
      allowed: `the broker's ${name} file cannot be read (${reason})`,
    });
  }
}
