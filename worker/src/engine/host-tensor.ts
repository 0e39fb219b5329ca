import { dtypeOf } from './ops/eager.ts';
import type { Binding } from './tensorflow.ts';

/** libtensorflow takes memory as it is, without a copy, where it begins at a multiple of this. */
const alignment = 64;

/**
 * Numbers that JavaScript writes and TensorFlow reads. On CPUs both see the same memory: what is written to `values`
 * is what the tensor holds from then on, and nothing is copied. On GPUs, and where the memory cannot be shared, the
 * tensor is made anew for each use.
 */
export class HostTensor<V extends Float32Array | Int32Array> {
  readonly values: V;
  readonly shape: readonly number[];
  readonly #binding: Binding;
  readonly #shared: boolean;
  #id: number | undefined;

  private constructor(binding: Binding, shape: readonly number[], views: (buffer: ArrayBuffer, offset: number) => V) {
    this.#binding = binding;
    this.shape = shape;
    const buffer = new ArrayBuffer(elements(shape) * 4 + alignment);
    const offset = binding.isUsingGpuDevice() ? undefined : sharedOffset(binding, buffer);
    this.#shared = offset !== undefined;
    this.values = views(buffer, offset ?? 0);
  }

  static float32(binding: Binding, shape: readonly number[]): HostTensor<Float32Array> {
    return new HostTensor(binding, shape, (buffer, offset) => new Float32Array(buffer, offset, elements(shape)));
  }

  static int32(binding: Binding, shape: readonly number[]): HostTensor<Int32Array> {
    return new HostTensor(binding, shape, (buffer, offset) => new Int32Array(buffer, offset, elements(shape)));
  }

  /** The tensor with the values as they are now; it belongs to this object, and is good until the next call. */
  id(): number {
    if (this.#id !== undefined && this.#shared) return this.#id;
    this.dispose();
    this.#id = this.#binding.createTensor(this.shape, dtypeOf(this.values), this.values);
    return this.#id;
  }

  dispose(): void {
    if (this.#id !== undefined) this.#binding.deleteTensor(this.#id);
    this.#id = undefined;
  }
}

const elements = (shape: readonly number[]): number => shape.reduce((product, n) => product * n, 1);

/**
 * Where in a buffer memory begins that TensorFlow shares. JavaScript does not know addresses, so it is tried out: a
 * tensor that shares its memory shows what is written there after it was made.
 */
function sharedOffset(binding: Binding, buffer: ArrayBuffer): number | undefined {
  for (let offset = 0; offset < alignment; offset += 8) {
    const probe = new Int32Array(buffer, offset, 1);
    const id = binding.createTensor([1], dtypeOf(probe), probe);
    probe[0] = 1;
    const shared = binding.tensorDataSync(id)[0] === 1;
    binding.deleteTensor(id);
    probe[0] = 0;
    if (shared) return offset;
  }
  return undefined;
}
