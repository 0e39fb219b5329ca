import { closeSync, openSync } from 'node:fs';

/**
 * Does something while nothing can be written to stderr by anyone, C libraries included: its descriptor leads nowhere
 * meanwhile. For TensorFlow, which says on loading that oneDNN is on and cannot be told not to. Where stderr cannot be
 * opened anew (it is a socket; there is no /proc), it is left as it is.
 *
 * Only for a process that does nothing else at the time: a file that another thread opens just then could become its
 * stderr.
 */
export function quietly<T>(work: () => T): T {
  const kept = tryOpen('/proc/self/fd/2');
  if (kept === undefined) return work();
  try {
    // The lowest number that is free is given out: 2.
    closeSync(2);
    const nowhere = tryOpen('/dev/null');
    try {
      return work();
    } finally {
      if (nowhere !== undefined) closeSync(nowhere);
      openSync(`/proc/self/fd/${kept}`, 'a');
    }
  } finally {
    closeSync(kept);
  }
}

function tryOpen(file: string): number | undefined {
  try {
    return openSync(file, 'a');
  } catch {
    return undefined;
  }
}
