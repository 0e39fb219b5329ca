import { existsSync } from 'node:fs';
import { join, relative } from 'node:path';
import { ConfigError, ExperimentFailedError } from '@crossfold/shared/errors';
import { isFinal } from '@crossfold/shared/jobs/records';
import { Option } from 'commander';
import { ask, remoteUrl } from '../client/ask.ts';
import { resolvedYaml } from '../config/load.ts';
import { foldsCsv } from '../results/folds-csv.ts';
import { reportMarkdown } from '../results/markdown.ts';
import { readRun } from '../results/read-run.ts';
import type { ReportInput } from '../results/report/report.ts';
import { reportHtml } from '../results/report/report.ts';
import { runFiles } from '../results/run-folder.ts';
import { writeWhole } from '../write-whole.ts';
import type { CommandContext } from './context.ts';
import type { Register } from './options.ts';
import { examples, natsOption } from './options.ts';
import { findRunFolder, placesOf } from './run-folder.ts';

type Format = 'html' | 'md' | 'csv';

interface ReportOptions {
  readonly out?: string;
  readonly format?: Format;
  readonly nats?: string;
  readonly json?: boolean;
}

/** `report ID|DIR`: the report of a finished experiment, from its run's folder or from a cluster. */
export const registerReport: Register = (program, context) => {
  program
    .command('report')
    .summary('write the report of a finished experiment')
    .description(
      "Writes the report of a finished experiment: from its run's folder where there is one, from the cluster otherwise, or where --nats names it.",
    )
    .argument('<id|folder>', "the experiment's id, or its run's folder")
    .option(
      '--out <file>',
      "where to write it, - for stdout (default: report.html in the run's folder, or <id>.html; md and csv go to stdout)",
    )
    .addOption(
      new Option(
        '--format <format>',
        'a page, Markdown, or a table of the folds (default: by the name of --out, else html)',
      ).choices(['html', 'md', 'csv']),
    )
    .addOption(natsOption())
    .option('--json', 'print the results, as results.json has them, on stdout, and write nothing')
    .addHelpText(
      'after',
      examples(
        'report runs/mnist-kfold-20260101-120000-1a2b',
        'report mnist-kfold-20260101-120000-1a2b --nats nats://cluster.example:4222 --out report.html',
        'report runs/mnist-kfold-20260101-120000-1a2b --format md',
      ),
    )
    .action(async (which: string, options: ReportOptions) => {
      const folder = options.nats === undefined ? findRunFolder(which) : undefined;
      const input = folder === undefined ? await fromCluster(context, which, options.nats) : await readRun(folder);
      if (options.json === true) {
        context.out.write(`${JSON.stringify(input.results)}\n`);
        return;
      }
      const format = options.format ?? formatOf(options.out);
      const text = formats[format](input);
      const out = options.out ?? (format === 'html' ? defaultFile(folder, which) : '-');
      if (out === '-') {
        context.out.write(text);
        return;
      }
      await writeReport(out, text);
      context.out.write(`report: ${relative('.', out)}\n`);
    });
};

const formats: Readonly<Record<Format, (input: ReportInput) => string>> = {
  html: reportHtml,
  md: ({ results, yaml }) => reportMarkdown(results, yaml),
  csv: ({ results }) => foldsCsv(results),
};

/** The format that a file's name says. */
const formatOf = (out: string | undefined): Format =>
  (out ?? '').endsWith('.md') ? 'md' : (out ?? '').endsWith('.csv') ? 'csv' : 'html';

function defaultFile(folder: string | undefined, id: string): string {
  return folder === undefined ? `${id}.html` : join(folder, runFiles.report);
}

async function fromCluster(context: CommandContext, id: string, nats: string | undefined): Promise<ReportInput> {
  if (remoteUrl(nats, context) === undefined)
    throw new ConfigError(
      `there is no run's folder at ${placesOf(id)}; name one, or the cluster that has the experiment by --nats URL or CROSSFOLD_NATS_URL`,
    );
  return ask(context, nats, async (client) => {
    const { record, experiment, results } = await client.outcome(id, { models: false });
    if (results !== undefined) return { results, yaml: resolvedYaml(experiment) };
    if (isFinal(record.state))
      throw new ExperimentFailedError(
        `${id} has no results: it ${record.state === 'failed' ? 'failed' : 'was cancelled'}${record.error === null ? '' : `: ${record.error}`}`,
      );
    throw new ConfigError(`${id} has no results yet: it is ${record.state}; \`crossfold watch ${id}\` follows it`);
  });
}

async function writeReport(file: string, text: string): Promise<void> {
  try {
    await writeWhole(file, text);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const why = existsSync(file) && code === 'EISDIR' ? 'is a folder' : `cannot be written (${code ?? String(error)})`;
    throw new ConfigError({ field: '--out', value: file, allowed: why });
  }
}
