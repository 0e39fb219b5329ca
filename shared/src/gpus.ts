import { execFileSync } from 'node:child_process';

/** One NVIDIA GPU of this machine. */
export interface Gpu {
  readonly index: number;
  /** e.g. `GPU-5e8a...`: the same after a restart, which the index need not be. */
  readonly uuid: string;
  readonly name: string;
  readonly memoryMiB: number;
  readonly driver: string;
}

const columns = 'index,uuid,name,memory.total,driver_version';
const patienceMs = 10_000;

/** The GPUs of this machine as its driver lists them; none where there is no driver, or it does not answer. */
export function listGpus(env: NodeJS.ProcessEnv): Gpu[] {
  try {
    const query = [`--query-gpu=${columns}`, '--format=csv,noheader,nounits'];
    const stdio = ['ignore', 'pipe', 'ignore'] as const;
    return parseGpus(
      execFileSync('nvidia-smi', query, { encoding: 'utf8', timeout: patienceMs, stdio: [...stdio], env }),
    );
  } catch {
    return [];
  }
}

/** Reads what `nvidia-smi --query-gpu` prints with these columns; lines that are no GPU (warnings) are left out. */
export function parseGpus(csv: string): Gpu[] {
  return csv.split('\n').flatMap((line) => {
    const [index = '', uuid = '', name = '', memory = '', driver = ''] = line.split(',').map((cell) => cell.trim());
    if (!/^\d+$/.test(index) || !uuid.startsWith('GPU-')) return [];
    return [{ index: Number(index), uuid, name, memoryMiB: Number(memory) || 0, driver }];
  });
}

/**
 * The GPUs that a process may use, as CUDA reads CUDA_VISIBLE_DEVICES: indices or beginnings of UUIDs, in that order, up
 * to the first that is none; all of them where it is not set.
 */
export function visibleGpus(gpus: readonly Gpu[], visible: string | undefined): Gpu[] {
  if (visible === undefined) return [...gpus];
  const chosen: Gpu[] = [];
  for (const entry of visible.split(',').map((part) => part.trim())) {
    const gpu = /^\d+$/.test(entry)
      ? gpus.find(({ index }) => index === Number(entry))
      : gpus.find(({ uuid }) => entry !== '' && uuid.startsWith(entry));
    if (gpu === undefined) break;
    chosen.push(gpu);
  }
  return chosen;
}

/** The GPUs for workers on this machine: none where the user has asked for the CPU build of TensorFlow. */
export const usableGpus = (env: NodeJS.ProcessEnv): Gpu[] =>
  env.CROSSFOLD_TENSORFLOW === 'cpu' ? [] : visibleGpus(listGpus(env), env.CUDA_VISIBLE_DEVICES);
