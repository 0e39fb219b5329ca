import { join } from 'node:path';
import type { Experiment } from '@crossfold/shared/config/experiment';
import type { CrossfoldError } from '@crossfold/shared/errors';
import { ConfigError, ExitCode, ExperimentFailedError, InterruptedError } from '@crossfold/shared/errors';
import { usableGpus } from '@crossfold/shared/gpus';
import type { Selection } from '@crossfold/shared/jobs/records';
import { isFinal } from '@crossfold/shared/jobs/records';
import { createLogger } from '@crossfold/shared/logger';
import { deviceNotice } from '@crossfold/worker/engine/cuda';
import { chosenEngine, engineNotice } from '@crossfold/worker/engine/load';
import type { Outcome } from '../client/types.ts';
import type { EmbeddedCluster } from '../cluster/embedded.ts';
import type { Preflight } from '../data/preflight.ts';
import type { CommandContext } from './context.ts';
import { concludeRun, interruptible, mendThen, showUntilOver } from './follow-run.ts';
import { createDisplay } from './progress/create-display.ts';
import type { Display } from './progress/display.ts';
import { withTimeline } from './timeline.ts';

export interface LocalRun {
  readonly id: string;
  readonly experiment: Experiment;
  readonly baseDir: string;
  readonly folder: string;
  readonly workers: number;
  readonly json: boolean;
  /** What is to be tried again, where the run was over already. */
  readonly again?: Selection;
  /** File for a trace of what workers do. */
  readonly timeline?: string | undefined;
  /** What it comes to, where it is new. */
  readonly checked?: Preflight;
}

/**
 * Runs an experiment on a cluster of its own in the run's folder, from the beginning or from where it was left, and
 * ends the cluster with it. The cluster's state stays for `resume` unless the experiment completes.
 */
export async function runLocally(context: CommandContext, run: LocalRun): Promise<number> {
  const { experiment, folder, workers } = run;
  let cluster: EmbeddedCluster | undefined;
  const { controller, dispose } = interruptible(
    context,
    () => `interrupted; go on with: crossfold resume ${folder}`,
    () => void cluster?.stop('kill'),
  );
  const { signal } = controller;
  const display = createDisplay(context.err, context.now);
  try {
    const missed = usableGpus(context.env).length > 0 ? undefined : deviceNotice('cpu', context.env);
    const slow = engineNotice(chosenEngine(context.env)) ?? missed;
    if (slow !== undefined) display.say(slow);
    display.say(
      `starting ${workers} ${workers === 1 ? 'worker' : 'workers'} and a broker; the run's folder is ${folder}`,
    );
    cluster = await context.startCluster(
      {
        folder,
        workers,
        threads: experiment.threadsPerWorker,
        exchange: experiment.exchange,
        http: { host: '127.0.0.1', port: 0 },
        env: context.env,
        logger: createLogger({ service: 'cli', to: join(folder, 'logs', 'cli.log'), env: context.env }),
        onNotice: (message) => display.say(message),
        onFailure: (error) => controller.abort(withRemedy(error, folder)),
      },
      signal,
    );
    const outcome = await submitAndFollow(context, cluster.url, run, display, signal);
    display.stop();
    // Nothing is left to hand over.
    await cluster.stop('kill');
    const code = await concludeRun(context, outcome, folder, run.json, `crossfold resume ${folder}`);
    if (!hasFailed(outcome)) await cluster.remove();
    else context.err.write(`crossfold: try what failed again with: crossfold resume ${folder}\n`);
    return code;
  } catch (error) {
    if (error instanceof InterruptedError) display.say('ending the cluster; again to end it at once');
    display.stop();
    await cluster?.stop(error instanceof ConfigError ? 'kill' : 'drain');
    throw error;
  } finally {
    display.stop();
    dispose();
  }
}

/** What a cluster failed with later on: what has been computed is not lost with it. */
const withRemedy = (error: CrossfoldError, folder: string): CrossfoldError =>
  error.exitCode === ExitCode.usage
    ? error
    : new ExperimentFailedError(`${error.message}; ${mendThen(`crossfold resume ${folder}`)}`, { cause: error });

/** Whether there is something that could be tried again: a search can complete with configurations that failed. */
const hasFailed = ({ record, results }: Outcome): boolean =>
  !record.badConfiguration &&
  (record.state === 'failed' || (results?.trials.some(({ status }) => status === 'failed') ?? false));

async function submitAndFollow(
  context: CommandContext,
  url: string,
  { id, experiment, baseDir, timeline, checked, again = {} }: LocalRun,
  display: Display,
  signal: AbortSignal,
): Promise<Outcome> {
  const client = await context.connect(url);
  try {
    await withTimeline(client, id, timeline, display, async () => {
      const known = (await client.list()).find((record) => record.id === id);
      if (known === undefined)
        await client.submit(experiment, baseDir, id, {
          onProgress: (message) => display.say(message),
          ...(checked === undefined ? {} : { checked }),
        });
      else if (isFinal(known.state) || Object.keys(again).length > 0) await client.resume(id, again);
      signal.throwIfAborted();
      await showUntilOver(client, id, display, signal);
    });
    return await client.outcome(id);
  } finally {
    await client.close();
  }
}
