import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { EagerOps } from './ops/eager.ts';
import { GraphOps, graphTag } from './ops/graph.ts';
import type { Ops } from './ops/ops.ts';
import type { Binding, DType, TensorValues } from './tensorflow.ts';

export interface InputSpec {
  readonly dtype: DType;
  readonly shape: readonly number[];
  /** Whether it stays where the program computes, as a variable, from one `keep` to the next. */
  readonly kept?: boolean;
}

/** A computation on tensors, written once for both ways of running it. */
export interface Program {
  readonly name: string;
  readonly inputs: Readonly<Record<string, InputSpec>>;
  /** @returns the outputs, in an order of the program's own */
  build<T>(ops: Ops<T>, inputs: Readonly<Record<string, T>>): readonly T[];
}

/** A program that is ready to run on tensors of the binding. */
export interface Compiled {
  readonly kind: 'graph' | 'eager';
  /** Inputs that are `kept` are left out where the program has `keep`. */
  run(inputs: Readonly<Record<string, number>>): TensorValues[];
  /** Gives the inputs that are `kept` their values for the runs to come; undefined where each run is given everything. */
  readonly keep?: ((inputs: Readonly<Record<string, number>>) => void) | undefined;
  dispose(): void;
}

/** Runs a program operation by operation. */
export function eagerProgram(binding: Binding, program: Program): Compiled {
  return {
    kind: 'eager',
    run(inputs) {
      const ops = new EagerOps(binding);
      try {
        return program.build(ops, inputs).map((id) => binding.tensorDataSync(id));
      } finally {
        ops.dispose();
      }
    },
    dispose() {},
  };
}

/**
 * Writes a program as a TensorFlow graph, and runs it in one call.
 *
 * @throws Error where TensorFlow does not take the graph.
 */
export function graphProgram(binding: Binding, program: Program): Compiled {
  const ops = new GraphOps();
  const given = Object.entries(program.inputs).map(([name, { dtype, shape, kept }]) => {
    const placeholder = ops.placeholder(name, dtype, shape);
    if (kept !== true) return { name, placeholder, value: placeholder };
    const { value, assigned } = ops.variable(name, placeholder, dtype, shape);
    return { name, placeholder, value, assigned };
  });
  const outputs = program.build(ops, Object.fromEntries(given.map(({ name, value }) => [name, value]))).join();
  const session = loadGraph(binding, ops.savedModel());
  /** Runs the graph on some of its inputs; the values of what it gives. */
  const call = (some: readonly Given[], inputs: Readonly<Record<string, number>>, wanted: string): TensorValues[] => {
    const ids = some.map(({ name }) => inputs[name] ?? -1);
    const results = binding.runSavedModel(session, ids, some.map(({ placeholder }) => placeholder).join(), wanted);
    try {
      return results.map(({ id }) => binding.tensorDataSync(id));
    } finally {
      for (const { id } of results) binding.deleteTensor(id);
    }
  };
  const [fed, kept] = [given.filter((one) => !isKept(one)), given.filter(isKept)];
  return {
    kind: 'graph',
    run: (inputs) => call(fed, inputs, outputs),
    keep:
      kept.length === 0 ? undefined : (inputs) => void call(kept, inputs, kept.map(({ assigned }) => assigned).join()),
    dispose: () => binding.deleteSavedModel(session),
  };
}

/** An input of a graph: where its values come in, and, where it is kept, an output that is there once it has them. */
interface Given {
  readonly name: string;
  readonly placeholder: string;
  readonly assigned?: string;
}

const isKept = (given: Given): given is Given & { readonly assigned: string } => given.assigned !== undefined;

/** As a graph, or, where that cannot be, eagerly; `onFallback` is told why. */
export function compile(
  binding: Binding,
  program: Program,
  onFallback: (program: string, reason: unknown) => void,
): Compiled {
  if (binding.graphs === false) return eagerProgram(binding, program);
  try {
    return graphProgram(binding, program);
  } catch (error) {
    onFallback(program.name, error);
    return eagerProgram(binding, program);
  }
}

/** TensorFlow loads graphs from files only. */
function loadGraph(binding: Binding, model: Uint8Array): number {
  const folder = mkdtempSync(join(tmpdir(), 'crossfold-graph-'));
  try {
    writeFileSync(join(folder, 'saved_model.pb'), model);
    return binding.loadSavedModel(folder, graphTag);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
