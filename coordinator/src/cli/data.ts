import type { DatasetRecord } from '@crossfold/shared/data/dataset-record';
import type { DamagedDataError } from '@crossfold/shared/errors';
import { ExitCode } from '@crossfold/shared/errors';
import { verifyDataset } from '../datasets/contents.ts';
import { datasetDocument, describeImported, listDatasets } from '../datasets/documents.ts';
import { findImported } from '../datasets/imported.ts';
import type { DatasetLibrary } from '../datasets/library.ts';
import { removeNamed } from '../datasets/remove-dataset.ts';
import { registerImport } from './data-import.ts';
import { byteText, datasetTable, datasetText } from './data-text.ts';
import { withLibrary } from './libraries.ts';
import type { Register } from './options.ts';
import { examples, jsonOption, natsOption } from './options.ts';
import { showingCounts } from './progress/counts.ts';

interface DataOptions {
  readonly nats?: string;
  readonly json?: boolean;
  readonly force?: boolean;
}

/** `data WHAT`: data sets that are kept under a name. */
export const registerData: Register = (program, context, end) => {
  const data = program
    .command('data')
    .summary('keep data sets under names')
    .description(
      'Keeps data sets under names that experiments can use: on this machine (in the cache folder; CROSSFOLD_CACHE names another), or on the cluster that --nats or CROSSFOLD_NATS_URL names.',
    )
    .addHelpText(
      'after',
      examples('data import photos/ --name pets --image 150x150', 'data list', 'data show pets', 'data verify pets'),
    );
  registerImport(data, context, end);
  registerDataList(data, context, end);
  registerShow(data, context, end);
  registerVerify(data, context, end);
  registerRemove(data, context, end);
};

const find = async (library: DatasetLibrary, name: string): Promise<DatasetRecord> =>
  (await findImported(name, [library], 'name')).record;

const registerDataList: Register = (data, context, end) => {
  data
    .command('list')
    .summary('the data sets that were imported')
    .description(
      'Lists the data sets that were imported, with their sizes and the experiments that use them. Exit code 1 where the record of one is damaged: it is named, and the others are listed.',
    )
    .addOption(natsOption())
    .addOption(jsonOption())
    .addHelpText('after', examples('data list', 'data list --nats nats://cluster.example:4222 --json'))
    .action(async (options: DataOptions) => {
      const damaged: DamagedDataError[] = [];
      const text = await withLibrary(context, options.nats, async (library) => {
        const all = await listDatasets(library, (error) => damaged.push(error));
        return options.json === true
          ? JSON.stringify(all.map(({ record, usedBy }) => ({ ...datasetDocument(record), usedBy })))
          : datasetTable(all, library.where);
      });
      context.out.write(`${text}\n`);
      for (const { message } of damaged) context.err.write(`crossfold: ${message}\n`);
      if (damaged.length > 0) end(ExitCode.failed);
    });
};

const registerShow: Register = (data, context) => {
  data
    .command('show')
    .summary('classes, sizes and how it can be split')
    .description(
      'Shows a data set: how many samples each class has, the size of its images, its shards, how it can be split, which files were left out, and which experiments use it.',
    )
    .argument('<name>', 'the data set')
    .addOption(natsOption())
    .addOption(jsonOption())
    .addHelpText('after', examples('data show pets', 'data show pets --json'))
    .action(async (name: string, options: DataOptions) => {
      const text = await withLibrary(context, options.nats, async (library) => {
        const record = await find(library, name);
        const { document, manifest } = await describeImported(record, library);
        return options.json === true
          ? JSON.stringify(document)
          : datasetText(record, manifest, document.hints, document.usedBy);
      });
      context.out.write(`${text}\n`);
    });
};

const registerVerify: Register = (data, context, end) => {
  data
    .command('verify')
    .summary('check every byte of a data set')
    .description(
      'Fetches every shard of a data set and checks it against its digest, and every sample against its own. Exit code 1 where something is damaged or missing.',
    )
    .argument('<name>', 'the data set')
    .addOption(natsOption())
    .addOption(jsonOption())
    .addHelpText('after', examples('data verify pets', 'data verify pets --nats nats://cluster.example:4222'))
    .action(async (name: string, options: DataOptions) => {
      const { checked, bytes, damaged } = await withLibrary(context, options.nats, async (library) => {
        const { manifest } = await find(library, name);
        return showingCounts(context.err, context.now, (onProgress) =>
          verifyDataset(library.blobs, manifest, onProgress),
        );
      });
      if (options.json === true) context.out.write(`${JSON.stringify({ name, checked, bytes, damaged })}\n`);
      else if (damaged.length === 0)
        context.out.write(`${name}: all ${checked} pieces are as they should be (${byteText(bytes)})\n`);
      else {
        for (const { what, digest, problem } of damaged)
          context.out.write(`${what}, ${digest.slice(0, 12)}: ${problem}\n`);
        context.out.write(
          `${name}: ${damaged.length} of ${checked} pieces are damaged or missing; importing it again mends it\n`,
        );
      }
      if (damaged.length > 0) end(ExitCode.failed);
    });
};

const registerRemove: Register = (data, context) => {
  data
    .command('remove')
    .summary('remove a data set')
    .description(
      'Removes a data set, and those of its shards that nothing else needs. Refused while an experiment that is not over uses it; shards of experiments that are over stay, so that they can be resumed and refitted.',
    )
    .argument('<name>', 'the data set')
    .option('--force', 'remove shards of experiments that are over as well: those cannot be resumed or refitted then')
    .addOption(natsOption())
    .addOption(jsonOption())
    .addHelpText('after', examples('data remove pets', 'data remove pets --nats nats://cluster.example:4222 --force'))
    .action(async (name: string, options: DataOptions) => {
      const removal = await withLibrary(context, options.nats, (library) =>
        removeNamed(name, library, { force: options.force === true }),
      );
      if (removal === undefined) {
        const why = 'its record was damaged; pieces that only it named stay, and importing it again finds them';
        context.out.write(
          options.json === true
            ? `${JSON.stringify({ name, removed: 0, damaged: true })}\n`
            : `${name}: removed; ${why}\n`,
        );
        return;
      }
      if (options.json === true) {
        context.out.write(`${JSON.stringify({ name, ...removal })}\n`);
        return;
      }
      context.out.write(`${name}: removed, ${removal.removed} pieces, ${byteText(removal.bytes)}\n`);
      if (removal.kept > 0)
        context.out.write(
          `${removal.kept} pieces stay: other data sets${removal.finished.length > 0 ? ', or experiments that are over,' : ' or experiments'} need them\n`,
        );
    });
};
