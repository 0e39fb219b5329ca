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
  run(inputs: Readonly<Record<string, number>>): TensorValues[];
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
  const names = Object.keys(program.inputs);
  const placeholders = Object.fromEntries(
    Object.entries(program.inputs).map(([name, { dtype, shape }]) => [name, ops.placeholder(name, dtype, shape)]),
  );
  const outputs = program.build(ops, placeholders).join();
  const session = loadGraph(binding, ops.savedModel());
  const inputNames = names.map((name) => placeholders[name]).join();
  return {
    kind: 'graph',
    run(inputs) {
      const results = binding.runSavedModel(
        session,
        names.map((name) => inputs[name] ?? -1),
        inputNames,
        outputs,
      );
      try {
        return results.map(({ id }) => binding.tensorDataSync(id));
      } finally {
        for (const { id } of results) binding.deleteTensor(id);
      }
    },
    dispose: () => binding.deleteSavedModel(session),
  };
}

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
