import { readFileSync, realpathSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import type { Gpu } from '@crossfold/shared/gpus';
import { z } from 'zod';
import { bindingPath } from './binding-path.ts';

/** Versions of the CUDA libraries beside TensorFlow, by their names (`cuda_runtime`, `cudnn`...). */
const Versions = z.record(
  z.string().regex(/^\w+$/),
  z
    .string()
    .regex(/^\d[\d.]*$/)
    .max(40),
);
export type CudaLibraries = z.infer<typeof Versions>;

/**
 * The CUDA libraries that set-up has put beside TensorFlow (setup/tensorflow.mjs writes the list); nothing where
 * TensorFlow is the one for CPUs.
 */
export function cudaLibraries(): CudaLibraries | undefined {
  try {
    const binding = realpathSync(createRequire(import.meta.url).resolve(bindingPath));
    const list = join(dirname(binding), '..', '..', 'deps', 'nvidia', 'versions.json');
    return Versions.parse(JSON.parse(readFileSync(list, 'utf8')));
  } catch {
    return undefined;
  }
}

/** What of them decides results, for people. */
export const cudaText = ({ cuda_runtime: cuda, cudnn }: CudaLibraries): string =>
  [...(cuda === undefined ? [] : [`CUDA ${cuda}`]), ...(cudnn === undefined ? [] : [`cuDNN ${cudnn}`])].join(', ');

/**
 * A GPU as results name it, with the driver and the libraries that run it: part of the engine's identity, because another
 * of them may give other bits.
 */
export function deviceName(gpu: Gpu | undefined, libraries: CudaLibraries | undefined): string {
  const parts = gpu === undefined ? ['gpu'] : [gpu.name, `driver ${gpu.driver}`];
  return [...parts, ...(libraries === undefined ? [] : [cudaText(libraries)])].join(', ').slice(0, 200);
}

/** What a worker says before it trains where TensorFlow is made for GPUs and computes without; nothing where that was asked for. */
export function deviceNotice(
  device: string,
  env: NodeJS.ProcessEnv,
  libraries: CudaLibraries | undefined = cudaLibraries(),
): string | undefined {
  const asked = env.CROSSFOLD_TENSORFLOW === 'cpu' || ['', '-1'].includes(env.CUDA_VISIBLE_DEVICES ?? 'all');
  if (device !== 'cpu' || libraries === undefined || asked) return undefined;
  return `training on the CPU: TensorFlow is the one for GPUs (${cudaText(libraries)}), and finds none that works; \`crossfold doctor\` says what is missing`;
}
