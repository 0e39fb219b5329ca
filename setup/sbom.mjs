/**
 * Writes the bill of materials of what is shipped (CycloneDX 1.5, JSON) to stdout, for scanners: `npm run sbom`, and
 * /app/sbom.cdx.json in the image. npm's own leaves out what tools need as well. The same lock file gives the same bill.
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';

const root = resolve(import.meta.dirname, '..');
const json = (/** @type {string} */ path) => JSON.parse(readFileSync(resolve(root, path), 'utf8'));

/**
 * npm packages that are shipped (what `npm ci --omit=dev` installs), from package-lock.json.
 *
 * @returns {{ name: string, version: string, licence: string, integrity?: string }[]} sorted by name
 */
export function shipped() {
  /** @type {{ packages: Record<string, { version?: string, license?: string, integrity?: string, dev?: boolean, link?: boolean }> }} */
  const lock = json('package-lock.json');
  const found = new Map();
  for (const [path, one] of Object.entries(lock.packages)) {
    // What is optional for those that are shipped, and needed by tools (devOptional), is installed without tools too.
    const { version = '', license, integrity, dev = false, link = false } = one;
    const name = path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length);
    if (!path.includes('node_modules/') || dev || link) continue;
    found.set(`${name} ${version}`, { name, version, licence: license ?? 'not stated', integrity });
  }
  return [...found.values()].sort((a, b) =>
    a.name < b.name ? -1 : a.name > b.name ? 1 : a.version < b.version ? -1 : 1,
  );
}

/** A single identifier, an expression of several, or a text. */
function licensesOf(/** @type {string} */ licence) {
  if (/ (AND|OR) /.test(licence)) return [{ expression: licence.replace(/^\((.*)\)$/, '$1') }];
  return [{ license: /^[\w.+-]+$/.test(licence) ? { id: licence } : { name: licence } }];
}

/** `sha512-BASE64` of a lock file, as the bill has it. */
function hashesOf(/** @type {string | undefined} */ integrity) {
  const [, base64] = /^sha512-(\S+)$/.exec(integrity ?? '') ?? [];
  return base64 === undefined
    ? {}
    : { hashes: [{ alg: 'SHA-512', content: Buffer.from(base64, 'base64').toString('hex') }] };
}

const purl = (/** @type {string} */ name, /** @type {string} */ version) =>
  `pkg:npm/${name.replace('@', '%40')}@${version}`;

export function billOfMaterials() {
  const { name, version } = json('package.json');
  const packages = shipped().map((one) => ({
    type: 'library',
    'bom-ref': purl(one.name, one.version),
    name: one.name,
    version: one.version,
    purl: purl(one.name, one.version),
    licenses: licensesOf(one.licence),
    ...hashesOf(one.integrity),
  }));
  /** @type {Record<string, { version: string }>} */
  const wheels = json('setup/wheels.json');
  // Beside npm's: what set-up takes out of wheels, whose digests are in setup/wheels.json.
  const [tensorflow = '', nats = ''] = [wheels.tensorflow?.version, wheels.natsServer?.version];
  const others = [
    { type: 'library', name: 'tensorflow', version: tensorflow, purl: `pkg:pypi/tensorflow@${tensorflow}` },
    {
      type: 'application',
      name: 'nats-server',
      version: nats,
      purl: `pkg:golang/github.com/nats-io/nats-server/v2@v${nats}`,
    },
  ].map((one) => ({ ...one, 'bom-ref': one.purl, licenses: [{ license: { id: 'Apache-2.0' } }] }));
  const components = [...packages, ...others];
  const digest = createHash('sha256').update(JSON.stringify(components)).digest('hex');
  const uuid = /** @type {const} */ ([
    [0, 8],
    [8, 12],
    [12, 16],
    [16, 20],
    [20, 32],
  ]).map(([from, to]) => digest.slice(from, to));
  return {
    bomFormat: 'CycloneDX',
    specVersion: '1.5',
    serialNumber: `urn:uuid:${uuid.join('-')}`,
    version: 1,
    metadata: { component: { type: 'application', 'bom-ref': `${name}@${version}`, name, version } },
    components,
  };
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href)
  process.stdout.write(`${JSON.stringify(billOfMaterials(), null, 2)}\n`);
