import type { ProgressEvent } from '@crossfold/shared/progress';

/** Shows an experiment's progress to the user. */
export interface Display {
  show(event: ProgressEvent): void;
  /** A line of the command's own. */
  say(line: string): void;
  /** Leaves the terminal as it was found. */
  stop(): void;
}
