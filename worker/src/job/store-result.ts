import { createHash } from 'node:crypto';
import type { Broker } from '@crossfold/shared/broker/broker';
import { putJson } from '@crossfold/shared/broker/json-blobs';
import type { Manifest } from '@crossfold/shared/data/manifest';
import type { Faults } from '@crossfold/shared/faults';
import type { Findings, RefitJobResult, TrainJobResult } from '@crossfold/shared/jobs/job-result';
import type { TrialPlan } from '@crossfold/shared/jobs/plan';
import type { JobRecord, ResultRef } from '@crossfold/shared/jobs/records';
import { scoreOutputs } from '@crossfold/shared/metrics/scores';
import { encodeModel } from '@crossfold/shared/model/model-file';
import type { ModelPlan } from '@crossfold/shared/model/plan';
import type { EngineIdentity } from '@crossfold/shared/results';
import type { JobState } from './state.ts';

export interface StoreParts {
  readonly broker: Broker;
  readonly plan: TrialPlan;
  readonly model: ModelPlan;
  readonly manifest: Manifest;
  readonly engine: EngineIdentity;
  readonly now: () => number;
  readonly faults: Faults;
}

export interface FoldFacts {
  readonly trainSamples: number;
  /** Class of each validation sample. */
  readonly labels: Int32Array;
  /** What the outputs for the validation samples tell beyond scores. */
  readonly findings: (outputs: Float32Array) => Promise<Findings>;
}

/** Stores the model and the result of a fold, or a refit, that is trained; returns where the result lies. */
export async function storeTrainResult(
  parts: StoreParts,
  record: JobRecord,
  state: JobState,
  facts: FoldFacts,
): Promise<ResultRef> {
  const { broker, plan, now } = parts;
  const { kept, history } = state;
  if (kept === undefined) throw new Error('a job ends after at least one validation');
  const { classes, decoding } = parts.manifest;
  const modelBytes = encodeModel({
    plan: parts.model,
    training: plan.experiment.training,
    classes,
    decoding,
    weights: kept.weights,
  });
  const model = { digest: await broker.artifacts.put(modelBytes), bytes: modelBytes.length };
  await parts.faults.at('storing');
  const epochs = history.loss.length;
  const { loss, accuracy, valLoss, valAccuracy } = history;
  const training: RefitJobResult['refit'] = {
    epochs,
    steps: state.updates,
    trainSamples: facts.trainSamples,
    history: { loss, accuracy },
    epochSeconds: history.seconds,
    weightsSha256: createHash('sha256').update(bytesOf(kept.weights)).digest('hex'),
    samplesSeen: state.samplesSeen,
    engine: parts.engine,
    exchange: state.exchange,
    workers: record.workers,
    generations: record.generation,
    attempts: record.attempts,
    seconds: (now() - (record.startedAt ?? now())) / 1000,
    imagesPerSecond: state.seconds > 0 ? state.samplesSeen / state.seconds : 0,
  };
  const train = { accuracy: accuracy[kept.epoch] ?? 0, loss: loss[kept.epoch] ?? 0 };
  if (record.kind === 'refit') {
    const result: RefitJobResult = { schema: 1, model, refit: training };
    return { ...(await putJson(broker.artifacts, result)), epochs, final: true, ...train, seconds: state.seconds };
  }
  const validation = scoreOutputs(kept.outputs, facts.labels, parts.manifest.classes.length);
  const final = state.ended || epochs >= plan.experiment.training.epochs;
  // Where there is a test set, the net that is left tells more by that.
  const findings = final && parts.manifest.test === null ? await facts.findings(kept.outputs) : undefined;
  const result: TrainJobResult = {
    schema: 1,
    model,
    ...(findings === undefined ? {} : { findings: await putJson(broker.artifacts, findings) }),
    fold: {
      ...training,
      fold: record.fold,
      repeat: record.repeat,
      status: 'completed',
      validationSamples: facts.labels.length,
      history: { loss, accuracy, valLoss, valAccuracy },
      validation,
      bestEpoch: kept.epoch,
    },
  };
  const scores = { accuracy: validation.accuracy, loss: validation.loss };
  return { ...(await putJson(broker.artifacts, result)), epochs, final, ...scores, train, seconds: state.seconds };
}

const bytesOf = (vector: Float32Array): Uint8Array =>
  new Uint8Array(vector.buffer, vector.byteOffset, vector.byteLength);
