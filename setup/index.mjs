/** The Python package index, spoken to without Python: where a wheel lies (PEP 503/691), and GET over HTTPS. */
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import { rootCertificates } from 'node:tls';

/** @typedef {{ file: string, sha256: string, size: number }} Wheel as setup/wheels.json pins it */

/** @param {Wheel} wheel */
export function projectOf(wheel) {
  return wheel.file.slice(0, wheel.file.indexOf('-')).replaceAll('_', '-').toLowerCase();
}

/**
 * The index that pip would use: its environment variable, else its configuration, else the public one.
 * @param {NodeJS.ProcessEnv} env
 */
export function indexUrl(env) {
  const configured = env.PIP_INDEX_URL || pipSetting('global.index-url', env) || 'https://pypi.org/simple';
  return configured.replace(/\/+$/, '');
}

/**
 * @param {string} name
 * @param {NodeJS.ProcessEnv} env
 */
function pipSetting(name, env) {
  const got = spawnSync('python3', ['-m', 'pip', 'config', 'get', name], { env, encoding: 'utf8', timeout: 20_000 });
  return got.status === 0 ? got.stdout.trim() : '';
}

/**
 * @param {Wheel} wheel
 * @param {NodeJS.ProcessEnv} env
 * @returns {Promise<URL>}
 */
export async function locate(wheel, env) {
  const page = new URL(`${indexUrl(env)}/${projectOf(wheel)}/`);
  const accept = 'application/vnd.pypi.simple.v1+json, text/html;q=0.5';
  const response = await get(page, { accept }, env);
  if (response.statusCode !== 200) throw new Error(`${page.host} answers ${response.statusCode} for ${page.pathname}`);
  const chunks = [];
  for await (const chunk of response) chunks.push(chunk);
  const found = findFile(Buffer.concat(chunks).toString('utf8'), wheel.file);
  if (found === undefined) throw new Error(`${page.host} does not have ${wheel.file}`);
  const url = new URL(found, page);
  if (url.host === page.host) [url.username, url.password] = [page.username, page.password];
  return url;
}

/**
 * The address of a file in an index page, JSON or HTML.
 * @param {string} page
 * @param {string} file
 * @returns {string | undefined}
 */
export function findFile(page, file) {
  if (page.trimStart().startsWith('{')) {
    /** @type {{ files: { filename: string, url: string }[] }} */
    const { files } = JSON.parse(page);
    return files.find((f) => f.filename === file)?.url;
  }
  for (const [, href] of page.matchAll(/<a\s[^>]*href\s*=\s*["']([^"']+)["']/gi)) {
    const address = href?.replaceAll('&amp;', '&').split('#')[0];
    if (address !== undefined && decodeURIComponent(address.split('/').at(-1) ?? '').split('?')[0] === file)
      return address;
  }
  return undefined;
}

/**
 * GET that follows redirects. The caller reads the body or destroys it.
 * @param {URL} url
 * @param {Record<string, string>} headers
 * @param {NodeJS.ProcessEnv} env
 * @param {number} [redirects]
 * @returns {Promise<http.IncomingMessage>}
 */
export function get(url, headers, env, redirects = 5) {
  return new Promise((resolve, reject) => {
    const auth =
      url.username === '' ? {} : { auth: `${decodeURIComponent(url.username)}:${decodeURIComponent(url.password)}` };
    const options = { headers: { 'user-agent': 'crossfold-setup', ...headers }, timeout: 30_000, ...auth };
    const request =
      url.protocol === 'http:' ? http.get(url, options) : https.get(url, { ...options, ...certificates(env) });
    request.on('timeout', () => request.destroy(new Error(`nothing heard from ${url.host} for 30 s`)));
    request.on('error', reject);
    request.on('response', (response) => {
      const { statusCode = 0, headers: answer } = response;
      if (statusCode < 300 || statusCode >= 400 || answer.location === undefined) return resolve(response);
      response.resume();
      if (redirects === 0) return reject(new Error(`${url.host} redirects in circles`));
      resolve(get(new URL(answer.location, url), headers, env, redirects - 1));
    });
  });
}

/**
 * Authorities that pip, Python or OpenSSL would be told of; Node itself only looks at NODE_EXTRA_CA_CERTS.
 * @param {NodeJS.ProcessEnv} env
 * @returns {{ ca?: string[] }}
 */
export function certificates(env) {
  const names = ['PIP_CERT', 'REQUESTS_CA_BUNDLE', 'SSL_CERT_FILE', 'NODE_EXTRA_CA_CERTS'];
  const files = new Set(names.map((name) => env[name] ?? '').filter((file) => file !== '' && existsSync(file)));
  return files.size === 0 ? {} : { ca: [...rootCertificates, ...[...files].map((file) => readFileSync(file, 'utf8'))] };
}
