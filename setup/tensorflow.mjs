/**
 * Step: TensorFlow.js' native binding, compiled against libtensorflow out of TensorFlow's own wheel (the package's
 * install script would fetch a libtensorflow of 2022). It goes to the cache in the layout that the package has inside,
 * because the binding finds its library by a path relative to its own, and node_modules gets links to it.
 */
import { spawn } from 'node:child_process';
import { existsSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { findProgram, linkTo, pointsTo, whole } from './context.mjs';
import { download } from './download.mjs';
import { lockWhileRunning } from './lock.mjs';
import { fetchPrebuilt, hasPrebuilt, refusePrebuilt, usePrebuilt } from './prebuilt.mjs';
import { MissingError, mega, timed, UnusableError } from './say.mjs';
import { tensorflowVersion, wheelsFor } from './wheels.mjs';
import { extract, listZip } from './zip.mjs';

/** @typedef {import('./context.mjs').Context} Context */

/** What TensorFlow's obstacles have for a last remedy. */
const withoutIt = 'or CROSSFOLD_ENGINE=wasm: the WebAssembly engine, about 25 times slower';

const BINDING = 'tfjs_binding.node';
export const COMPILERS = ['c++', 'g++', 'clang++'];
const INSTALL_COMPILER = [
  'Debian, Ubuntu: apt-get install -y g++',
  'Fedora, RHEL: dnf install -y gcc-c++',
  'macOS: xcode-select --install',
];

/** @type {import('./context.mjs').Step} */
export const tensorflow = {
  missing(context) {
    if (engineAsked(context) === 'wasm') return false;
    const home = homeOf(context);
    return (
      links(context, home).some(([link, target]) => !pointsTo(link, target)) ||
      !existsSync(join(home, 'lib', 'napi-v8', BINDING))
    );
  },

  async prepare(context) {
    if (existsSync(homeOf(context)) || unsupported(context) !== undefined || compilerOf(context) !== undefined) return;
    if (variantOf(context).endsWith('cpu')) await fetchPrebuilt(context);
  },

  obstacles(context) {
    if (existsSync(homeOf(context))) return [];
    return [unsupported(context), noCompiler(context)].filter((obstacle) => obstacle !== undefined);
  },

  without(context) {
    // Who asks for one kind of TensorFlow would not want none.
    if (engineAsked(context) === 'tensorflow' || (context.env.CROSSFOLD_TENSORFLOW || 'auto') === 'gpu')
      return undefined;
    return [
      'going on WITHOUT TensorFlow, on the WebAssembly engine, which is about 25 times slower.',
      'It trains the same nets, with results that are the same to the bit on any number of such workers.',
      'To have TensorFlow, provide this and start again (CROSSFOLD_ENGINE=wasm ends this notice):',
    ].join('\n');
  },

  async provide(context) {
    const home = homeOf(context);
    if (!existsSync(home)) {
      const wheels = wheelsFor(variantOf(context)) ?? [];
      const total = mega(wheels.reduce((sum, wheel) => sum + wheel.size, 0));
      const files = await timed(
        `downloading TensorFlow ${tensorflowVersion} for ${variantOf(context)} (${total} MB)`,
        async () => {
          const fetched = [];
          for (const wheel of wheels) fetched.push(await download(wheel, context.downloads, context.env));
          return fetched;
        },
      );
      await whole(home, async (aside) => {
        await timed('unpacking TensorFlow', () => unpack(files, aside));
        const cuda = cudaVersions(wheels.map(({ file }) => file));
        if (cuda !== undefined) writeFileSync(join(aside, 'deps', 'nvidia', 'versions.json'), JSON.stringify(cuda));
        if (compilerOf(context) === undefined) await tryPrebuilt(context, aside);
        else {
          await timed('compiling the TensorFlow binding', () => compile(context, aside));
          await tryOut(aside);
        }
        rmSync(join(aside, 'include'), { recursive: true });
      });
      for (const file of files) rmSync(file, { force: true });
    }
    for (const [link, target] of links(context, home)) linkTo(target, link);
  },
};

/**
 * What is to compute: CROSSFOLD_ENGINE decides, as it does in worker/src/engine/load.ts.
 * @param {Context} context
 */
function engineAsked({ env }) {
  const asked = env.CROSSFOLD_ENGINE || 'auto';
  if (!['auto', 'tensorflow', 'wasm'].includes(asked)) {
    throw new MissingError(`CROSSFOLD_ENGINE is ${asked}`, ['allowed: auto, tensorflow, wasm']);
  }
  return asked;
}

/**
 * `<platform>-<arch>-<cpu|gpu>`: CROSSFOLD_TENSORFLOW decides, else whether there is an NVIDIA GPU.
 * @param {Context} context
 */
export function variantOf({ env }) {
  const asked = env.CROSSFOLD_TENSORFLOW || 'auto';
  if (!['auto', 'cpu', 'gpu'].includes(asked)) {
    throw new MissingError(`CROSSFOLD_TENSORFLOW is ${asked}`, [
      'allowed: cpu, gpu, or unset to look for an NVIDIA GPU',
    ]);
  }
  const platform = `${process.platform}-${process.arch}`;
  const gpu = asked === 'gpu' || (asked === 'auto' && wheelsFor(`${platform}-gpu`) !== undefined && hasGpu(env));
  return `${platform}-${gpu ? 'gpu' : 'cpu'}`;
}

/** @param {NodeJS.ProcessEnv} env */
function hasGpu(env) {
  const signs = ['/dev/nvidia0', '/proc/driver/nvidia/version', '/usr/lib/wsl/lib/libcuda.so.1'];
  return signs.some((file) => existsSync(file)) || findProgram('nvidia-smi', env) !== undefined;
}

/** @param {Context} context */
function packageOf({ modules }) {
  return join(modules, '@tensorflow', 'tfjs-node-gpu');
}

/** To be raised when the binding is compiled in another way. */
const BUILD = 2;

/**
 * Node's C interface is the same for every Node that is supported, so no Node version is part of the key.
 * @param {Context} context
 */
function homeOf(context) {
  return join(context.cache, `tensorflow-${tensorflowVersion}-${variantOf(context)}-napi8-${BUILD}`);
}

/**
 * @param {Context} context
 * @param {string} home
 * @returns {[link: string, target: string][]}
 */
function links(context, home) {
  const inside = packageOf(context);
  return [
    [join(inside, 'deps'), join(home, 'deps')],
    [join(inside, 'lib', 'napi-v8'), join(home, 'lib', 'napi-v8')],
  ];
}

/** @param {Context} context */
function unsupported(context) {
  const variant = variantOf(context);
  if (wheelsFor(variant) === undefined) {
    return new MissingError(`TensorFlow ${tensorflowVersion} does not exist for ${variant}`, [
      'Linux on x64 or arm64 (on Windows: inside WSL 2), or macOS on Apple silicon',
      ...(variant.endsWith('gpu') ? ['CROSSFOLD_TENSORFLOW=cpu does without a GPU'] : []),
    ]);
  }
  const report = /** @type {{ header: { glibcVersionRuntime?: string } }} */ (process.report.getReport());
  if (process.platform !== 'linux' || report.header.glibcVersionRuntime !== undefined) return undefined;
  return new MissingError('TensorFlow needs glibc, and this Linux has another C library (Alpine?)', [
    'a Debian-based system or image, such as node:22-bookworm',
  ]);
}

/** @param {Context} context */
export function compilerOf({ env }) {
  return (env.CXX ? [env.CXX] : COMPILERS).find((name) => findProgram(name, env) !== undefined);
}

/** @param {Context} context */
function noCompiler(context) {
  if (compilerOf(context) !== undefined || hasPrebuilt(context)) return undefined;
  return new MissingError(`no C++ compiler (${context.env.CXX ? `CXX=${context.env.CXX}` : COMPILERS.join(', ')})`, [
    ...INSTALL_COMPILER,
  ]);
}

/**
 * @param {readonly string[]} files wheels
 * @param {string} home
 */
async function unpack(files, home) {
  for (const file of files) {
    for (const member of await listZip(file)) {
      const place = placeOf(member.name);
      if (place !== undefined) await extract(file, member, join(home, place), place.includes('/bin/') ? 0o755 : 0o644);
    }
  }
}

/**
 * Versions of NVIDIA's libraries, by their names (`cuda_runtime`, `cudnn`...), as wheels' names say them; nothing where
 * there are none. worker/src/engine/cuda.ts reads them.
 * @param {readonly string[]} files
 * @returns {Record<string, string> | undefined}
 */
export function cudaVersions(files) {
  const found = files.flatMap((file) => {
    const [, name, version] = /^nvidia_(\w+?)_cu\d+-(\d[\d.]*)-/.exec(file) ?? [];
    return name === undefined ? [] : [[name, version]];
  });
  return found.length === 0 ? undefined : Object.fromEntries(found);
}

/**
 * Where a wheel's member goes, nothing for what is not needed: of TensorFlow the two libraries and the headers of its C
 * interface, of NVIDIA's wheels (which TensorFlow looks for by a path relative to its own) all but headers and archives.
 * @param {string} name
 * @returns {string | undefined}
 */
export function placeOf(name) {
  const library = /^tensorflow\/(libtensorflow_(?:cc|framework)\.(?:so\.2|2\.dylib))$/.exec(name);
  if (library) return `deps/lib/${library[1]}`;
  const header =
    /^tensorflow\/(include\/(?:tensorflow\/c|tensorflow\/core\/platform|xla\/tsl\/c|tsl\/platform)\/.*\.h)$/.exec(name);
  if (header) return header[1];
  if (/^nvidia\/.*\/(lib|bin|nvvm)\//.test(name) && !/\.(a|h|hpp|py)$|\/$/.test(name)) return `deps/${name}`;
  return undefined;
}

/**
 * What the package's binding.gyp describes, in one call of the compiler.
 * @param {Context} context
 * @param {string} home
 */
async function compile(context, home) {
  const sources = join(packageOf(context), 'binding');
  const mac = process.platform === 'darwin';
  const libraries = mac
    ? ['libtensorflow_cc.2.dylib', 'libtensorflow_framework.2.dylib']
    : ['libtensorflow_cc.so.2', 'libtensorflow_framework.so.2'];
  const out = join(home, 'lib', 'napi-v8', BINDING);
  await whole(join(home, 'lib', 'napi-v8'), (aside) =>
    run(compilerOf(context) ?? 'c++', [
      ...(mac ? ['-bundle', '-undefined', 'dynamic_lookup'] : ['-shared', '-fPIC']),
      ...['-O2', '-std=c++17', '-DNAPI_VERSION=8'],
      ...[join(context.modules, 'node-api-headers', 'include'), join(home, 'include')].map((folder) => `-I${folder}`),
      ...['tfjs_backend.cc', 'tfjs_binding.cc'].map((file) => join(sources, file)),
      ...libraries.map((file) => join(home, 'deps', 'lib', file)),
      `-Wl,-rpath,${mac ? '@loader_path' : '$ORIGIN'}/../../deps/lib`,
      // Node takes an addon out of memory when the last thread that loaded it ends, and libtensorflow leaves handlers
      // that run at exit: without this, a process that ends well would end by SIGSEGV.
      ...(mac ? [] : ['-Wl,-z,nodelete']),
      ...['-o', join(aside, BINDING)],
    ]),
  ).catch((error) => {
    throw new MissingError(`compiling the TensorFlow binding failed:\n${error.message}`, [
      'a C++17 compiler that works: g++ 9, clang 10 or newer',
      withoutIt,
    ]);
  });
  return out;
}

/**
 * @param {Context} context
 * @param {string} home
 */
async function tryPrebuilt(context, home) {
  try {
    await usePrebuilt(context, home);
    await tryOut(home);
  } catch (error) {
    refusePrebuilt(context);
    const reason = error instanceof Error ? error.message : String(error);
    throw new UnusableError(`no C++ compiler, and the prebuilt binding is of no use (${reason})`, INSTALL_COMPILER);
  }
}

/**
 * Loads the binding in a process of its own, so that a library that crashes (a CPU without AVX) gives a message.
 * @param {string} home
 */
async function tryOut(home) {
  const script = 'process.stdout.write(require(process.argv[1]).TF_Version)';
  const version = await run(process.execPath, ['-e', script, join(home, 'lib', 'napi-v8', BINDING)]).catch((error) => {
    throw new MissingError(`the TensorFlow binding does not load:\n${error.message}`, [
      'an x86 CPU needs AVX (of 2011) to run TensorFlow',
      withoutIt,
    ]);
  });
  if (version !== tensorflowVersion)
    throw new Error(`the TensorFlow binding says it is ${version} instead of ${tensorflowVersion}`);
}

/**
 * @param {string} command
 * @param {readonly string[]} args
 * @returns {Promise<string>} its output
 */
function run(command, args) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    lockWhileRunning(child);
    let [output, errors] = ['', ''];
    child.stdout.on('data', (text) => (output += text));
    child.stderr.on('data', (text) => (errors += text));
    child.on('error', reject);
    child.on('close', (code, signal) =>
      code === 0
        ? resolve(output)
        : reject(
            new Error(errors.trim().split('\n').slice(-15).join('\n') || `${command} ended with ${signal ?? code}`),
          ),
    );
  });
}
