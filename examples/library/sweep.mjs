// Compares configurations on the same folds, stops those that fall behind, and says which ones cannot be told apart.
//
//   node examples/library/sweep.mjs
import { loadExperiment, startCluster } from 'crossfold';

const experiment = await loadExperiment('examples/mnist-kfold.yaml', {
  'dataset.limit': 1500,
  'training.epochs': 1,
  'evaluation.folds': 3,
  search: { method: 'racing', parameters: { 'training.optimizer.learningRate': [0.00001, 0.001, 0.002] } },
});

const cluster = await startCluster({ workers: 2 });
try {
  const { results } = await (await cluster.submit(experiment)).finished();
  for (const { trial, parameters, status, summary } of results.trials) {
    const score = summary === null ? 'no score' : `${(100 * summary.accuracy.mean).toFixed(1)} %`;
    console.log(`trial ${trial} ${JSON.stringify(parameters)}: ${score}, ${status}`);
  }
  const { best, search } = results;
  if (best !== null)
    console.log(
      `best: trial ${best.trial}; as good as it, for all one can tell: ${best.undecided.join(', ') || 'none'}`,
    );
  if (search !== undefined)
    console.log(`trained ${search.foldEpochs} epochs of folds instead of ${search.exhaustiveFoldEpochs}`);
} finally {
  await cluster.close();
}
