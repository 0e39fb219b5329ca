/**
 * What `npm run test:e2e` runs once everything is set up: images are built, and tests/e2e runs against containers of them.
 * Needs a Docker engine and Compose v2; the last line counts: `N passed, N failed`. Arguments go to vitest.
 *
 * Where no engine answers, scripts beside the checkout that provide one (../shared/tools) are used if they are there.
 * Without any the tests cannot be run, which counts as a failure; CROSSFOLD_E2E=skip leaves them out on purpose.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { conclude, count, countTests, root, run, tool } from './counted.mjs';

const tools = join(root, '..', 'shared', 'tools');

/** @param {readonly string[]} args */
function answers(args) {
  return spawnSync('docker', args, { stdio: 'ignore', timeout: 30_000 }).status === 0;
}

/** Images that docker-compose.yml names, for which a stand-in is wanted where none can be pulled. */
function namedImages() {
  const text = readFileSync(join(root, 'docker-compose.yml'), 'utf8');
  return [...text.matchAll(/:-((?:nats|prom\/prometheus):[\w.-]+)\}/g)].map(([, image]) => image ?? '');
}

/** @returns {string | undefined} why there is no engine */
function provideEngine() {
  if (!answers(['version'])) {
    const script = join(tools, 'docker-up.sh');
    if (!existsSync(script)) return 'no Docker engine answers (docker version): start one';
    if (!run('Docker engine', 'bash', [script])) return 'the Docker engine could not be started';
  }
  // Tags that a stand-in lacks; where images come from a registry there is no such script.
  const lacking = namedImages().filter((image) => !answers(['image', 'inspect', image]));
  if (lacking.length > 0 && existsSync(join(tools, 'docker-up.sh'))) {
    if (!run('base images', 'bash', [join(tools, 'docker-up.sh'), ...lacking])) return 'base images could not be made';
  }
  if (!answers(['compose', 'version'])) {
    const script = join(tools, 'compose-v2.sh');
    if (!existsSync(script)) return 'no Docker Compose v2 (docker compose version): install its plugin';
    if (!run('Docker Compose', 'bash', [script])) return 'Docker Compose could not be built';
  }
  return undefined;
}

function testAll() {
  const missing = provideEngine();
  if (missing !== undefined) {
    console.log(`tests/e2e cannot be run: ${missing}, or set CROSSFOLD_E2E=skip to leave them out`);
    count(false);
    return;
  }
  count(run('build', tool('tsc'), ['-b']));
  const built = run('images', 'docker', ['compose', '--progress', 'plain', 'build', 'secrets']);
  count(built);
  if (!built) return;
  // The container that testcontainers cleans up with cannot be pulled everywhere; these tests clean up themselves.
  const env = { ...process.env, TESTCONTAINERS_RYUK_DISABLED: 'true', TESTCONTAINERS_HOST_OVERRIDE: '127.0.0.1' };
  countTests('tests in containers', ['--config', 'vitest.e2e.config.ts', ...process.argv.slice(2)], env);
}

if (process.env.CROSSFOLD_E2E === 'skip') console.log('tests/e2e left out: CROSSFOLD_E2E is skip');
else testAll();
conclude();
