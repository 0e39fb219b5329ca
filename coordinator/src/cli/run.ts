import { resolve } from 'node:path';
import { newExperimentId } from '@crossfold/shared/config/experiment';
import { ConfigError } from '@crossfold/shared/errors';
import { remoteUrl } from '../client/ask.ts';
import { defaultWorkers } from '../cluster/embedded.ts';
import { loadExperiment } from '../config/load.ts';
import { preflight } from '../data/preflight.ts';
import { dryRunOption, showDryRun } from './dry-run.ts';
import { importedReader } from './libraries.ts';
import { runLocally } from './local-run.ts';
import type { Register } from './options.ts';
import { examples, freshOption, jsonOption, natsOption, setOption, workersOption } from './options.ts';
import { followRemotely } from './remote-run.ts';
import { claimRunFolder, defaultRunFolder, tidyRunFolder, writeRunNote } from './run-folder.ts';
import { timelineOption } from './timeline.ts';

interface RunOptions {
  readonly workers?: number;
  readonly nats?: string;
  readonly out?: string;
  readonly set: readonly string[];
  readonly fresh?: boolean;
  readonly dryRun?: boolean;
  readonly json?: boolean;
  readonly timeline?: string;
}

/** `run FILE`: runs and follows an experiment, on an embedded cluster unless a broker is named. */
export const registerRun: Register = (program, context, end) => {
  program
    .command('run')
    .summary('run an experiment and follow it')
    .description(
      'Runs an experiment and follows it to its end: on a cluster of its own here, or on the one that --nats names.',
    )
    .argument('<file>', 'the experiment, a YAML file')
    .addOption(workersOption())
    .addOption(natsOption())
    .option('--out <folder>', 'folder for the results (default: runs/<id>)')
    .addOption(setOption())
    .addOption(freshOption())
    .addOption(dryRunOption())
    .addOption(jsonOption())
    .addOption(timelineOption())
    .addHelpText(
      'after',
      examples(
        'run examples/mnist-kfold.yaml --workers 2',
        'run examples/mnist-kfold.yaml --set training.epochs=1 --set dataset.limit=2000 --out /tmp/quick',
        'run examples/cats-dogs-sweep.yaml --dry-run',
        'run examples/mnist-kfold.yaml --workers 2 --timeline trace.json',
        'run examples/mnist-kfold.yaml --nats nats://cluster.example:4222 --json > results.json',
      ),
    )
    .action(async (file: string, options: RunOptions) => {
      const loaded = await loadExperiment(file, options.set);
      const { experiment, baseDir } = loaded;
      const nats = remoteUrl(options.nats, context);
      if (nats !== undefined && options.workers !== undefined)
        throw new ConfigError(
          '--workers is for an embedded cluster; the one that --nats or CROSSFOLD_NATS_URL names has its own',
        );
      const checked = await preflight(loaded, importedReader(context, options.nats));
      const json = options.json === true;
      const workers = options.workers ?? defaultWorkers(experiment.threadsPerWorker, context.env);
      if (options.dryRun === true)
        return showDryRun(context, loaded, checked, { workers: nats === undefined ? workers : undefined, json });
      const id = newExperimentId(experiment.name, context.date(), context.suffix());
      const folder = options.out ?? defaultRunFolder(id);
      const { timeline } = options;
      const made = await claimRunFolder(folder);
      const go = async (): Promise<number> => {
        if (nats !== undefined)
          return followRemotely(context, {
            nats,
            id,
            folder,
            json,
            timeline,
            submit: { ...loaded, checked, fresh: options.fresh === true },
          });
        await writeRunNote(folder, experiment, { id, baseDir: resolve(baseDir), workers });
        return runLocally(context, { id, experiment, baseDir, folder, workers, json, timeline, checked });
      };
      let code: number | undefined;
      try {
        code = await go();
        end(code);
      } catch (error) {
        if (error instanceof ConfigError) code = error.exitCode;
        throw error;
      } finally {
        if (made) await tidyRunFolder(folder, code);
      }
    });
};
