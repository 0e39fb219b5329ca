import type { TrainedModel } from '@crossfold/shared/model/model-file';
import { HostTensor } from './host-tensor.ts';
import type { Context } from './layers/stage.ts';
import type { Network } from './network.ts';
import { buildNetwork, forward, unpack } from './network.ts';
import type { Compiled, InputSpec, Program } from './program.ts';
import { compile } from './program.ts';
import type { LoadedTensorFlow, TensorValues } from './tensorflow.ts';

/** What comes out of a layer for one picture. */
export interface Activation {
  /** The layer's name. */
  readonly layer: string;
  /** [height, width, channels], or [units]. */
  readonly shape: readonly number[];
  readonly values: Float32Array;
}

/** A program with the memory that its arguments lie in. */
interface Ready {
  readonly program: Compiled;
  readonly x: HostTensor<Float32Array>;
  readonly labels: HostTensor<Int32Array>;
}

/** Predictions of a trained net. */
export class Predictor {
  /** Numbers that the net gives for a picture. */
  readonly outputs: number;
  readonly #loaded: LoadedTensorFlow;
  readonly #model: TrainedModel;
  readonly #network: Network;
  readonly #weights: HostTensor<Float32Array>;
  readonly #programs = new Map<string, Ready>();

  constructor(loaded: LoadedTensorFlow, model: TrainedModel) {
    const { plan, training, weights } = model;
    this.#loaded = loaded;
    this.#model = model;
    this.#network = buildNetwork(plan, training.loss, loaded.binding.isUsingGpuDevice() ? 'gpu' : 'cpu');
    this.#weights = HostTensor.float32(loaded.binding, [plan.weightCount]);
    this.#weights.values.set(weights);
    this.outputs = plan.layers.at(-1)?.outputShape[0] ?? 1;
  }

  /**
   * The net's outputs: probabilities of the classes, or of class 1 where there is one output.
   *
   * @param x [samples, height, width, channels], from 0 to 1
   * @returns [samples, outputs]
   */
  predict(x: Float32Array): Float32Array {
    const samples = x.length / this.#model.plan.inputShape.reduce((product, n) => product * n, 1);
    const network = this.#network;
    const [outputs] = this.#run(`prediction of ${samples} samples`, samples, x, (passes, ops) => [
      network.head.outputs(ops, outputOf(passes, passes.length - 1)),
    ]);
    return floats(outputs);
  }

  /**
   * The net's outputs, and the loss of each sample without the penalties of regularisers.
   *
   * @param labels class of each sample
   */
  evaluate(x: Float32Array, labels: Int32Array): { readonly outputs: Float32Array; readonly losses: Float32Array } {
    const network = this.#network;
    const samples = labels.length;
    const [outputs, losses] = this.#run(
      `evaluation of ${samples} samples`,
      samples,
      x,
      (passes, ops, given) => {
        const last = outputOf(passes, passes.length - 1);
        return [network.head.outputs(ops, last), network.head.loss(ops, last, given)[0]];
      },
      labels,
    );
    return { outputs: floats(outputs), losses: floats(losses) };
  }

  /** What comes out of each layer for one picture, activation included; of the last one, the net's output. */
  activations(x: Float32Array): Activation[] {
    const { plan, training } = this.#model;
    const { layers } = plan;
    const network = buildNetwork(plan, training.loss, this.#network.device, false);
    let end = -1;
    // A layer is a stage or two: its own, and its activation's, whose name goes on behind the layer's; a layer that does
    // nothing is none.
    const ends = layers.map(({ name }) => {
      end = Math.max(
        end,
        network.stages.findLastIndex((s) => s.name === name || s.name.startsWith(`${name}/`)),
      );
      return end;
    });
    const results = this.#run(
      'activations',
      1,
      x,
      (passes, ops) =>
        layers.map((_, i) =>
          i === layers.length - 1
            ? network.head.outputs(ops, outputOf(passes, passes.length - 1))
            : outputOf(passes, ends[i] ?? -1),
        ),
      undefined,
      network,
    );
    return layers.map(({ name, outputShape }, i) => ({ layer: name, shape: outputShape, values: floats(results[i]) }));
  }

  dispose(): void {
    for (const { program, x, labels } of this.#programs.values()) {
      program.dispose();
      x.dispose();
      labels.dispose();
    }
    this.#programs.clear();
    this.#weights.dispose();
  }

  #run(
    name: string,
    samples: number,
    x: Float32Array,
    results: <T>(passes: readonly { readonly y: T }[], ops: Context<T>['ops'], labels: T) => readonly T[],
    labels?: Int32Array,
    network = this.#network,
  ): TensorValues[] {
    const { binding } = this.#loaded;
    const { plan } = this.#model;
    const key = `${name} ${samples}`;
    let ready = this.#programs.get(key);
    if (ready === undefined) {
      const inputs = {
        weights: { dtype: 'float32', shape: [plan.weightCount] },
        x: { dtype: 'float32', shape: [samples, ...plan.inputShape] },
        labels: { dtype: 'int32', shape: [samples] },
      } satisfies Record<string, InputSpec>;
      const described: Program = {
        name,
        inputs,
        build<T>(ops: Context<T>['ops'], given: Readonly<Record<string, T>>) {
          const { x: first, weights, labels: classes } = given;
          if (first === undefined || weights === undefined || classes === undefined)
            throw new RangeError('an argument is missing');
          const context: Context<T> = { ops, samples, device: network.device, training: false, mask: noMask };
          return results(forward(context, network, first, unpack(ops, network, weights)), ops, classes);
        },
      };
      ready = {
        program: compile(binding, described, () => undefined),
        x: HostTensor.float32(binding, inputs.x.shape),
        labels: HostTensor.int32(binding, [samples]),
      };
      this.#programs.set(key, ready);
    }
    ready.x.values.set(x);
    if (labels !== undefined) ready.labels.values.set(labels);
    return ready.program.run({ weights: this.#weights.id(), x: ready.x.id(), labels: ready.labels.id() });
  }
}

function outputOf<T>(passes: readonly { readonly y: T }[], stage: number): T {
  const pass = passes[stage];
  if (pass === undefined) throw new RangeError(`nothing has come out of stage ${stage}`);
  return pass.y;
}

function floats(values: TensorValues | undefined): Float32Array {
  if (!(values instanceof Float32Array)) throw new Error('a net gives float32 numbers');
  return values;
}

function noMask(): never {
  throw new Error('nothing is dropped in a prediction');
}
