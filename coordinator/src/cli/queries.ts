import type { ExperimentRecord, PublicJob } from '@crossfold/shared/jobs/records';
import { isFinal } from '@crossfold/shared/jobs/records';
import type { ExperimentStanding } from '../metrics/standing.ts';
import { duration } from './progress/text.ts';

/** Rows as columns of even width; the first row is the heading. */
export function table(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  return rows
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

/** @param standings how each stands, where that is known */
export function experimentTable(
  records: readonly ExperimentRecord[],
  now: number,
  standings?: readonly ExperimentStanding[],
): string {
  if (records.length === 0) return 'no experiments';
  const rows = records.map((record, i) => {
    const standing = standings?.[i];
    return [
      record.id,
      record.state,
      record.jobs === 0 ? '' : String(record.jobs),
      new Date(record.createdAt).toISOString().slice(0, 19).replace('T', ' '),
      record.startedAt === null ? '' : duration((record.finishedAt ?? now) - record.startedAt),
      ...(standing === undefined
        ? []
        : [
            shareText(wasGivenUp(record) ? undefined : standing.progress),
            leftText(standing.remainingSeconds, standing.atMost),
          ]),
      oneLine(record.error),
    ];
  });
  const far = standings === undefined ? [] : ['DONE', 'LEFT'];
  return table([['ID', 'STATE', 'JOBS', 'SUBMITTED (UTC)', 'TIME', ...far, 'ERROR'], ...rows]);
}

/** Of what was cancelled or has failed there is nothing more to be done, and yet it is not done. */
const wasGivenUp = ({ state }: { readonly state: string }): boolean => state === 'cancelled' || state === 'failed';
const shareText = (share: number | undefined): string => (share === undefined ? '' : `${Math.floor(100 * share)} %`);
const leftText = (seconds: number | undefined, atMost = false): string =>
  seconds === undefined ? '' : `${atMost ? 'at most ' : ''}about ${duration(1000 * seconds)}`;

export function jobTable(jobs: readonly PublicJob[], now: number, standing: ExperimentStanding): string {
  const folds = new Map(standing.folds.map((fold) => [fold.job, fold]));
  const rows = jobs.map((job) => [
    job.kind === 'train' ? String(job.trial) : `${job.trial} (${job.kind})`,
    String(job.repeat),
    String(job.fold),
    job.state,
    (isFinal(job.state) ? job.workers : job.members.map(({ worker }) => worker)).join(','),
    String(job.generation),
    String(job.attempts),
    job.startedAt === null ? '' : duration((job.finishedAt ?? now) - job.startedAt),
    shareText(wasGivenUp(job) ? undefined : (folds.get(job.id)?.progress ?? Number(isFinal(job.state)))),
    leftText(folds.get(job.id)?.remainingSeconds),
    oneLine(job.error),
  ]);
  const heading = [
    'TRIAL',
    'REPEAT',
    'FOLD',
    'STATE',
    'WORKERS',
    'GENERATIONS',
    'ATTEMPTS',
    'TIME',
    'DONE',
    'LEFT',
    'ERROR',
  ];
  return table([heading, ...rows]);
}

const oneLine = (text: string | null): string => (text ?? '').replaceAll(/\s+/g, ' ');
