import { readdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { loadExperiment } from '@crossfold/coordinator/config/load';
import { makeTrials } from '@crossfold/coordinator/search/trials';
import { planModel } from '@crossfold/shared/model/plan';
import { describe, expect, it } from 'vitest';

const folder = resolve(import.meta.dirname, '../../examples');
const files = readdirSync(folder).filter((name) => name.endsWith('.yaml'));

describe('examples', () => {
  it.each(files)('%s can be read, and its nets take its pictures', async (name) => {
    const { experiment } = await loadExperiment(join(folder, name));
    expect(name).toBe(`${experiment.name}.yaml`);
    const isMnist = experiment.dataset.name === 'mnist';
    const image = isMnist ? { height: 28, width: 28, channels: 1 } : experiment.dataset.image;
    if (image === undefined) throw new Error('the pictures have no size');
    const classes = isMnist ? 10 : 2;
    const trials = makeTrials(experiment, classes);
    if (!Array.isArray(trials)) throw new Error('the search has no trials');
    for (const trial of trials) planModel(trial.experiment.model, image, classes, trial.experiment.training.loss);
  });

  it('have a net of an eighth of its parameters, that the sweep arrived at', async () => {
    const { experiment } = await loadExperiment(join(folder, 'cats-dogs-tuned.yaml'));
    const image = { height: 150, width: 150, channels: 3 };
    expect(planModel(experiment.model, image, 2, experiment.training.loss).parameterCount).toBe(407_585);
    expect(experiment.training).toMatchObject({ average: { momentum: 0.995 }, schedule: { name: 'cosine' } });
  });

  it("have the notebook's net, of 3,453,121 parameters", async () => {
    const { experiment } = await loadExperiment(join(folder, 'cats-dogs-baseline.yaml'));
    const image = { height: 150, width: 150, channels: 3 };
    expect(planModel(experiment.model, image, 2, experiment.training.loss).parameterCount).toBe(3_453_121);
  });
});
