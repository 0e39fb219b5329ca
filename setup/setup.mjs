/**
 * Provides what the commands need and a fresh checkout lacks: npm packages, TensorFlow, nats-server, the build. Needs
 * nothing but Node itself and a C++ compiler. When nothing is missing it says nothing and takes a fraction of a second.
 *
 * `node setup/setup.mjs [--no-build]`; exit code 1 when the build fails, 2 with one message when something cannot be had.
 */
import { resolve } from 'node:path';
import { broker } from './broker.mjs';
import { build } from './build.mjs';
import { contextOf } from './context.mjs';
import { packages } from './packages.mjs';
import { report, setUp } from './steps.mjs';
import { tensorflow } from './tensorflow.mjs';

for (const [signal, code] of /** @type {const} */ ([
  ['SIGINT', 130],
  ['SIGTERM', 143],
  ['SIGHUP', 129],
])) {
  process.on(signal, () => process.exit(code));
}
const steps = [packages, tensorflow, broker];
if (!process.argv.includes('--no-build')) steps.push(build);
try {
  await setUp(contextOf(resolve(import.meta.dirname, '..'), process.env), steps);
} catch (error) {
  process.exitCode = report(error);
}
