import type { DestinationStream, Logger } from 'pino';
import { destination, pino, stdSerializers } from 'pino';
import { prettyLine } from './log-format.ts';

export type { Logger } from 'pino';

export const logLevels = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;

export interface LoggerOptions {
  /** Says whose lines these are: `coordinator`, `worker`, `cli`. */
  readonly service: string;
  /** Where lines go: a file to append to, or any stream; standard output where not given. */
  readonly to?: string | DestinationStream;
  /** Fields that every line has as well, asked for at each. */
  readonly fields?: () => Readonly<Record<string, unknown>>;
  /** Gets every line as well, as JSON. */
  readonly tap?: (line: string) => void;
  /** `CROSSFOLD_LOG_LEVEL` sets the level, `info` by default. */
  readonly env?: NodeJS.ProcessEnv;
}

/**
 * A logger that writes one JSON object a line; on a terminal, lines for people, unless `CROSSFOLD_LOG_FORMAT` is json.
 * Lines are written at once, so that a process that is killed leaves all it said. Credentials in addresses never reach the log.
 */
export function createLogger({ service, to, fields, tap, env = process.env }: LoggerOptions): Logger {
  const asked = env.CROSSFOLD_LOG_LEVEL?.toLowerCase();
  const known = logLevels.find((level) => level === asked);
  const plain = typeof to === 'object' ? to : patient(to ?? 1);
  const written = to === undefined && isForPeople(env) ? readable(plain) : plain;
  const stream = tap === undefined ? written : tapped(written, tap);
  const logger = pino(
    {
      base: { service, pid: process.pid },
      level: known ?? 'info',
      timestamp: () => `,"time":"${new Date().toISOString()}"`,
      formatters: { level: (label) => ({ level: label }) },
      serializers: { err: stdSerializers.err },
      hooks: { streamWrite: redactCredentials },
      ...(fields === undefined ? {} : { mixin: fields }),
    },
    stream,
  );
  if (asked !== undefined && asked !== '' && known === undefined)
    logger.warn({ asked, known: logLevels }, 'CROSSFOLD_LOG_LEVEL is not a level; using info');
  return logger;
}

/** Bytes of lines that are kept until they can be written; those beyond them are lost. */
const mostWaiting = 16 * 2 ** 20;

/**
 * A file, or a descriptor, to which lines are written at once. What it does not take, on a full disk say, is written before
 * the next line that it takes: nobody ends for want of a place for their log.
 */
function patient(dest: string | number): DestinationStream {
  const file = destination({ dest, sync: true, append: true, mkdir: true, maxLength: mostWaiting });
  file.on('error', () => undefined);
  // Nothing else of it: to flush, as is done for a fatal line, it would try for ever.
  return { write: (line) => void file.write(line) };
}

const isForPeople = (env: NodeJS.ProcessEnv): boolean => {
  const asked = env.CROSSFOLD_LOG_FORMAT?.toLowerCase();
  return asked === 'pretty' || (asked !== 'json' && process.stdout.isTTY === true);
};

const tapped = (to: DestinationStream, tap: (line: string) => void): DestinationStream => ({
  write(line) {
    to.write(line);
    tap(line);
  },
});

function readable(to: DestinationStream): DestinationStream {
  const pretty = prettyLine(process.stdout.isTTY === true && process.env.NO_COLOR === undefined);
  return { write: (line) => to.write(pretty(line)) };
}

/**
 * Replaces user, password or token in every address in a text. A password after a colon may have anything in it but white space
 * and a quote that is not escaped: it ends at the last @ before those, or before the next address.
 */
export const redactCredentials = (text: string): string =>
  text.replace(
    /([a-z][a-z0-9+.-]{0,15}:\/\/)(?:[^\s/@":,]*:(?:(?![a-z][a-z0-9+.-]{0,15}:\/\/)(?:\\.|[^\s"\\]))*|[^\s/@"',]+)@/gi,
    '$1***@',
  );
