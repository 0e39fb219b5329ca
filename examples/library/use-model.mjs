// Takes the best net out of a run's folder, scores it, asks it about a digit, draws what it sees, and hands it to Keras.
//
//   node examples/library/use-model.mjs RUN [FOLDER]
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { featureMaps, openDataset, openRun } from 'crossfold';

const [run = 'runs/library-example', folder = 'runs/library-model'] = process.argv.slice(2);
await mkdir(folder, { recursive: true });
const finished = await openRun(run);
const model = await finished.model();
try {
  const { scores, samples } = await model.evaluate('mnist');
  console.log(`${(100 * scores.accuracy).toFixed(2)} % of ${samples} test digits are right`);

  const digits = await openDataset('mnist', { part: 'test' });
  const digit = await digits.read(0, 1);
  const [prediction] = model.predictPixels(digit);
  console.log(`the first one is a ${digits.labels[0]}, and is taken for a ${prediction?.class}`);

  await writeFile(join(folder, 'feature-maps.png'), await featureMaps(model, digit));
  await model.write('h5', join(folder, 'model.h5'));
  console.log(`feature maps and model.h5 are in ${folder}`);
} finally {
  model.close();
}
