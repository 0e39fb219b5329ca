/** Runs the steps that are needed, one set-up at a time, and turns what stops them into one message. */
import { join } from 'node:path';
import { withLock } from './lock.mjs';
import { BuildError, MissingError, say, seconds, UnusableError } from './say.mjs';

/**
 * @param {import('./context.mjs').Context} context
 * @param {readonly import('./context.mjs').Step[]} steps in order: later ones may need what earlier ones provide
 */
export async function setUp(context, steps) {
  if (!steps.some((step) => step.missing(context))) return;
  const started = performance.now();
  await withLock(join(context.cache, 'setup.lock'), async () => {
    const skipped = new Set();
    for (const step of steps) if (step.missing(context)) await step.prepare?.(context);
    const obstacles = steps
      .filter((step) => step.missing(context))
      .flatMap((step) => {
        const found = step.obstacles?.(context) ?? [];
        const notice = found.length === 0 ? undefined : step.without?.(context);
        if (notice === undefined) return found;
        skipped.add(step);
        warn(notice, found);
        return [];
      });
    if (obstacles.length > 0) {
      throw new MissingError(
        obstacles.map(({ message }) => message).join('; '),
        obstacles.flatMap(({ remedy }) => remedy),
      );
    }
    const wanted = steps.filter((step) => !skipped.has(step));
    if (!wanted.some((step) => step.missing(context))) return;
    for (const step of wanted) {
      if (step.missing(context)) await provide(step, context);
    }
    say(`setup: ready after ${seconds(performance.now() - started)} (kept in ${context.cache})`);
  });
}

/**
 * @param {import('./context.mjs').Step} step
 * @param {import('./context.mjs').Context} context
 */
async function provide(step, context) {
  try {
    await step.provide(context);
  } catch (error) {
    const notice = error instanceof UnusableError ? step.without?.(context) : undefined;
    if (notice === undefined || !(error instanceof UnusableError)) throw error;
    warn(notice, [error]);
  }
}

/**
 * @param {string} notice
 * @param {readonly MissingError[]} obstacles
 */
function warn(notice, obstacles) {
  say(`crossfold: ${obstacles.map(({ message }) => message).join('; ')}: ${notice}`);
  for (const line of obstacles.flatMap(({ remedy }) => remedy)) say(`  - ${line}`);
}

/**
 * @param {unknown} error
 * @returns {number} the exit code
 */
export function report(error) {
  if (error instanceof BuildError) {
    say(`crossfold: ${error.message}`);
    return 1;
  }
  if (error instanceof MissingError) {
    say(`crossfold: cannot set up: ${error.message}\nto go on, this is needed:`);
    for (const line of error.remedy) say(`  - ${line}`);
    return 2;
  }
  const { code, path, syscall } = /** @type {NodeJS.ErrnoException} */ (error);
  const isFolder = code === 'ENOENT' && syscall === 'mkdir';
  if (isFolder || (code !== undefined && ['ENOSPC', 'EACCES', 'EPERM', 'EROFS', 'EDQUOT', 'ENOTDIR'].includes(code))) {
    const why = code === 'ENOSPC' ? 'the disk is full' : `${code}, it cannot be written`;
    say(`crossfold: cannot set up: ${why} (${path ?? 'write'})`);
    say('  - set CROSSFOLD_CACHE to a folder with 5 GB to spare that can be written');
    return 2;
  }
  throw error;
}
