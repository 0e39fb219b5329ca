import type { Broker } from '@crossfold/shared/broker/broker';
import type { NamedDocuments } from '@crossfold/shared/broker/named-documents';
import type { BlobStore } from '@crossfold/shared/data/blob-store';
import type { DatasetRecord } from '@crossfold/shared/data/dataset-record';
import type { ExperimentRecord } from '@crossfold/shared/jobs/records';

/** Where imported data sets are kept: on a cluster's broker, or on this machine. */
export interface DatasetLibrary {
  /** Completes a sentence: `on this machine`, `on the cluster`. */
  readonly where: string;
  readonly records: NamedDocuments<DatasetRecord>;
  /** Manifests and shards; of a cluster, those of data sets that were never imported as well. */
  readonly blobs: BlobStore;
  /** Experiments whose jobs read these blobs. */
  experiments(): Promise<readonly ExperimentRecord[]>;
}

/** The library of a cluster. */
export const clusterLibrary = ({ datasets, data, experiments }: Broker): DatasetLibrary => ({
  where: 'on the cluster',
  records: datasets,
  blobs: data,
  // One that nobody can read uses nothing.
  experiments: () => experiments.list('>', () => undefined),
});
