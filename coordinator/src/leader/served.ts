import type { Broker } from '@crossfold/shared/broker/broker';
import { getJson } from '@crossfold/shared/broker/json-blobs';
import { DamagedDataError } from '@crossfold/shared/errors';
import { RefitJobResult, TrainJobResult } from '@crossfold/shared/jobs/job-result';
import type { BlobRef, JobRecord } from '@crossfold/shared/jobs/records';
import { usableResults } from '@crossfold/shared/jobs/transitions';

/**
 * Sees to it that the results of a job, by which another one is to be served, stay until the other's record names them:
 * its experiment may be removed at this very moment.
 *
 * @param until epochs that the other wants
 * @returns false where something of them is not there any more: then the other has to be computed
 */
export async function keepResults(
  { artifacts }: Pick<Broker, 'artifacts'>,
  from: JobRecord,
  until: number,
): Promise<boolean> {
  for (const result of usableResults(from, until)) {
    if (!(await artifacts.keep(result.digest))) return false;
    const nets = await netsOf(artifacts, from.kind, result);
    if (nets === undefined) return false;
    for (const { digest } of nets) if (!(await artifacts.keep(digest))) return false;
  }
  return true;
}

/** What a result refers to; undefined where it cannot be read. */
async function netsOf(
  artifacts: Broker['artifacts'],
  kind: JobRecord['kind'],
  result: BlobRef,
): Promise<readonly BlobRef[] | undefined> {
  if (kind === 'test') return [];
  try {
    if (kind === 'refit') return [(await getJson(artifacts, result, RefitJobResult)).model];
    const { model, findings } = await getJson(artifacts, result, TrainJobResult);
    return findings === undefined ? [model] : [model, findings];
  } catch (error) {
    if (!(error instanceof DamagedDataError)) throw error;
    return undefined;
  }
}
