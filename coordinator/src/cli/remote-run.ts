import { join } from 'node:path';
import type { FinalNet } from '@crossfold/shared/config/final';
import type { Selection } from '@crossfold/shared/jobs/records';
import type { ExperimentClient } from '../client/types.ts';
import type { LoadedExperiment } from '../config/load.ts';
import type { Preflight } from '../data/preflight.ts';
import { located } from '../data/preflight.ts';
import type { CommandContext } from './context.ts';
import { concludeRun, interruptible, showUntilOver } from './follow-run.ts';
import { createDisplay } from './progress/create-display.ts';
import type { Display } from './progress/display.ts';
import { withTimeline } from './timeline.ts';

export interface RemoteRun {
  readonly nats: string;
  readonly id: string;
  readonly folder: string;
  readonly json: boolean;
  /** What is to be tried again, where the experiment is not new. */
  readonly again?: Selection;
  /** What net is to be made of an experiment that has completed. */
  readonly refit?: { readonly final: FinalNet; readonly trial: number | undefined };
  /** File for a trace of what workers do. */
  readonly timeline?: string | undefined;
  /** What to submit first, where the experiment is new. */
  readonly submit?: LoadedExperiment & { readonly checked: Preflight; readonly fresh: boolean };
}

/** Follows an experiment on a cluster that runs elsewhere, and brings its results here. An interrupt only stops that. */
export async function followRemotely(context: CommandContext, run: RemoteRun): Promise<number> {
  const client = await context.connect(run.nats);
  const { controller, dispose } = interruptible(
    context,
    () =>
      `interrupted; the experiment goes on on its cluster: watch it with crossfold watch ${run.id}, follow it again with crossfold resume ${run.id}, or end it with crossfold cancel ${run.id}`,
    () => process.exit(130),
  );
  const display = createDisplay(context.err, context.now);
  try {
    await withTimeline(client, run.id, run.timeline, display, async () => {
      if (run.submit !== undefined) {
        const { experiment, baseDir, at, fresh, checked } = run.submit;
        const onProgress = (message: string): void => display.say(message);
        await located(at, () => client.submit(experiment, baseDir, run.id, { fresh, onProgress, checked }));
        display.say(`submitted ${run.id}`);
      } else if (run.refit !== undefined) await client.refit(run.id, run.refit.final, run.refit.trial);
      else await client.resume(run.id, run.again);
      controller.signal.throwIfAborted();
      await showUntilOver(client, run.id, display, controller.signal);
    });
    const outcome = await client.outcome(run.id);
    if (outcome.results !== undefined) await keepLogs(client, run, display);
    display.stop();
    return await concludeRun(context, outcome, run.folder, run.json, `crossfold resume ${run.id} --out ${run.folder}`);
  } finally {
    display.stop();
    dispose();
    await client.close();
  }
}

/** Writes what services said into the run's folder: the cluster keeps it for a week only. Results do not fail by it. */
async function keepLogs(client: ExperimentClient, { id, folder }: RemoteRun, display: Display): Promise<void> {
  try {
    const lines = await client.logs({ experiment: id, level: 'trace' });
    const { writeWhole } = await import('../write-whole.ts');
    await writeWhole(join(folder, 'logs', 'cluster.log'), lines.map((line) => `${line}\n`).join(''));
  } catch (error) {
    display.say(`the logs are on the cluster only: ${error instanceof Error ? error.message : String(error)}`);
  }
}
