import type { Binding, OpAttribute, TensorValues } from '../tensorflow.ts';
import { DType } from '../tensorflow.ts';
import type { Attribute } from './ops.ts';
import { Ops } from './ops.ts';

/** Executes each operation at once, and keeps all tensors until it is disposed of: the reference for graphs. */
export class EagerOps extends Ops<number> {
  readonly #binding: Binding;
  readonly #made: number[] = [];

  constructor(binding: Binding) {
    super();
    this.#binding = binding;
  }

  apply(
    op: string,
    inputs: readonly number[],
    attributes: Readonly<Record<string, Attribute>>,
    outputs: number,
  ): readonly number[] {
    const listed = Object.entries(attributes).map(([name, value]) => bindingAttribute(this.#binding, name, value));
    const made = this.#binding.executeOp(op, listed, inputs, outputs).map((tensor) => tensor.id);
    this.#made.push(...made);
    return made;
  }

  constant(values: TensorValues, shape: readonly number[]): number {
    const id = this.#binding.createTensor(shape, dtypeOf(values), values);
    this.#made.push(id);
    return id;
  }

  /** Frees every tensor that was made here. */
  dispose(): void {
    for (const id of this.#made.splice(0)) this.#binding.deleteTensor(id);
  }
}

/** The type of a tensor of such values; bytes are numbers, not truth values. */
export function dtypeOf(values: TensorValues): number {
  if (values instanceof Float32Array) return DType.float32;
  return values instanceof Int32Array ? DType.int32 : DType.uint8;
}

function bindingAttribute(binding: Binding, name: string, attribute: Attribute): OpAttribute {
  if ('int' in attribute) return { name, type: binding.TF_ATTR_INT, value: attribute.int };
  if ('ints' in attribute) return { name, type: binding.TF_ATTR_INT, value: attribute.ints };
  if ('float' in attribute) return { name, type: binding.TF_ATTR_FLOAT, value: attribute.float };
  if ('bool' in attribute) return { name, type: binding.TF_ATTR_BOOL, value: attribute.bool };
  if ('string' in attribute) return { name, type: binding.TF_ATTR_STRING, value: attribute.string };
  return { name, type: binding.TF_ATTR_TYPE, value: DType[attribute.type] };
}
