import { z } from 'zod';
import type { ConfigProblem } from './errors.ts';
import { ConfigError } from './errors.ts';

const count = z.int().min(1);
const GiB = 2 ** 30;

/**
 * What one experiment may take of a cluster, and how many of them may be under way: a cluster's coordinators say so, its
 * clients look before they upload anything, and the leader looks again before it writes anything.
 */
export const Quotas = z
  .object({
    /** Experiments that are not over. */
    experiments: count,
    /** Jobs of an experiment, each of them a trial on a fold. */
    jobs: count,
    /** Files and shards of a data set, bytes. */
    datasetBytes: count,
    /** Nets and scores of all jobs of an experiment, bytes. */
    experimentBytes: count,
    /** A job's checkpoint, bytes. */
    checkpointBytes: count,
    /** A job's net and scores, bytes. */
    resultBytes: count,
  })
  .readonly();
export type Quotas = z.infer<typeof Quotas>;
type Quota = keyof Quotas;

interface Setting {
  /** The coordinators' environment variable. */
  readonly variable: `CROSSFOLD_QUOTA_${string}`;
  /** The most where the broker's storage is not known, or is large. */
  readonly most: number;
  /** Share of the broker's storage that is the most where that is less. */
  readonly share?: number;
  /** What it limits, and what a user can do about it. */
  readonly what: string;
  readonly remedy: string;
}

/** Each quota's setting, default and words. */
export const quotaSettings: Readonly<Record<Quota, Setting>> = {
  experiments: {
    variable: 'CROSSFOLD_QUOTA_EXPERIMENTS',
    most: 1000,
    what: 'experiments of a cluster that are not over',
    remedy: 'wait for some to end, or cancel those that nobody needs (crossfold list)',
  },
  jobs: {
    variable: 'CROSSFOLD_QUOTA_JOBS',
    most: 100_000,
    what: 'jobs of an experiment (trials x folds)',
    remedy: 'search fewer configurations, or make fewer folds or repeats',
  },
  datasetBytes: {
    variable: 'CROSSFOLD_QUOTA_DATASET',
    most: 64 * GiB,
    // Less than the broker's own limit on the store (broker/quotas.ts): of one data set that is too large this is what is said.
    share: 2 / 5,
    what: 'files and shards of a data set',
    remedy: 'take less of it (dataset.limit, dataset.perClass), smaller images, or dataset.image.store: files',
  },
  experimentBytes: {
    variable: 'CROSSFOLD_QUOTA_EXPERIMENT',
    most: 64 * GiB,
    share: 1 / 3,
    what: 'nets and scores of all jobs of an experiment',
    remedy: 'search fewer configurations, make fewer folds, or take a smaller net',
  },
  checkpointBytes: {
    variable: 'CROSSFOLD_QUOTA_CHECKPOINT',
    most: 8 * GiB,
    share: 1 / 16,
    what: "a job's checkpoint (weights, optimizer and best weights)",
    remedy: 'take a smaller net, or an optimizer that keeps less',
  },
  resultBytes: {
    variable: 'CROSSFOLD_QUOTA_RESULT',
    most: 4 * GiB,
    share: 1 / 16,
    what: "a job's net and scores",
    remedy: 'take a smaller net or fewer classes',
  },
};
const quotas = Object.keys(quotaSettings) as Quota[];

/** All that an experiment would take; what is not known yet is left out. */
export type Demand = Readonly<Partial<Record<Quota, { readonly value: number; readonly field: string }>>>;

/** The first quota that a demand goes over, by the field of the experiment that it comes of; undefined where it fits. */
export function overQuota(demand: Demand, limits: Quotas): ConfigProblem | undefined {
  for (const quota of quotas) {
    const asked = demand[quota];
    if (asked === undefined || asked.value <= limits[quota]) continue;
    const { variable, what, remedy } = quotaSettings[quota];
    const show = quota.endsWith('Bytes') ? showBytes : String;
    return {
      field: asked.field,
      allowed: `comes to ${show(asked.value)}, over this cluster's quota of ${show(limits[quota])} for ${what}; ${remedy}, or have the cluster's ${variable} raised`,
    };
  }
  return undefined;
}

/** Of an experiment that is one too many, submitted or taken up again. */
export function tooManyExperiments(unfinished: number, limits: Quotas): ConfigError | undefined {
  if (unfinished < limits.experiments) return undefined;
  const { variable, what, remedy } = quotaSettings.experiments;
  return new ConfigError(
    `there are ${unfinished} ${what}, and the quota is ${limits.experiments}; ${remedy}, or have the cluster's ${variable} raised`,
  );
}

/** What the environment asks of a coordinator. */
export interface QuotaSettings {
  /** The most that everything together may take of the broker, bytes. */
  readonly storage: number | undefined;
  readonly limits: Partial<Quotas>;
}

const storageVariable = 'CROSSFOLD_QUOTA_STORAGE';

/**
 * The quotas that the environment sets.
 *
 * @throws ConfigError naming the variable that is not a number, or not a size, of at least 1
 */
export function quotaSettingsOf(env: NodeJS.ProcessEnv): QuotaSettings {
  const read = (variable: string, bytes: boolean): number | undefined => {
    const text = (env[variable] ?? '').trim();
    if (text === '') return undefined;
    const value = bytes ? parseBytes(text) : /^\d{1,15}$/.test(text) ? Number(text) : undefined;
    if (value !== undefined && value >= 1) return value;
    const allowed = bytes ? 'must be a size, as in 500MiB or 64GiB' : 'must be a whole number of at least 1';
    throw new ConfigError({ field: variable, value: JSON.stringify(text), allowed });
  };
  const limits: Partial<Record<Quota, number>> = {};
  for (const quota of quotas) {
    const value = read(quotaSettings[quota].variable, quota.endsWith('Bytes'));
    if (value !== undefined) limits[quota] = value;
  }
  return { storage: read(storageVariable, true), limits };
}

/**
 * A cluster's quotas: those that are set, for the rest the defaults.
 *
 * @param storage what the broker may store, bytes, where that is known
 */
export function quotasOf(limits: QuotaSettings['limits'], storage: number | undefined): Quotas {
  const most = (quota: Quota): number => {
    const { most, share } = quotaSettings[quota];
    return share === undefined || storage === undefined
      ? most
      : Math.max(1, Math.min(most, Math.floor(share * storage)));
  };
  return Quotas.parse({ ...Object.fromEntries(quotas.map((quota) => [quota, most(quota)])), ...limits });
}

const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'] as const;

/** `64GiB`, `1.5 TiB`, `1000000`; undefined where it is none of these, or more than 2^53. */
function parseBytes(text: string): number | undefined {
  const [, number = '', unit = 'B'] = /^(\d{1,15}(?:\.\d{1,3})?) ?([KMGT]?i?B?)$/i.exec(text) ?? [];
  const power = units.findIndex((one) => one[0]?.toUpperCase() === (unit[0] ?? 'B').toUpperCase());
  const value = Math.floor(Number(number) * 1024 ** power);
  return number !== '' && power >= 0 && Number.isSafeInteger(value) ? value : undefined;
}

/** Bytes for people: `1.5 GiB`. */
export function showBytes(bytes: number): string {
  const power = Math.min(units.length - 1, Math.max(0, Math.floor(Math.log2(Math.max(1, bytes)) / 10)));
  const value = bytes / 1024 ** power;
  return `${power === 0 || value >= 100 ? Math.round(value) : Number(value.toPrecision(3))} ${units[power]}`;
}
