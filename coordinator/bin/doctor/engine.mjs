/** Checks of what computes: the compiler that makes the engine, the engine, and GPUs. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { ask, askNode, built, findProgram } from './process.mjs';

/** @typedef {import('./doctor.mjs').Patient} Patient */
/** @typedef {import('./doctor.mjs').Finding} Finding */
/**
 * How loading the engine went: who it is, or why it is not there.
 * @typedef {{
 *   identity: { backend: string, version: string, device: string, instructions: string },
 *   cuda: string | null,
 * } | { why: string }} Loaded `cuda`: the CUDA libraries beside TensorFlow, where it is the one for GPUs
 */

const load = `
  const { loadEngine } = await import(process.argv[1]);
  const { identity } = await loadEngine({ threads: 1 });
  const { cudaLibraries, cudaText } = await import(process.argv[2]);
  const cuda = cudaLibraries();
  const loaded = { identity, cuda: cuda === undefined ? null : cudaText(cuda) };
  process.stdout.write(JSON.stringify(loaded), () => process.exit(0));
`;

/**
 * In a process of its own, because a library that does not suit the CPU ends its process.
 * @param {Patient} patient
 * @returns {Promise<Loaded>}
 */
export async function loadEngine(patient) {
  const { root, env } = patient;
  if (!existsSync(join(root, 'node_modules'))) return { why: 'npm packages are missing' };
  if (!existsSync(join(root, 'worker', 'dist', 'engine', 'load.js'))) return { why: 'it is not built yet' };
  const modules = ['engine/load', 'engine/cuda'].map((module) => built(patient, 'worker', module));
  const { ok, output, errors } = await askNode(load, modules, env);
  if (ok) return JSON.parse(output);
  const lines = errors.split('\n').filter((line) => !/^\s+at /.test(line));
  return { why: lines.find((line) => /Error: /.test(line))?.replace(/^.*?Error: /, '') ?? lines.at(-1) ?? 'unknown' };
}

/** @param {Patient} patient @returns {Promise<Finding | undefined>} */
export async function compiler({ root, env, setup }) {
  if (setup === undefined) return undefined;
  const context = setup.contextOf(root, env);
  const program = setup.compilerOf(context);
  if (program !== undefined) return { status: 'ok', found: findProgram(program, env) ?? program };
  const names = env.CXX ? `CXX=${env.CXX}` : setup.COMPILERS.join(', ');
  if (!setup.tensorflow.missing(context))
    return { status: 'ok', found: `none (${names}), and none is needed: the engine is compiled` };
  const obstacles = setup.tensorflow.obstacles?.(context) ?? [];
  return {
    status: 'warn',
    found: `none (${names}), so that TensorFlow's binding cannot be compiled`,
    remedy: obstacles.flatMap(({ remedy }) => remedy),
  };
}

/** @param {Patient} patient @returns {Promise<Finding>} */
export async function engine(patient) {
  const { setup, root, env, identity } = patient;
  const loaded = await identity();
  if ('why' in loaded)
    return {
      status: 'fail',
      found: `does not load: ${loaded.why}`,
      remedy: ['npm run setup', 'an x86 CPU needs AVX (of 2011)'],
    };
  const { backend, version, device, instructions } = loaded.identity;
  const found = `${backend} ${version} on ${device}, ${instructions}`;
  if (backend === 'tensorflow') return { status: 'ok', found };
  const obstacles = setup?.tensorflow.obstacles?.(setup.contextOf(root, env)) ?? [];
  return {
    status: 'warn',
    found: `${found}: the fallback, about 25 times slower than TensorFlow`,
    remedy: [...obstacles.flatMap(({ remedy }) => remedy), 'then npm run setup'],
  };
}

/**
 * @param {Loaded} loaded
 * @param {NodeJS.ProcessEnv} env
 * @returns {Finding}
 */
function withoutGpu(loaded, env) {
  const found = 'no NVIDIA GPU: CPUs are used';
  if ('why' in loaded || loaded.cuda === null || env.CROSSFOLD_TENSORFLOW === 'cpu') return { status: 'ok', found };
  return {
    status: 'warn',
    found: `${found}, though TensorFlow is the one for GPUs (${loaded.cuda})`,
    remedy: [
      `NVIDIA's driver, ${leastDriver} or newer, on a machine with one of its GPUs`,
      "in a container: NVIDIA's container toolkit on the host, and docker run --gpus all, compose's profile gpu, or nvidia.com/gpu in a pod's limits",
      'where none is wanted: the image or set-up for CPUs (TENSORFLOW=cpu), which is a fraction of the size',
    ],
  };
}

/** CUDA 12 runs on this driver and newer (CUDA's release notes, "minor version compatibility"). */
const leastDriver = 525;
const columns = ['name', 'driver_version', 'memory.total', 'memory.used'];

/** @param {Patient} patient @returns {Promise<Finding>} */
export async function gpu({ env, identity }) {
  const program = findProgram('nvidia-smi', env);
  const device = existsSync('/dev/nvidia0') || existsSync('/dev/nvidiactl');
  if (program === undefined) {
    if (!device) return withoutGpu(await identity(), env);
    return {
      status: 'warn',
      found: 'there is a GPU, but no nvidia-smi on the PATH: its driver is not complete',
      remedy: ['install the NVIDIA driver with its tools; in a container, NVIDIA_DRIVER_CAPABILITIES=compute,utility'],
    };
  }
  const answer = await ask(program, [`--query-gpu=${columns.join(',')}`, '--format=csv,noheader,nounits'], env);
  const gpus = answer.output
    .trim()
    .split('\n')
    .map((line) => line.split(',').map((cell) => cell.trim()))
    .filter((cells) => cells.length === columns.length);
  const [first] = gpus;
  if (!answer.ok || first === undefined)
    return {
      status: 'warn',
      found: `nvidia-smi finds no GPU that works: ${`${answer.output}${answer.errors}`.trim().split('\n')[0]}`,
      remedy: [
        'install or reload the NVIDIA driver, or reboot after its update',
        'CROSSFOLD_TENSORFLOW=cpu does without',
      ],
    };
  const [, driver = ''] = first;
  const found = `${gpus.map(([name, , total, used]) => `${name} (${used} of ${total} MiB used)`).join(', ')}, driver ${driver}`;
  if (Number.parseInt(driver, 10) < leastDriver)
    return {
      status: 'warn',
      found,
      remedy: [`update the NVIDIA driver to ${leastDriver} or newer, which CUDA 12 needs`],
    };
  const loaded = await identity();
  if ('identity' in loaded && loaded.identity.device === 'cpu')
    return {
      status: 'warn',
      found: `${found}; but the engine does not use it`,
      remedy: ['CROSSFOLD_TENSORFLOW=gpu npm run setup fetches TensorFlow with its CUDA libraries (3 GB)'],
    };
  return { status: 'ok', found };
}
