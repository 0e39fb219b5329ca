// Cross-validates a net of its own on a cluster of its own, shows progress, and leaves a run's folder.
//
//   node examples/library/cross-validate.mjs [FOLDER]
import { defineExperiment, startCluster, summarize } from 'crossfold';

const folder = process.argv[2] ?? 'runs/library-example';
const experiment = await defineExperiment({
  name: 'library-example',
  dataset: { name: 'mnist', limit: 3000 },
  evaluation: { method: 'kfold', folds: 3 },
  model: {
    layers: [
      { type: 'conv2d', filters: 8, kernelSize: 3, activation: 'relu' },
      { type: 'maxPooling2d' },
      { type: 'flatten' },
      { type: 'dense', units: 10, activation: 'softmax' },
    ],
  },
  training: { epochs: 2, batchSize: 64, optimizer: { name: 'adam', learningRate: 0.003 } },
});
console.log(await summarize(experiment));

const cluster = await startCluster({ workers: 2 });
try {
  const run = await cluster.submit(experiment);
  const finished = await run.finished((event) => {
    if (event.type === 'job' && event.valAccuracy !== undefined)
      console.log(`fold ${event.fold}, epoch ${event.epoch}: ${(100 * event.valAccuracy).toFixed(1)} %`);
  });
  console.log(`\n${finished.table()}`);
  await finished.save(folder);
  console.log(`\nreport: ${folder}/report.html`);
} finally {
  await cluster.close();
}
