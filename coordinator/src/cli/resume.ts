import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { ConfigError } from '@crossfold/shared/errors';
import { remoteUrl } from '../client/ask.ts';
import { loadExperiment } from '../config/load.ts';
import { runLocally } from './local-run.ts';
import type { Register } from './options.ts';
import {
  examples,
  jsonOption,
  natsOption,
  onlyFoldOption,
  onlyTrialOption,
  selectionOf,
  workersOption,
} from './options.ts';
import { followRemotely } from './remote-run.ts';
import { defaultRunFolder, findRunFolder, inRunFolder, placesOf, readRunNote } from './run-folder.ts';

interface ResumeOptions {
  readonly workers?: number;
  readonly nats?: string;
  readonly out?: string;
  readonly trial?: number;
  readonly fold?: number;
  readonly json?: boolean;
}

/** `resume ID|DIR`: goes on with a run that was interrupted, or follows one that goes on elsewhere. */
export const registerResume: Register = (program, context, end) => {
  program
    .command('resume')
    .summary('go on with a run, and try again what failed')
    .description(
      "Goes on with a run that was interrupted, failed or was cancelled: on a cluster of its own from the state in the run's folder, or, with --nats, on its cluster. What has been computed stays; what failed, or was cancelled, is tried again, from its last checkpoint.",
    )
    .argument('<id|folder>', "the run's id, or its folder")
    .addOption(workersOption())
    .addOption(natsOption())
    .option('--out <folder>', 'with --nats: folder for the results (default: runs/<id>)')
    .addOption(onlyTrialOption())
    .addOption(onlyFoldOption())
    .addOption(jsonOption())
    .addHelpText(
      'after',
      examples(
        'resume runs/mnist-kfold-20260101-120000-1a2b',
        'resume mnist-kfold-20260101-120000-1a2b --nats nats://cluster.example:4222 --trial 3',
      ),
    )
    .action(async (what: string, options: ResumeOptions) => {
      const folder = findRunFolder(what);
      const note = folder === undefined ? undefined : await readRunNote(folder);
      const json = options.json === true;
      const again = selectionOf(options);
      if (folder !== undefined && note !== undefined && options.nats === undefined) {
        const { experiment } = await loadExperiment(join(folder, 'experiment.yaml'));
        const { id, baseDir, workers } = note;
        end(
          await runLocally(context, {
            id,
            experiment,
            baseDir,
            folder,
            workers: options.workers ?? workers,
            json,
            again,
          }),
        );
        return;
      }
      if (folder !== undefined && existsSync(join(folder, 'results.json')))
        throw new ConfigError(`${what} is over; its results are in ${join(folder, 'report.html')}`);
      const nats = remoteUrl(options.nats, context);
      if (nats === undefined)
        throw new ConfigError(
          `nothing to go on with: there is no run's folder at ${placesOf(what)}; name one, or the cluster that has the experiment by --nats URL or CROSSFOLD_NATS_URL`,
        );
      const out = options.out ?? defaultRunFolder(what);
      const follow = (): Promise<number> => followRemotely(context, { nats, id: what, folder: out, json, again });
      end(await inRunFolder(out, follow));
    });
};
