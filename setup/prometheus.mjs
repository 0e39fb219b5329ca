/**
 * What the tests need beyond what the product needs: `prometheus` and `promtool`. The machine's own where they are on
 * the PATH, else Debian's package, taken apart in the cache without being installed, which takes no rights.
 */
import { execFile } from 'node:child_process';
import { existsSync, rmSync } from 'node:fs';
import { mkdir, mkdtemp, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { findProgram, linkTo, pointsTo, whole } from './context.mjs';
import { MissingError, timed } from './say.mjs';

const run = promisify(execFile);
const INSTALL = ['Debian, Ubuntu: apt-get install -y prometheus', 'macOS: brew install prometheus'];
const PROGRAMS = ['prometheus', 'promtool'];

/** @param {import('./context.mjs').Context} context */
const homeOf = ({ cache }) => join(cache, `prometheus-debian-${process.arch}`);
/**
 * Where tests/support/prometheus.ts looks for them.
 * @param {import('./context.mjs').Context} context
 */
const linkOf = ({ modules }) => join(modules, '.crossfold', 'prometheus');

/** @type {import('./context.mjs').Step} */
export const prometheus = {
  missing: (context) =>
    PROGRAMS.some((name) => findProgram(name, context.env) === undefined) &&
    !pointsTo(linkOf(context), join(homeOf(context), 'usr', 'bin')),

  async provide(context) {
    const home = homeOf(context);
    if (['apt-get', 'dpkg-deb'].some((name) => findProgram(name, context.env) === undefined))
      throw new MissingError('the tests of metrics need prometheus and promtool', INSTALL);
    if (!existsSync(home))
      await timed("fetching Debian's prometheus, for tests", () =>
        whole(home, (aside) => fetchPackage(context, aside)),
      );
    linkTo(join(home, 'usr', 'bin'), linkOf(context));
  },
};

/**
 * @param {import('./context.mjs').Context} context
 * @param {string} folder to take the package apart in
 */
async function fetchPackage({ cache, env }, folder) {
  await mkdir(cache, { recursive: true });
  const scratch = await mkdtemp(join(cache, 'apt-'));
  try {
    // Lists and caches of its own: those of the system may be empty, and are not this user's to fill.
    const places = [
      ...['-o', `Dir::State=${scratch}/state`, '-o', `Dir::Cache=${scratch}/cache`],
      ...['-o', 'APT::Sandbox::User=', '-o', 'Acquire::Retries=2', '-o', 'Acquire::http::Timeout=20'],
    ];
    for (const part of ['state/lists/partial', 'cache/archives/partial'])
      await mkdir(join(scratch, part), { recursive: true });
    const options = { cwd: scratch, env: { ...env, LC_ALL: 'C', DEBIAN_FRONTEND: 'noninteractive' }, timeout: 180_000 };
    try {
      await run('apt-get', [...places, '-qq', 'update'], options);
      await run('apt-get', [...places, '-qq', 'download', 'prometheus'], options);
    } catch (error) {
      const said = /** @type {{ stderr?: string }} */ (error).stderr?.trim().split('\n').at(-1) ?? String(error);
      throw new MissingError(`Debian's prometheus could not be fetched: ${said}`, INSTALL);
    }
    const file = (await readdir(scratch)).find((name) => name.endsWith('.deb'));
    if (file === undefined) throw new MissingError('apt-get left no package behind', INSTALL);
    await run('dpkg-deb', ['-x', join(scratch, file), folder]);
    for (const name of PROGRAMS) await run(join(folder, 'usr', 'bin', name), ['--version'], { timeout: 20_000 });
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}
