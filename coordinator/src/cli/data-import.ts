import { InvalidArgumentError, Option } from 'commander';
import { datasetDocument } from '../datasets/documents.ts';
import type { WhatToImport } from '../datasets/import-path.ts';
import { importPath } from '../datasets/import-path.ts';
import { importedText } from './data-text.ts';
import { withLibrary } from './libraries.ts';
import type { Register } from './options.ts';
import { examples, jsonOption, natsOption, wholeNumber } from './options.ts';
import { showingCounts } from './progress/counts.ts';

interface ImportOptions extends WhatToImport {
  readonly nats?: string;
  readonly json?: boolean;
}

/** `data import PATH`: cuts a data set and keeps it under a name. */
export const registerImport: Register = (data, context) => {
  data
    .command('import')
    .summary('keep a data set under a name')
    .description(
      'Reads a data set once, checks every picture of it, cuts it into shards and keeps it under a name that experiments can use (dataset: { name: NAME }): on this machine, or on the cluster that --nats names.',
    )
    .argument(
      '<path>',
      'a folder of pictures (one folder a class), a folder of IDX files, mnist, or a YAML file with a dataset in it, such as an experiment',
    )
    .option('--name <name>', "what to call it (default: the folder's or file's name)")
    .addOption(
      new Option('--image <shape>', 'of pictures: the size to bring them to, height x width, and channels').argParser(
        imageShape,
      ),
    )
    .option('--limit <n>', 'take the first n training samples only', wholeNumber(1))
    .option('--per-class <n>', 'of pictures: take the first n of each class', wholeNumber(1))
    .option('--table <file>', 'a CSV file that says more about the samples, as dataset.table of an experiment')
    .option('--skip-unusable', 'of pictures: leave out those that cannot be used, and list them')
    .addOption(natsOption())
    .addOption(jsonOption())
    .addHelpText(
      'after',
      examples(
        'data import photos/ --name pets --image 150x150',
        'data import mnist --name digits --limit 10000',
        'data import examples/cats-dogs-baseline.yaml --name cats-dogs --nats nats://cluster.example:4222',
      ),
    )
    .action(async (path: string, options: ImportOptions) => {
      const interrupted = new AbortController();
      const stop = context.onInterrupt(() => interrupted.abort());
      const how = { env: context.env, now: context.date().getTime(), signal: interrupted.signal };
      const record = await withLibrary(context, options.nats, (library) =>
        showingCounts(context.err, context.now, (onProgress) =>
          importPath(path, options, library, { ...how, onProgress }),
        ),
      ).finally(stop);
      context.out.write(
        options.json === true
          ? `${JSON.stringify(datasetDocument(record))}\n`
          : `${importedText(record)}\ndigest ${record.manifest.digest}\nto use it in an experiment: dataset: { name: ${record.name} }\n`,
      );
    });
};

function imageShape(text: string): { height: number; width: number; channels: number } {
  const [height = 0, width = 0, channels = 3, ...more] = text
    .split('x')
    .map((part) => (/^\d+$/.test(part) ? Number(part) : 0));
  if (more.length > 0 || height < 1 || width < 1 || Math.max(height, width) > 4096 || ![1, 3].includes(channels))
    throw new InvalidArgumentError('It must be height x width, up to 4096, as in 150x150; or 150x150x1 for gray.');
  return { height, width, channels };
}
