import type { Output } from '../context.ts';
import type { Display } from './display.ts';
import { advance, initialProgress, type ProgressState } from './state.ts';
import { linesOf, overallLine } from './text.ts';

/** A line at least this often, so that nobody waits in silence. */
export const silenceMs = 30_000;

/** Lines of plain text: what changes, the end of every epoch, and how all stands where nothing else was said for long. */
export function plainDisplay(output: Output, now: () => number): Display {
  let state: ProgressState = initialProgress;
  let saidAt = now();
  const say = (line: string): void => {
    saidAt = now();
    output.write(`${line}\n`);
  };
  const timer = setInterval(() => {
    if (now() - saidAt >= silenceMs) say(overallLine(state, now()));
  }, 1000);
  timer.unref();
  return {
    show(event) {
      const next = advance(state, event, now());
      for (const line of linesOf(state, next, event, now())) say(line);
      state = next;
    },
    say,
    stop: () => clearInterval(timer),
  };
}
