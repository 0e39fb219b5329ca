import { basename, dirname, resolve } from 'node:path';
import { builtInDataset, DatasetSpec } from '@crossfold/shared/config/dataset';
import { ConfigError } from '@crossfold/shared/errors';
import { InvalidArgumentError, Option } from 'commander';
import { z } from 'zod';
import { checked } from '../config/check.ts';
import { isRecord } from '../config/schema.ts';
import { maxBytes, parseSource } from '../config/yaml.ts';
import { importDataset } from '../datasets/import-dataset.ts';
import { localFolder } from '../datasets/local-library.ts';
import { readUpTo } from '../read-file.ts';
import { datasetDocument, importedText } from './data-text.ts';
import { withLibrary } from './libraries.ts';
import type { Register } from './options.ts';
import { examples, jsonOption, natsOption, wholeNumber } from './options.ts';

interface ImportOptions {
  readonly name?: string;
  readonly image?: { readonly height: number; readonly width: number; readonly channels: number };
  readonly perClass?: number;
  readonly limit?: number;
  readonly table?: string;
  readonly skipUnusable?: boolean;
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
      const { spec, baseDir } = await specOf(path, options);
      const name = options.name ?? defaultName(path, spec);
      const interrupted = new AbortController();
      const stop = context.onInterrupt(() => interrupted.abort());
      const record = await withLibrary(context, options.nats, (library) =>
        importDataset(spec, library, {
          name,
          baseDir,
          source: path === builtInDataset ? path : resolve(path),
          scratch: localFolder(context.env),
          now: context.date().getTime(),
          onProgress: (message) => context.err.write(`${message}\n`),
          signal: interrupted.signal,
        }),
      ).finally(stop);
      context.out.write(
        options.json === true
          ? `${JSON.stringify(datasetDocument(record))}\n`
          : `${importedText(record)}\ndigest ${record.manifest.digest}\nto use it in an experiment: dataset: { name: ${name} }\n`,
      );
    });
};

function defaultName(path: string, { name }: DatasetSpec): string {
  if (name !== undefined) throw new ConfigError({ field: '--name', allowed: `is missing; ${name} is built in` });
  return basename(resolve(path)).replace(/\.ya?ml$/, '');
}

const File = z.looseObject({ dataset: DatasetSpec });

/** The data set that a path, or a file, and the options describe. */
async function specOf(path: string, options: ImportOptions): Promise<{ spec: DatasetSpec; baseDir: string }> {
  const own = {
    ...(options.image === undefined ? {} : { image: options.image }),
    ...(options.limit === undefined ? {} : { limit: options.limit }),
    ...(options.perClass === undefined ? {} : { perClass: options.perClass }),
    ...(options.table === undefined ? {} : { table: resolve(options.table) }),
    ...(options.skipUnusable === true ? { onError: 'skip' } : {}),
  };
  if (!/\.ya?ml$/.test(path)) {
    const dataset = path === builtInDataset ? { name: path } : { path };
    const source = { value: { dataset: { ...dataset, ...own } }, lineOf: () => undefined };
    return { spec: checked(File, source, path).dataset, baseDir: '.' };
  }
  const text = await readUpTo(path, maxBytes, (why) => new ConfigError(`${path}: ${why}`));
  const { value, lineOf } = parseSource(text.toString('utf8'), path);
  const inside = isRecord(value) && 'dataset' in value;
  const dataset = inside ? value.dataset : value;
  const source = {
    value: { dataset: isRecord(dataset) ? { ...dataset, ...own } : dataset },
    lineOf: (at: readonly PropertyKey[]) => lineOf(inside ? at : at.slice(1)),
  };
  const spec = checked(File, source, path).dataset;
  if (spec.name !== undefined && spec.name !== builtInDataset)
    throw new ConfigError({
      field: 'dataset.name',
      value: spec.name,
      allowed: 'has been imported already',
      file: path,
    });
  return { spec, baseDir: dirname(resolve(path)) };
}

function imageShape(text: string): { height: number; width: number; channels: number } {
  const [height = 0, width = 0, channels = 3, ...more] = text
    .split('x')
    .map((part) => (/^\d+$/.test(part) ? Number(part) : 0));
  if (more.length > 0 || height < 1 || width < 1 || Math.max(height, width) > 4096 || ![1, 3].includes(channels))
    throw new InvalidArgumentError('It must be height x width, up to 4096, as in 150x150; or 150x150x1 for gray.');
  return { height, width, channels };
}
