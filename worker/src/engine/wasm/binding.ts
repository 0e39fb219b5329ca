import { createRequire } from 'node:module';
import { ExperimentFailedError } from '@crossfold/shared/errors';
import type * as Tfjs from '@tensorflow/tfjs-core';
import type { Binding, LoadedTensorFlow, OpAttribute, TensorInfo, TensorValues } from '../tensorflow.ts';
import { DType } from '../tensorflow.ts';
import type { Attributes } from './operations.ts';
import { operations } from './operations.ts';

type Tf = typeof Tfjs;

/**
 * TensorFlow.js' WebAssembly backend in the place of TensorFlow, for machines where TensorFlow cannot be had: the same
 * operations, one by one, on one thread, some 25 times slower. Its bits are not TensorFlow's, but its own are
 * the same for any group, as TensorFlow's are.
 *
 * @param threads what an experiment asks of its workers; results do not depend on it here
 * @throws ExperimentFailedError where the backend does not start
 */
export async function loadWasm({ threads }: { readonly threads: number }): Promise<LoadedTensorFlow> {
  const require = createRequire(import.meta.url);
  try {
    const tf = require('@tensorflow/tfjs-core') as Tf;
    const { version_wasm: version } = require('@tensorflow/tfjs-backend-wasm') as { readonly version_wasm: string };
    if (!(await tf.setBackend('wasm'))) throw new Error('this Node.js runs no WebAssembly');
    await tf.ready();
    tf.enableProdMode();
    return {
      binding: new WasmBinding(tf, version),
      identity: {
        backend: 'wasm',
        version,
        threads,
        device: 'cpu',
        // Its kernels are chosen by the kind of processor that compiled code turns out to run on.
        instructions: `${process.arch} wasm`,
        oneDnn: false,
      },
    };
  } catch (error) {
    const reason = error instanceof Error ? error.message.split('\n')[0] : String(error);
    throw new ExperimentFailedError(`the WebAssembly engine cannot be loaded (${reason}); run \`npm run setup\``, {
      cause: error,
    });
  }
}

/** TensorFlow.js' tensors by number, and its kernels by the names of TensorFlow's operations. */
class WasmBinding implements Binding {
  readonly graphs = false;
  readonly TF_Version: string;
  readonly TF_ATTR_STRING = 0;
  readonly TF_ATTR_INT = 1;
  readonly TF_ATTR_FLOAT = 2;
  readonly TF_ATTR_BOOL = 3;
  readonly TF_ATTR_TYPE = 4;
  readonly #tf: Tf;
  readonly #operations: ReturnType<typeof operations>;
  readonly #tensors = new Map<number, Tfjs.Tensor>();
  #next = 0;

  constructor(tf: Tf, version: string) {
    this.#tf = tf;
    this.TF_Version = version;
    this.#operations = operations(tf);
  }

  createTensor(shape: readonly number[], _dtype: number, values: TensorValues): number {
    const dtype = values instanceof Float32Array ? 'float32' : 'int32';
    // The backend may keep what it is given, and callers go on writing there.
    return this.#keep(this.#tf.tensor(values.slice(), [...shape], dtype));
  }

  deleteTensor(id: number): void {
    this.#tensors.get(id)?.dispose();
    this.#tensors.delete(id);
  }

  tensorDataSync(id: number): TensorValues {
    return this.#tensor(id).dataSync().slice() as TensorValues;
  }

  executeOp(op: string, attributes: readonly OpAttribute[], inputs: readonly number[], outputs: number): TensorInfo[] {
    const operation = this.#operations[op];
    if (operation === undefined) throw new Error(`the WebAssembly engine has no operation ${op}`);
    const tensors = inputs.map((id) => this.#tensor(id));
    const made = this.#tf.tidy(() => [...operation(tensors, reader(attributes))]);
    if (made.length < outputs) throw new Error(`${op} gave ${made.length} outputs instead of ${outputs}`);
    return made.map((tensor) => ({
      id: this.#keep(tensor),
      shape: tensor.shape,
      dtype: tensor.dtype === 'float32' ? DType.float32 : DType.int32,
    }));
  }

  loadSavedModel(): number {
    throw new Error('the WebAssembly engine runs no graphs');
  }

  deleteSavedModel(): void {}

  runSavedModel(): TensorInfo[] {
    throw new Error('the WebAssembly engine runs no graphs');
  }

  getNumOfSavedModels(): number {
    return 0;
  }

  getNumOfTensors(): number {
    return this.#tensors.size;
  }

  isUsingGpuDevice(): boolean {
    return false;
  }

  #keep(tensor: Tfjs.Tensor): number {
    const id = this.#next++;
    this.#tensors.set(id, this.#tf.keep(tensor));
    return id;
  }

  #tensor(id: number): Tfjs.Tensor {
    const tensor = this.#tensors.get(id);
    if (tensor === undefined) throw new RangeError(`there is no tensor ${id}`);
    return tensor;
  }
}

function reader(attributes: readonly OpAttribute[]): Attributes {
  const of = (name: string): OpAttribute['value'] => {
    const found = attributes.find((attribute) => attribute.name === name);
    if (found === undefined) throw new RangeError(`an operation lacks ${name}`);
    return found.value;
  };
  return {
    ints: (name) => of(name) as readonly number[],
    number: (name) => Number(of(name)),
    flag: (name) => of(name) === true,
    text: (name) => String(of(name)),
  };
}
