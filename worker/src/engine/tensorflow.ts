import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { isMainThread } from 'node:worker_threads';
import { ExperimentFailedError } from '@crossfold/shared/errors';
import { usableGpus } from '@crossfold/shared/gpus';
import type { EngineIdentity } from '@crossfold/shared/results';
import { bindingPath } from './binding-path.ts';
import { cudaLibraries, deviceName } from './cuda.ts';

/** TensorFlow's types, by their numbers in its C interface and in its protocol buffers. */
export const DType = { float32: 1, int32: 3, uint8: 4, int64: 9, bool: 10 } as const;
export type DType = keyof typeof DType;
export type TensorValues = Float32Array | Int32Array | Uint8Array;

/** A tensor that the binding holds. */
export interface TensorInfo {
  readonly id: number;
  readonly shape: readonly number[];
  readonly dtype: number;
}

/** An operation's attribute, in the binding's form. */
export interface OpAttribute {
  readonly name: string;
  readonly type: number;
  readonly value: boolean | number | string | readonly number[];
}

/**
 * TensorFlow.js' native binding without TensorFlow.js: a thin layer over libtensorflow's C interface. Tensors live until
 * they are deleted, or the thread ends.
 */
export interface Binding {
  createTensor(shape: readonly number[], dtype: number, values: TensorValues): number;
  deleteTensor(id: number): void;
  tensorDataSync(id: number): TensorValues;
  executeOp(op: string, attributes: readonly OpAttribute[], inputs: readonly number[], outputs: number): TensorInfo[];
  loadSavedModel(folder: string, tags: string): number;
  deleteSavedModel(id: number): void;
  runSavedModel(id: number, inputs: readonly number[], inputNames: string, outputNames: string): TensorInfo[];
  /** Whether it runs graphs; taken to where it does not say. */
  readonly graphs?: boolean;
  getNumOfSavedModels(): number;
  getNumOfTensors(): number;
  isUsingGpuDevice(): boolean;
  readonly TF_ATTR_STRING: number;
  readonly TF_ATTR_INT: number;
  readonly TF_ATTR_FLOAT: number;
  readonly TF_ATTR_BOOL: number;
  readonly TF_ATTR_TYPE: number;
  readonly TF_Version: string;
}

/** TensorFlow, ready to compute, and what it is. */
export interface LoadedTensorFlow {
  readonly binding: Binding;
  readonly identity: EngineIdentity;
}

/**
 * The environment that libtensorflow reads when it loads. It is read by C code, and a worker thread's `process.env` is a
 * copy that C never sees: the main thread must set it before it starts the engine's thread.
 *
 * @param threads within and between operations
 */
export const tensorFlowEnvironment = (threads: number): Readonly<Record<string, string>> => ({
  TF_NUM_INTRAOP_THREADS: String(threads),
  TF_NUM_INTEROP_THREADS: String(threads),
  // Off by default on CPUs without AVX512-VNNI, where it is faster as well.
  TF_ENABLE_ONEDNN_OPTS: process.env.TF_ENABLE_ONEDNN_OPTS ?? '1',
  // Keeps oneDNN's prepared kernels for batches of more than 32 as well, which TensorFlow otherwise prepares every time.
  TF_MKL_OPTIMIZE_PRIMITIVE_MEMUSE: '0',
  TF_DETERMINISTIC_OPS: '1',
  TF_FORCE_GPU_ALLOW_GROWTH: 'true',
  // Errors only: each loaded graph would be announced otherwise.
  TF_CPP_MIN_LOG_LEVEL: process.env.TF_CPP_MIN_LOG_LEVEL ?? '2',
});

/**
 * Loads TensorFlow into this thread.
 *
 * @throws ExperimentFailedError where the library is not there or does not load.
 */
export function loadTensorFlow({ threads }: { readonly threads: number }): LoadedTensorFlow {
  for (const [name, value] of Object.entries(tensorFlowEnvironment(threads))) {
    if (isMainThread) process.env[name] = value;
    else if (process.env[name] !== value) throw new Error(`${name} must be ${value} before the engine's thread starts`);
  }
  const binding = requireBinding();
  return {
    binding,
    identity: {
      backend: 'tensorflow',
      version: binding.TF_Version,
      threads,
      device: binding.isUsingGpuDevice() ? gpuName() : 'cpu',
      instructions: `${process.arch} ${instructionFamily()}`.trim(),
      oneDnn: process.env.TF_ENABLE_ONEDNN_OPTS !== '0',
    },
  };
}

/** The GPU that TensorFlow takes: the first that it sees. */
const gpuName = (): string => deviceName(usableGpus(process.env)[0], cudaLibraries());

function requireBinding(): Binding {
  const require = createRequire(import.meta.url);
  try {
    return require(bindingPath) as Binding;
  } catch (error) {
    throw new ExperimentFailedError(
      `TensorFlow cannot be loaded (${error instanceof Error ? error.message.split('\n')[0] : String(error)}); run \`npm run setup\``,
      { cause: error },
    );
  }
}

/** The newest of the instruction families by which oneDNN and Eigen choose their kernels. */
function instructionFamily(): string {
  if (process.arch !== 'x64') return '';
  let flags: Set<string>;
  try {
    const line = /^flags\s*:(.*)$/m.exec(readFileSync('/proc/cpuinfo', 'utf8'));
    flags = new Set(line?.[1]?.trim().split(/\s+/));
  } catch {
    return 'unknown';
  }
  const families: readonly (readonly [flag: string, family: string])[] = [
    ['amx_tile', 'avx512 amx'],
    ['avx512_vnni', 'avx512 vnni'],
    ['avx512f', 'avx512'],
    ['avx2', 'avx2'],
    ['avx', 'avx'],
  ];
  return families.find(([flag]) => flags.has(flag))?.[1] ?? 'sse';
}
