import { BinaryWriter } from '@bufbuild/protobuf/wire';
import type { TensorValues } from '../tensorflow.ts';
import { DType } from '../tensorflow.ts';
import { dtypeOf } from './eager.ts';
import type { Attribute } from './ops.ts';
import { Ops } from './ops.ts';

/**
 * Writes each operation down as a node of a TensorFlow graph; a tensor is the name of the output that it comes from. The
 * result is a SavedModel (field numbers below are those of TensorFlow's saved_model, meta_graph, graph, node_def,
 * attr_value, tensor and tensor_shape .proto files).
 */
export class GraphOps extends Ops<string> {
  readonly #nodes: BinaryWriter[] = [];
  /** Constants that are there already: shapes and axes come up again and again. */
  readonly #constants = new Map<string, string>();

  /** An argument of the graph. */
  placeholder(name: string, dtype: DType, shape: readonly number[]): string {
    this.#node(name, 'Placeholder', [], (node) => {
      writeAttribute(node, 'dtype', (value) => value.uint32(tag(6, varint)).int32(DType[dtype]));
      writeAttribute(node, 'shape', (value) => writeShape(value.uint32(tag(7, bytes)).fork(), shape).join());
    });
    return `${name}:0`;
  }

  /**
   * A variable of the graph's session: it lies where the graph computes, and has what was last assigned to it.
   *
   * @returns its value, and an output that is there once `initial` has been assigned to it
   */
  variable(name: string, initial: string, dtype: DType, shape: readonly number[]): { value: string; assigned: string } {
    const handle = `${name}_variable`;
    const type = (node: BinaryWriter): BinaryWriter =>
      writeAttribute(node, 'dtype', (value) => value.uint32(tag(6, varint)).int32(DType[dtype]));
    this.#node(handle, 'VarHandleOp', [], (node) => {
      type(node);
      writeAttribute(node, 'shape', (value) => writeShape(value.uint32(tag(7, bytes)).fork(), shape).join());
      writeAttribute(node, 'shared_name', (value) => value.uint32(tag(2, bytes)).string(handle));
    });
    this.#node(`${name}_assign`, 'AssignVariableOp', [handle, initial], type);
    this.#node(`${name}_value`, 'ReadVariableOp', [handle], type);
    // An operation without outputs cannot be asked for: a number that waits for it can.
    this.#node(`${name}_assigned`, 'Identity', [this.constant(new Int32Array(1), []), `^${name}_assign`], (node) =>
      writeAttribute(node, 'T', (value) => value.uint32(tag(6, varint)).int32(DType.int32)),
    );
    return { value: `${name}_value:0`, assigned: `${name}_assigned:0` };
  }

  constant(values: TensorValues, shape: readonly number[]): string {
    const content = Buffer.from(values.buffer, values.byteOffset, values.byteLength);
    const dtype = dtypeOf(values);
    const key = `${dtype} [${shape.join()}] ${content.toString('base64')}`;
    const known = this.#constants.get(key);
    if (known !== undefined) return known;
    const name = `Const_${this.#nodes.length}`;
    this.#node(name, 'Const', [], (node) => {
      writeAttribute(node, 'dtype', (value) => value.uint32(tag(6, varint)).int32(dtype));
      writeAttribute(node, 'value', (value) => {
        value.uint32(tag(8, bytes)).fork();
        value.uint32(tag(1, varint)).int32(dtype);
        writeShape(value.uint32(tag(2, bytes)).fork(), shape).join();
        value.uint32(tag(4, bytes)).bytes(content);
        value.join();
      });
    });
    this.#constants.set(key, `${name}:0`);
    return `${name}:0`;
  }

  apply(
    op: string,
    inputs: readonly string[],
    attributes: Readonly<Record<string, Attribute>>,
    outputs: number,
  ): readonly string[] {
    const name = `${op}_${this.#nodes.length}`;
    this.#node(name, op, inputs, (node) => {
      for (const [key, attribute] of Object.entries(attributes))
        writeAttribute(node, key, (value) => writeValue(value, attribute));
    });
    return Array.from({ length: outputs }, (_, i) => `${name}:${i}`);
  }

  /**
   * The graph as the contents of a `saved_model.pb` with the tag `serve`.
   *
   * @param signature what others are to call: names for arguments and results; left out, those who call know the graph
   */
  savedModel(signature?: Signature): Uint8Array {
    const graph = new BinaryWriter();
    for (const node of this.#nodes) graph.uint32(tag(1, bytes)).bytes(node.finish());
    // VersionDef.producer: the newest attributes and defaults that are relied on.
    graph.uint32(tag(4, bytes)).fork().uint32(tag(1, varint)).int32(graphProducer).join();
    const meta = new BinaryWriter();
    meta.uint32(tag(1, bytes)).fork().uint32(tag(4, bytes)).string(graphTag).join();
    meta.uint32(tag(2, bytes)).bytes(graph.finish());
    if (signature !== undefined) {
      meta.uint32(tag(5, bytes)).fork();
      meta.uint32(tag(1, bytes)).string('serving_default');
      meta.uint32(tag(2, bytes)).fork();
      for (const [field, tensors] of [
        [1, signature.inputs],
        [2, signature.outputs],
      ] as const)
        for (const [name, tensor] of Object.entries(tensors))
          writeTensorInfo(meta.uint32(tag(field, bytes)).fork(), name, tensor).join();
      meta.uint32(tag(3, bytes)).string('tensorflow/serving/predict');
      meta.join().join();
    }
    const model = new BinaryWriter();
    model.uint32(tag(1, varint)).int64(1);
    model.uint32(tag(2, bytes)).bytes(meta.finish());
    return model.finish();
  }

  #node(name: string, op: string, inputs: readonly string[], attributes: (node: BinaryWriter) => unknown): void {
    const node = new BinaryWriter();
    node.uint32(tag(1, bytes)).string(name);
    node.uint32(tag(2, bytes)).string(op);
    for (const input of inputs) node.uint32(tag(3, bytes)).string(input);
    attributes(node);
    this.#nodes.push(node);
  }
}

/** A tensor of the graph, as a signature tells of it. */
export interface SignatureTensor {
  readonly tensor: string;
  readonly dtype: DType;
  /** -1: any size. */
  readonly shape: readonly number[];
}

/** How a graph is called by name. */
export interface Signature {
  readonly inputs: Readonly<Record<string, SignatureTensor>>;
  readonly outputs: Readonly<Record<string, SignatureTensor>>;
}

/** The tag by which a graph is found in its SavedModel. */
export const graphTag = 'serve';
/** GraphDef version of the TensorFlow releases since 2.11. */
const graphProducer = 1286;

/** Wire types of protocol buffers. */
const varint = 0;
const bytes = 2;
const fixed32 = 5;
const tag = (field: number, wire: number): number => (field << 3) | wire;

function writeAttribute(node: BinaryWriter, key: string, value: (writer: BinaryWriter) => void): BinaryWriter {
  node.uint32(tag(5, bytes)).fork();
  node.uint32(tag(1, bytes)).string(key);
  node.uint32(tag(2, bytes)).fork();
  value(node);
  return node.join().join();
}

function writeValue(value: BinaryWriter, attribute: Attribute): void {
  if ('string' in attribute) value.uint32(tag(2, bytes)).string(attribute.string);
  else if ('int' in attribute) value.uint32(tag(3, varint)).int64(attribute.int);
  else if ('float' in attribute) value.uint32(tag(4, fixed32)).float(attribute.float);
  else if ('bool' in attribute) value.uint32(tag(5, varint)).bool(attribute.bool);
  else if ('type' in attribute) value.uint32(tag(6, varint)).int32(DType[attribute.type]);
  else {
    value.uint32(tag(1, bytes)).fork();
    for (const int of attribute.ints) value.uint32(tag(3, varint)).int64(int);
    value.join();
  }
}

function writeShape(writer: BinaryWriter, shape: readonly number[]): BinaryWriter {
  for (const size of shape) writer.uint32(tag(2, bytes)).fork().uint32(tag(1, varint)).int64(size).join();
  return writer;
}

/** An entry of a map from names to `TensorInfo`. */
function writeTensorInfo(entry: BinaryWriter, name: string, { tensor, dtype, shape }: SignatureTensor): BinaryWriter {
  entry.uint32(tag(1, bytes)).string(name);
  entry.uint32(tag(2, bytes)).fork();
  entry.uint32(tag(1, bytes)).string(tensor);
  entry.uint32(tag(2, varint)).int32(DType[dtype]);
  writeShape(entry.uint32(tag(3, bytes)).fork(), shape).join();
  return entry.join();
}
