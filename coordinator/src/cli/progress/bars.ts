import { isFinal } from '@crossfold/shared/jobs/records';
import cliProgress from 'cli-progress';
import { percent } from '../../results/text.ts';
import type { Output } from '../context.ts';
import type { Display } from './display.ts';
import {
  advance,
  fraction,
  initialProgress,
  type JobView,
  jobEtaMs,
  labelOf,
  overall,
  type ProgressState,
} from './state.ts';
import { duration, finalLine, linesOf, overallLine, rate } from './text.ts';

const redrawMs = 250;
/** What the line for the whole takes beside its bar, as a rule. */
const textCells = 56;
/** Bars have no use for finer steps. */
const steps = 1000;

/** How bars look, and what they leave to the command. */
export const barOptions = (output: Output): cliProgress.Options => ({
  // The stream of a terminal; only what it is used for is asked of it.
  stream: output as NodeJS.WriteStream,
  format: (_options, { progress }, { text }: { text?: string }) => `${bar(progress, barCells(output))} ${text ?? ''}`,
  hideCursor: true,
  clearOnComplete: true,
  // Interrupts are the command's own.
  gracefulExit: false,
  linewrap: false,
});

/**
 * A line to say above bars. Their library clears the first line that it draws over, and cuts off what is too long, which
 * is good for bars alone.
 */
export const lineAbove = (line: string): string => `\x1b[J\x1b[?7h${line}\n\x1b[?7l`;

/** A bar for the whole and one a running job; what ends is said in a line above them. */
export function barDisplay(output: Output, now: () => number): Display {
  let state: ProgressState = initialProgress;
  const multi = new cliProgress.MultiBar(barOptions(output), cliProgress.Presets.shades_classic);
  const whole = multi.create(steps, 0, { text: overallLine(state, now()) });
  const bars = new Map<string, cliProgress.SingleBar>();

  /** Bars that fit beside the line for the whole: a terminal cannot redraw what has scrolled away. */
  const room = (): number => Math.max(1, (output.rows ?? 24) - 4);

  const draw = (): void => {
    const at = now();
    whole.update(Math.floor(steps * overall(state, at).fraction), { text: overallLine(state, at) });
    for (const [id, job] of state.jobs.entries()) {
      const shown = bars.get(id);
      const text = { text: jobText(job, state, at) };
      const value = Math.floor(steps * fraction(job));
      if (job.state === 'running' && shown === undefined && bars.size < room())
        bars.set(id, multi.create(steps, value, text));
      else if (job.state === 'running') shown?.update(value, text);
      else if (shown !== undefined) {
        multi.remove(shown);
        bars.delete(id);
      }
    }
  };
  const timer = setInterval(draw, redrawMs);
  let stopped = false;
  const say = (line: string): void => {
    if (stopped) output.write(`${line}\n`);
    else multi.log(lineAbove(line));
  };
  return {
    show(event) {
      const before = state;
      state = advance(before, event, now());
      if (event.type === 'job') {
        const [was, is] = [before.jobs.get(event.job), state.jobs.get(event.job)];
        if (is !== undefined && isFinal(is.state) && was?.state !== is.state)
          say(`${labelOf(is, state)}: ${finalLine(is)}`);
      } else for (const line of linesOf(before, state, event, now())) say(line);
    },
    say,
    stop() {
      if (stopped) return;
      stopped = true;
      clearInterval(timer);
      draw();
      // What was said since the last redraw is written by one more.
      multi.update();
      multi.stop();
    },
  };
}

/** Cells of a bar: few in a narrow terminal, where the text says more. */
const barCells = ({ columns = 80 }: Output): number => Math.max(4, Math.min(24, columns - textCells));

function bar(progress: number, cells: number): string {
  const full = Math.round(cells * progress);
  return `${'█'.repeat(full)}${'░'.repeat(cells - full)}`;
}

/** What stands beside a job's bar. */
function jobText(job: JobView, state: ProgressState, now: number): string {
  const eta = jobEtaMs(job, now);
  return [
    labelOf(job, state),
    job.epochs === 0 ? 'starting' : `epoch ${job.epoch}/${job.epochs}`,
    ...(job.accuracy === undefined ? [] : [`accuracy ${percent(job.accuracy)}`]),
    ...(job.lastValAccuracy === undefined ? [] : [`validation ${percent(job.lastValAccuracy)}`]),
    ...(job.imagesPerSecond > 0 ? [rate(job.imagesPerSecond)] : []),
    ...(eta === undefined ? [] : [`${duration(eta)} left`]),
    ...(job.workers.length > 1 ? [`${job.workers.length} workers`] : []),
  ].join('  ');
}
