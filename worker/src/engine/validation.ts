import { createHash } from 'node:crypto';
import { outputsPerSample } from '@crossfold/shared/metrics/scores';
import type { ModelPlan } from '@crossfold/shared/model/plan';
import type { SliceRange } from '../exchange/tree.ts';
import { completeSubtrees } from '../exchange/tree.ts';
import type { NodeVector } from './session.ts';

/**
 * A validation vector: loss, predicted class and score of each validation sample, then two numbers a slice that are a
 * digest of the weights of the member that evaluated it. Every number is non-zero in one member's vector only, so that
 * the sum over the group is exact in any order, and the same for a group of any size.
 */
const digestsPerSlice = 2;

export const validationLength = (samples: number, slices: number): number =>
  samples * outputsPerSample + slices * digestsPerSlice;

/**
 * Samples that are evaluated in one call: as many as keep what the layers give for them within 128 MiB, 256 at most. It
 * follows from the model alone, so that a sample's outputs never depend on the group.
 */
export function evaluationBatch({ layers }: ModelPlan): number {
  const perSample = layers.reduce(
    (sum, { outputShape }) => sum + outputShape.reduce((product, n) => product * n, 1),
    0,
  );
  return Math.min(256, Math.max(1, Math.floor(2 ** 25 / perSample)));
}

/** The validation samples [from, to) that belong to a slice: contiguous, as equal as possible. */
export const validationSlice = (slice: number, slices: number, samples: number): SliceRange => ({
  from: Math.floor((slice * samples) / slices),
  to: Math.floor(((slice + 1) * samples) / slices),
});

/** The vectors of the complete subtrees of a range of slices, from the outputs that `evaluate` gives for each slice. */
export function validationNodes(
  range: SliceRange,
  slices: number,
  samples: number,
  weights: Float32Array,
  evaluate: (samples: SliceRange) => Float32Array,
): NodeVector[] {
  const digest = weightsDigest(weights);
  return completeSubtrees(slices, range).map(({ from, to }) => {
    const vector = new Float32Array(validationLength(samples, slices));
    for (let slice = from; slice < to; slice++) {
      const place = validationSlice(slice, slices, samples);
      const outputs = evaluate(place);
      // Adding +0 turns -0 into +0, which sums over other members' zeros would do as well.
      for (let i = 0; i < outputs.length; i++) vector[place.from * outputsPerSample + i] = (outputs[i] ?? 0) + 0;
      vector.set(digest, samples * outputsPerSample + slice * digestsPerSlice);
    }
    return { from, to, vector };
  });
}

/** Outputs of all samples, and whether all slices were evaluated with the same weights. */
export function readValidation(total: Float32Array, slices: number): { outputs: Float32Array; digestsAgree: boolean } {
  const end = total.length - slices * digestsPerSlice;
  const digests = total.subarray(end);
  const digestsAgree = digests.every((value, i) => value === digests[i % digestsPerSlice]);
  return { outputs: total.slice(0, end), digestsAgree };
}

/** 48 bits of the weights' SHA-256 as two numbers that float32 holds exactly; never zero, so that absence shows. */
function weightsDigest(weights: Float32Array): Float32Array {
  const bytes = createHash('sha256')
    .update(new Uint8Array(weights.buffer, weights.byteOffset, weights.byteLength))
    .digest();
  return new Float32Array(
    [bytes.readUIntBE(0, 3) + 1, bytes.readUIntBE(3, 3) + 1].map((value) => Math.min(value, 2 ** 24 - 1)),
  );
}
