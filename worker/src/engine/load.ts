import { type LoadedTensorFlow, loadTensorFlow } from './tensorflow.ts';

export async function loadEngine(options: { readonly threads: number }): Promise<LoadedTensorFlow> {
  return loadTensorFlow(options);
}
