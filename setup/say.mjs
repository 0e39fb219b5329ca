/** What set-up says, and how it gives up. All of it goes to stderr: stdout belongs to the command that asked. */

/** Something that set-up cannot provide itself. The message says what is missing, `remedy` how to get it. */
export class MissingError extends Error {
  /**
   * @param {string} what
   * @param {readonly string[]} remedy one line each
   */
  constructor(what, remedy) {
    super(what);
    this.name = 'MissingError';
    this.remedy = remedy;
  }
}

/** What was to be provided has been tried and does not work here; commands may go on without. */
export class UnusableError extends MissingError {}

/** The compiler has said what is wrong. */
export class BuildError extends Error {
  constructor() {
    super('the build failed; see the errors above');
  }
}

/** @param {string} line */
export function say(line) {
  process.stderr.write(`${line}\n`);
}

/** @param {number} milliseconds */
export function seconds(milliseconds) {
  return milliseconds < 60_000
    ? `${(milliseconds / 1000).toFixed(1)} s`
    : `${Math.floor(milliseconds / 60_000)} min ${Math.round((milliseconds % 60_000) / 1000)} s`;
}

/**
 * Announces a step, reminds every 10 s that it still runs, and says how long it took.
 * @template T
 * @param {string} what
 * @param {() => Promise<T>} work
 * @returns {Promise<T>}
 */
export async function timed(what, work) {
  const start = performance.now();
  say(`setup: ${what} ...`);
  const reminder = setInterval(
    () => say(`setup: ${what}: still at it after ${seconds(performance.now() - start)}`),
    10_000,
  );
  try {
    const result = await work();
    say(`setup: ${what}: done in ${seconds(performance.now() - start)}`);
    return result;
  } finally {
    clearInterval(reminder);
  }
}

/**
 * Progress of a transfer: a bar that redraws itself on a terminal, a line every 3 s elsewhere.
 * @param {string} name
 * @param {number} total bytes
 * @param {{ stream?: { isTTY?: boolean, write(text: string): unknown }, now?: () => number }} [to]
 */
export function transferProgress(name, total, { stream = process.stderr, now = () => performance.now() } = {}) {
  const interval = stream.isTTY ? 200 : 3000;
  const started = now();
  let last = started;
  /** @type {number | undefined} bytes that an earlier run had already fetched, which say nothing about the speed */
  let first;
  return {
    /** @param {number} done bytes so far */
    at(done) {
      first ??= done;
      const time = now();
      if (time - last < interval) return;
      last = time;
      const speed = ((done - first) / (time - started)) * 1000;
      const eta = speed > 0 ? seconds(((total - done) / speed) * 1000) : 'unknown';
      const part = done / total;
      const text = `${name}: ${mega(done)} of ${mega(total)} MB, ${(100 * part).toFixed(0)} %, ${mega(speed, 1)} MB/s, ${eta} left`;
      if (stream.isTTY) {
        const filled = Math.round(20 * part);
        stream.write(`\r\x1b[K[${'='.repeat(filled)}${' '.repeat(20 - filled)}] ${text}`);
      } else stream.write(`setup: ${text}\n`);
    },
    end() {
      if (stream.isTTY) stream.write('\r\x1b[K');
    },
  };
}

/**
 * @param {number} bytes
 * @param {number} [digits]
 */
export function mega(bytes, digits = 0) {
  return (bytes / 1e6).toFixed(digits);
}
