import { exchangeModes } from '@crossfold/shared/config/exchange';
import type { Endpoint } from '@crossfold/shared/endpoint';
import { parseEndpoint } from '@crossfold/shared/endpoint';
import { ConfigError } from '@crossfold/shared/errors';
import type { Selection } from '@crossfold/shared/jobs/records';
import type { Command } from 'commander';
import { InvalidArgumentError, Option } from 'commander';
import type { FoldChoice } from '../models/find-model.ts';
import { testTimes } from '../models/test-times.ts';
import type { CommandContext } from './context.ts';

/** Adds a verb to the program; its action returns the exit code. */
export type Register = (program: Command, context: CommandContext, end: (code: number) => void) => void;

/** A whole number of at least `least`, as commander's parsers want it. */
export const wholeNumber =
  (least: number, most: number = Number.MAX_SAFE_INTEGER) =>
  (text: string): number => {
    const value = Number(text);
    if (!/^\d+$/.test(text.trim()) || value < least || value > most)
      throw new InvalidArgumentError(
        most === Number.MAX_SAFE_INTEGER
          ? `It must be a whole number of at least ${least}.`
          : `It must be a whole number from ${least} to ${most}.`,
      );
    return value;
  };

export const natsOption = (): Option =>
  new Option('--nats <url>', 'address of the broker, as in nats://host:4222 (default: CROSSFOLD_NATS_URL)');

export const setOption = (): Option =>
  new Option('--set <path=value>', 'set a field of the experiment, as in training.epochs=1; may be repeated')
    .argParser((value: string, before: readonly string[] = []) => [...before, value])
    .default([], 'none');

/** How the pages that a coordinator serves can do more than be read. */
export const pagesHelp =
  'Its live page is read-only; with a token in CROSSFOLD_PAGE_TOKEN, or in the file that CROSSFOLD_PAGE_TOKEN_FILE names, it cancels and resumes experiments for whoever has that.';

export const jsonOption = (): Option => new Option('--json', 'print one JSON document on stdout, and nothing else');

export const freshOption = (): Option =>
  new Option(
    '--fresh',
    'compute everything, whatever results the cluster has of equal jobs (embedded clusters share none with earlier runs)',
  );

export const onlyTrialOption = (): Option => new Option('--trial <t>', 'only this trial').argParser(wholeNumber(0));

export const onlyFoldOption = (): Option =>
  new Option('--fold <f>', 'only this fold, of all trials or of the one that --trial names').argParser(wholeNumber(0));

/** What --trial and --fold select. */
export const selectionOf = ({ trial, fold }: { readonly trial?: number; readonly fold?: number }): Selection => ({
  ...(trial === undefined ? {} : { trial }),
  ...(fold === undefined ? {} : { fold }),
});

export const workersOption = (): Option =>
  new Option('--workers <n>', 'workers of the embedded cluster (default: one a core)').argParser(wholeNumber(1, 1024));

/**
 * `--fold`, for a net of a finished experiment.
 *
 * @param ensembles whether several nets may answer together
 */
export function foldOption({ ensembles = false } = {}): Option {
  const names: readonly FoldChoice[] = ['best', 'refit', ...(ensembles ? (['ensemble'] as const) : [])];
  const together = ensembles ? ', ensemble (the nets of all folds together)' : '';
  return new Option(
    '--fold <fold>',
    `a fold's number, best, refit (trained on all samples)${together} (default: what the experiment left in the end: its refit, where it has one, else best)`,
  ).argParser((text: string): FoldChoice => {
    const name = names.find((one) => one === text);
    if (name !== undefined) return name;
    if (!/^\d+$/.test(text)) throw new InvalidArgumentError(`It must be a fold's number, ${names.join(' or ')}.`);
    return Number(text);
  });
}

/** `--tta`, for verbs that ask a net about pictures. */
export const testTimeOption = (): Option =>
  new Option(
    '--tta <how>',
    'test-time augmentation: flip takes the mean of what the net says of a picture and of its mirror image',
  )
    .choices([...testTimes])
    .default('none', 'none');

export const exchangeOption = (): Option =>
  new Option('--exchange <transport>', 'how gradients travel').choices([...exchangeModes]).default('auto');

/** Where services serve probes and metrics where nothing else is asked for; port 0 is any free one. */
export const defaultHttp = { coordinator: '127.0.0.1:9470', worker: '127.0.0.1:9471' } as const;

export const httpOption = (byDefault: string): Option =>
  new Option(
    '--http <addr:port>',
    `where /metrics, /livez and /readyz are served, as in 0.0.0.0:9470, or off (default: CROSSFOLD_HTTP, else ${byDefault}; a taken port falls to a free one)`,
  );

/**
 * Where a service serves probes and metrics; undefined where it is not to.
 *
 * @throws ConfigError naming the option or the variable.
 */
export function httpEndpoint(
  given: string | undefined,
  { env }: CommandContext,
  byDefault: string,
): Endpoint | undefined {
  const [text, source] =
    given !== undefined
      ? [given, '--http']
      : env.CROSSFOLD_HTTP !== undefined && env.CROSSFOLD_HTTP !== ''
        ? [env.CROSSFOLD_HTTP, 'CROSSFOLD_HTTP']
        : [byDefault, '--http'];
  return text === 'off' ? undefined : parseEndpoint(text, source);
}

/**
 * Monitoring ports of the broker's servers, as far as the environment names them.
 *
 * @throws ConfigError naming the variable.
 */
export function brokerMonitors({ env }: Pick<CommandContext, 'env'>): string[] {
  const text = (env.CROSSFOLD_BROKER_MONITOR ?? '').trim();
  if (text === '') return [];
  const addresses = text.split(',').map((address) => address.trim());
  if (addresses.every((address) => /^https?:$/.test(URL.parse(address)?.protocol ?? ''))) return addresses;
  const allowed = 'must be an address as in http://nats:8222, or one for each server, with commas between them';
  throw new ConfigError({ field: 'CROSSFOLD_BROKER_MONITOR', value: JSON.stringify(text), allowed });
}

/** Help's last part: examples, one a line. */
export const examples = (...lines: readonly string[]): string =>
  `\nExamples:\n${lines.map((line) => `  $ crossfold ${line}`).join('\n')}`;
