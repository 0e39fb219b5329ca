import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { ConfigError } from '@crossfold/shared/errors';
import { bindingPath } from './binding-path.ts';
import { quietly } from './quietly.ts';
import type { LoadedTensorFlow } from './tensorflow.ts';
import { loadTensorFlow } from './tensorflow.ts';

const choices = ['auto', 'tensorflow', 'wasm'] as const;
export type EngineChoice = (typeof choices)[number];

/**
 * Loads what computes into this thread: TensorFlow, or, where set-up could not provide it, the WebAssembly engine.
 * `CROSSFOLD_ENGINE` decides otherwise. A TensorFlow that is there and does not load is an error, not a reason to train
 * 25 times slower in silence.
 *
 * @param options `quiet`: TensorFlow's own greeting is kept from stderr; see `quietly` for when that may be asked
 * @throws ConfigError where the variable is something else; ExperimentFailedError where the engine does not load
 */
export async function loadEngine(options: {
  readonly threads: number;
  readonly quiet?: boolean;
}): Promise<LoadedTensorFlow> {
  if (chosenEngine(process.env) === 'tensorflow')
    return options.quiet === true ? quietly(() => loadTensorFlow(options)) : loadTensorFlow(options);
  return (await import('./wasm/binding.ts')).loadWasm(options);
}

/** @param there whether TensorFlow has been provided; looked for where not given */
export function chosenEngine(env: NodeJS.ProcessEnv, there: () => boolean = provided): 'tensorflow' | 'wasm' {
  const asked = env.CROSSFOLD_ENGINE || 'auto';
  if (!choices.includes(asked as EngineChoice))
    throw new ConfigError({ field: 'CROSSFOLD_ENGINE', value: asked, allowed: `must be ${choices.join(', ')}` });
  if (asked === 'auto') return there() ? 'tensorflow' : 'wasm';
  return asked as 'tensorflow' | 'wasm';
}

function provided(): boolean {
  try {
    return existsSync(createRequire(import.meta.url).resolve(bindingPath));
  } catch {
    return false;
  }
}

/** What is to be said about an engine before it computes; nothing about TensorFlow. */
export const engineNotice = (backend: 'tensorflow' | 'wasm'): string | undefined =>
  backend === 'tensorflow'
    ? undefined
    : 'computing on the WebAssembly engine, which is about 25 times slower than TensorFlow; `crossfold doctor` says what TensorFlow lacks here';
