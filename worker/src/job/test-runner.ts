import type { Broker } from '@crossfold/shared/broker/broker';
import { putJson } from '@crossfold/shared/broker/json-blobs';
import type { Manifest } from '@crossfold/shared/data/manifest';
import { DamagedDataError } from '@crossfold/shared/errors';
import type { TestJobResult } from '@crossfold/shared/jobs/job-result';
import type { TrialPlan } from '@crossfold/shared/jobs/plan';
import type { BlobRef } from '@crossfold/shared/jobs/records';
import { scoreOutputs } from '@crossfold/shared/metrics/scores';
import { decodeModel } from '@crossfold/shared/model/model-file';
import { aborted } from '@crossfold/shared/wait';
import type { DatasetStore } from '../data/dataset-store.ts';
import { evaluatedTogether } from '../engine/ensemble.ts';
import type { EngineSession } from '../engine/session.ts';
import { findingsOf } from './findings.ts';
import type { JobRunner } from './run-job.ts';

const maxModelBytes = 2 ** 31;

export interface TestParts {
  readonly broker: Broker;
  readonly plan: TrialPlan;
  readonly engine: EngineSession;
  readonly manifest: Manifest;
  readonly store: DatasetStore;
}

/** Scores a finished model, or several together, on the held-out test set; a job for one worker. */
export function testRunner(parts: TestParts): JobRunner {
  return {
    async generation({ rank, signal }) {
      if (rank !== 0) {
        await aborted(signal);
        throw signal.reason;
      }
      const { broker } = parts;
      const { store, manifest } = parts;
      const { labels } = store;
      const outputs = await outputsOnTest(parts);
      const scores = scoreOutputs(outputs, labels, manifest.classes.length);
      const judged = { outputs, places: store.all, store, manifest, names: manifest.test?.names };
      const findings = await findingsOf(judged, broker.data);
      const result: TestJobResult = { schema: 1, scores, samples: labels.length, ...findings };
      const { accuracy, loss } = scores;
      return { ...(await putJson(broker.artifacts, result)), epochs: 0, final: true, accuracy, loss, seconds: 0 };
    },
    // Quicker done again than gone on with.
    save: async () => undefined,
    close: () => parts.engine.close(),
  };
}

/** Loss, predicted class and score of each test sample. */
async function outputsOnTest({ broker, plan, engine, store }: TestParts): Promise<Float32Array> {
  const { all, labels } = store;
  const take = async ({ digest }: BlobRef): Promise<void> => {
    const { weights } = decodeModel(await broker.artifacts.get(digest, maxModelBytes), 'the model');
    await engine.reset();
    await engine.load({ ...(await engine.state()), weights });
  };
  if (plan.ensemble !== undefined) {
    const nets: Float32Array[] = [];
    for (const model of plan.ensemble) {
      await take(model);
      nets.push(await engine.netOutputs(all));
    }
    return evaluatedTogether(nets, labels, plan.experiment.training.loss);
  }
  if (plan.model === null) throw new DamagedDataError('the plan of the test names no model');
  await take(plan.model);
  return engine.outputs(all);
}
