import { createRequire } from 'node:module';
import type { PrettyOptions } from 'pino-pretty';
import { printable } from './printable.ts';

/** Fields that say where a line comes from; they stand in front of it. */
const place = ['service', 'trial', 'fold', 'generation', 'rank', 'epoch', 'step'] as const;
const hidden = ['pid', 'experiment', 'job', ...place] as const;

/** Makes JSON lines readable: time, level, who and where, message, and what else there is, on one line. */
export function prettyLine(color: boolean): (line: string) => string {
  // Only whoever looks at logs needs it.
  const { prettyFactory } = createRequire(import.meta.url)('pino-pretty') as typeof import('pino-pretty');
  const options: PrettyOptions = {
    colorize: color,
    singleLine: true,
    translateTime: 'HH:MM:ss.l',
    ignore: hidden.join(','),
    messageFormat: (line, messageKey) => {
      const { service, ...rest } = line;
      const where = place
        .filter((field) => field !== 'service' && rest[field] !== undefined)
        .map((field) => `${field} ${String(rest[field])}`);
      return `${String(service)}${where.length === 0 ? '' : ` (${where.join(', ')})`}: ${String(line[messageKey] ?? '')}`;
    },
  };
  const pretty = prettyFactory(options);
  return (line) => {
    const safe = withoutControls(line);
    try {
      return pretty(safe);
    } catch {
      // The library has its limits (of nesting, for one); what is beyond them is shown as it came.
      return safe;
    }
  };
}

/** A line may be of somebody else: what would be control characters on a terminal is taken out of its JSON. */
const withoutControls = (line: string): string =>
  printable(line).replaceAll(/\\(\\|u00[0189][0-9a-f]|u007f|[bfr])/gi, (all, what: string) =>
    what === '\\' ? all : '?',
  );
