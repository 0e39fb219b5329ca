import type { Broker } from '@crossfold/shared/broker/broker';
import { readQuotas } from '@crossfold/shared/broker/quotas';
import type { BlobStore } from '@crossfold/shared/data/blob-store';
import type { DatasetRecord, RemovalNote } from '@crossfold/shared/data/dataset-record';
import type { NamedDocuments } from '@crossfold/shared/data/named-documents';
import type { ExperimentRecord } from '@crossfold/shared/jobs/records';
import { checkDemand } from '../estimate/demand.ts';

/** Where imported data sets are kept: on a cluster's broker, or on this machine. */
export interface DatasetLibrary {
  /** Completes a sentence: `on this machine`, `on the cluster`. */
  readonly where: string;
  readonly records: NamedDocuments<DatasetRecord>;
  /** What is being removed, and what was last: see removals.ts. */
  readonly removals: NamedDocuments<RemovalNote>;
  /** Manifests and shards; of a cluster, those of data sets that were never imported as well. */
  readonly blobs: BlobStore;
  /** Experiments whose jobs read these blobs. */
  experiments(): Promise<readonly ExperimentRecord[]>;
  /** @throws ConfigError where a data set of so many bytes is more than one may have here */
  checkSize(bytes: number): Promise<void>;
  /** Does something that stores blobs and then refers to them: none of them is removed meanwhile. */
  uploading<T>(work: () => Promise<T>): Promise<T>;
}

/** The library of a cluster. */
export const clusterLibrary = ({
  datasets,
  removals,
  data,
  experiments,
  uploads,
  ...broker
}: Broker): DatasetLibrary => ({
  where: 'on the cluster',
  records: datasets,
  removals,
  blobs: data,
  // One that nobody can read uses nothing.
  experiments: () => experiments.list('>', () => undefined),
  uploading: (work) => uploads.during(work),
  async checkSize(bytes) {
    const quotas = await readQuotas(broker);
    if (quotas !== undefined) checkDemand({ datasetBytes: { value: bytes, field: 'dataset' } }, quotas);
  },
});
