import { inLines } from '@crossfold/coordinator/data/count-progress';
import { verifyDataset } from '@crossfold/coordinator/datasets/contents';
import type { DatasetDocument } from '@crossfold/coordinator/datasets/documents';
import { datasetDocument, describeImported, listDatasets } from '@crossfold/coordinator/datasets/documents';
import type { WhatToImport } from '@crossfold/coordinator/datasets/import-path';
import { importPath } from '@crossfold/coordinator/datasets/import-path';
import { findImported } from '@crossfold/coordinator/datasets/imported';
import type { DatasetLibrary } from '@crossfold/coordinator/datasets/library';
import { localLibrary } from '@crossfold/coordinator/datasets/local-library';
import type { Removal } from '@crossfold/coordinator/datasets/remove-dataset';
import { removeNamed } from '@crossfold/coordinator/datasets/remove-dataset';

export type { DatasetDocument, Removal as DatasetRemoval };

export interface ImportOptions extends WhatToImport {
  /** Told how far it is. */
  readonly onProgress?: (message: string) => void;
  /** Gives up; nothing is imported then. */
  readonly signal?: AbortSignal;
}

/** What was found of a data set whose every byte was looked at. */
export type Verification = Awaited<ReturnType<typeof verifyDataset>>;

/** Data sets that are kept under names, which experiments can use: `dataset: { name: 'pets' }`. */
export class Datasets {
  readonly #library: DatasetLibrary;

  /** Made by `localDatasets`, and with a cluster. */
  constructor(library: DatasetLibrary) {
    this.#library = library;
  }

  /** Where to look for a name: in some data sets, if any are given, then in those of this machine. */
  static librariesOf(datasets: Datasets | undefined): DatasetLibrary[] {
    return [...(datasets === undefined ? [] : [datasets.#library]), localLibrary(process.env)];
  }

  /**
   * Cuts what lies at a path, and keeps it under a name; one of the same name and content stays as it is.
   *
   * @param path a folder of pictures (one folder a class), a folder of IDX files, `mnist`, or a YAML file with a data set
   * in it, such as an experiment
   * @throws ConfigError where it is not what it should be, the name is another data set's, or a quota does not allow it;
   * nothing is stored then
   */
  async import(
    path: string,
    { onProgress, signal = new AbortController().signal, ...what }: ImportOptions = {},
  ): Promise<DatasetDocument> {
    const how = { env: process.env, now: Date.now(), onProgress: inLines(onProgress), signal };
    return datasetDocument(await importPath(path, what, this.#library, how));
  }

  /**
   * All of them, each with the ids of the experiments that use it.
   *
   * @param onDamaged told of each whose record cannot be read; it is left out
   */
  async list(
    onDamaged: (error: Error) => void = () => undefined,
  ): Promise<(DatasetDocument & { readonly usedBy: readonly string[] })[]> {
    return (await listDatasets(this.#library, onDamaged)).map(({ record, usedBy }) => ({
      ...datasetDocument(record),
      usedBy,
    }));
  }

  /**
   * Classes, shards, how it can be split, and what uses it.
   * @throws ConfigError where there is none of that name
   */
  async show(name: string): Promise<Awaited<ReturnType<typeof describeImported>>['document']> {
    return (await describeImported(await this.#find(name), this.#library)).document;
  }

  /**
   * Fetches every shard and checks it, and every sample in it, against its digest.
   *
   * @returns what is damaged, nothing where all is well
   * @throws ConfigError where there is none of that name
   */
  async verify(name: string, onProgress?: (message: string) => void): Promise<Verification> {
    const { manifest } = await this.#find(name);
    return verifyDataset(this.#library.blobs, manifest, inLines(onProgress));
  }

  /**
   * Removes it, and those of its shards that nothing else needs.
   *
   * @returns what came of it; undefined where its record is damaged, which alone is removed then
   * @param options `force`: shards of experiments that are over as well, which cannot be resumed or refitted then
   * @throws ConfigError where there is none of that name, or an experiment that is not over uses it
   */
  async remove(name: string, options: { readonly force?: boolean } = {}): Promise<Removal | undefined> {
    return removeNamed(name, this.#library, options);
  }

  async #find(name: string) {
    return (await findImported(name, [this.#library], 'name')).record;
  }
}

/** The data sets that were imported on this machine; every cluster here can use them. */
export const localDatasets = (): Datasets => new Datasets(localLibrary(process.env));
