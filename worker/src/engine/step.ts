import type { Context, Stage } from './layers/stage.ts';
import type { Network } from './network.ts';
import { backward, forward, unpack } from './network.ts';
import type { InputSpec, Program } from './program.ts';

/** Numbers at the end of a gradient vector: sums over the slice of loss, of correct predictions, and of samples. */
export const trailing = { loss: 0, correct: 1, samples: 2, length: 3 } as const;

/** The input that holds a stage's mask. */
export const maskInput = (stage: Stage): string => `mask_${stage.name.replaceAll(/[^A-Za-z0-9_]/g, '_')}`;

export const masked = (network: Network): Stage[] => network.stages.filter((stage) => stage.dropRate !== undefined);

/**
 * A train step's part on one slice: from the weights, the slice's samples and their labels
 * to [gradient sums like the weights with room for the trailing sums; loss of each sample; last numbers of each sample].
 */
export function gradientProgram(network: Network, samples: number, weighted: boolean): Program {
  const inputs: Record<string, InputSpec> = { ...commonInputs(network, samples) };
  if (weighted) inputs.sampleWeights = { dtype: 'float32', shape: [samples] };
  for (const stage of masked(network))
    inputs[maskInput(stage)] = { dtype: 'float32', shape: [samples, ...stage.inputShape] };
  return {
    name: `gradient of ${samples} samples`,
    inputs,
    build<T>(ops: Context<T>['ops'], given: Readonly<Record<string, T>>) {
      const { device } = network;
      const context: Context<T> = {
        ops,
        samples,
        device,
        training: true,
        mask: (stage) => input(given, maskInput(stage)),
      };
      const passes = forward(context, network, input(given, 'x'), unpack(ops, network, input(given, 'weights')));
      const last = passes.at(-1)?.y ?? input(given, 'x');
      let [losses, derivative] = network.head.loss(ops, last, input(given, 'labels'));
      if (weighted) {
        const weights = input(given, 'sampleWeights');
        losses = ops.mul(losses, weights);
        derivative = ops.mul(derivative, ops.reshape(weights, [samples, 1]));
      }
      const gradient = backward(context, network, derivative, passes);
      const room = ops.constant(new Float32Array(trailing.length), [trailing.length]);
      return [ops.concat([...gradient, room], 0), losses, last];
    },
  };
}

/** Evaluation of a batch: [loss of each sample; outputs of each sample]. */
export function evaluationProgram(network: Network, samples: number): Program {
  return {
    name: `evaluation of ${samples} samples`,
    inputs: commonInputs(network, samples),
    build<T>(ops: Context<T>['ops'], given: Readonly<Record<string, T>>) {
      const context: Context<T> = { ops, samples, device: network.device, training: false, mask: noMask };
      const passes = forward(context, network, input(given, 'x'), unpack(ops, network, input(given, 'weights')));
      const last = passes.at(-1)?.y ?? input(given, 'x');
      const [losses] = network.head.loss(ops, last, input(given, 'labels'));
      return [losses, network.head.outputs(ops, last)];
    },
  };
}

const commonInputs = ({ plan }: Network, samples: number): Readonly<Record<string, InputSpec>> => ({
  weights: { dtype: 'float32', shape: [plan.weightCount] },
  x: { dtype: 'float32', shape: [samples, ...plan.inputShape] },
  labels: { dtype: 'int32', shape: [samples] },
});

function input<T>(given: Readonly<Record<string, T>>, name: string): T {
  const tensor = given[name];
  if (tensor === undefined) throw new RangeError(`the program has no input ${name}`);
  return tensor;
}

function noMask(): never {
  throw new Error('nothing is dropped in evaluation');
}
