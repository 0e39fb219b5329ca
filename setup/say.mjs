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

/** @typedef {{ isTTY?: boolean, columns?: number, write(text: string): unknown }} Output */

/** Whether the terminal's last line is one that will be drawn again. */
let isDrawn = false;

/** @param {string} line */
export function say(line) {
  wipe(process.stderr);
  process.stderr.write(`${line}\n`);
}

/**
 * Draws the terminal's last line anew, no longer than it has room for: a line that wraps cannot be drawn over.
 * @param {Output} stream
 * @param {string} text
 */
function draw(stream, text) {
  stream.write(`\r\x1b[K${text.slice(0, (stream.columns || 80) - 1)}`);
  isDrawn = true;
}

/** @param {Output} stream */
function wipe(stream) {
  if (isDrawn) stream.write('\r\x1b[K');
  isDrawn = false;
}

/** @param {number} milliseconds */
export function seconds(milliseconds) {
  return milliseconds < 60_000
    ? `${(milliseconds / 1000).toFixed(1)} s`
    : `${Math.floor(milliseconds / 60_000)} min ${Math.round((milliseconds % 60_000) / 1000)} s`;
}

/** When progress of a transfer was last shown, which is sign of life enough for the step that it belongs to. */
let transferAt = Number.NEGATIVE_INFINITY;

/**
 * Announces a step, shows that it still runs (on a terminal in one line, elsewhere every 10 s), and says how long it took.
 * @template T
 * @param {string} what
 * @param {() => Promise<T>} work
 * @returns {Promise<T>}
 */
export async function timed(what, work) {
  const start = performance.now();
  const stream = /** @type {Output} */ (process.stderr);
  say(`setup: ${what} ...`);
  const every = stream.isTTY ? 1000 : 10_000;
  const reminder = setInterval(() => {
    const now = performance.now();
    if (now - transferAt < every) return;
    if (stream.isTTY) draw(stream, `  ${seconds(now - start)}`);
    else say(`setup: ${what}: still at it after ${seconds(now - start)}`);
  }, every);
  try {
    const result = await work();
    say(`setup: ${what}: done in ${seconds(performance.now() - start)}`);
    return result;
  } finally {
    clearInterval(reminder);
    wipe(stream);
  }
}

/**
 * Progress of a transfer: a bar that redraws itself on a terminal, a line every 3 s elsewhere.
 * @param {string} name
 * @param {number} total bytes
 * @param {{ stream?: Output, now?: () => number }} [to]
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
      transferAt = performance.now();
      const speed = ((done - first) / (time - started)) * 1000;
      const eta = speed > 0 ? seconds(((total - done) / speed) * 1000) : 'unknown';
      const part = done / total;
      const text = `${mega(done)} of ${mega(total)} MB, ${(100 * part).toFixed(0)} %, ${mega(speed, 1)} MB/s, ${eta} left`;
      if (stream.isTTY) {
        const cells = (stream.columns || 80) < 80 ? 0 : 20;
        const filled = Math.round(cells * part);
        const bar = cells === 0 ? '' : `[${'='.repeat(filled)}${' '.repeat(cells - filled)}] `;
        draw(stream, `${bar}${text}`);
      } else stream.write(`setup: ${name}: ${text}\n`);
    },
    end() {
      wipe(stream);
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
