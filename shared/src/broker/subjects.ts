/**
 * Every name that Crossfold uses on the broker: one home, so that permissions can be hung on them.
 *
 * A job's id is five tokens, `<experiment>.<kind>.<trial>.<repeat>.<fold>`: it is the key of its record and, unchanged,
 * part of its subjects, so that wildcards select an experiment, a trial or a fold.
 */

/** Key-value buckets: small records, every transition a compare-and-set. */
export const Buckets = {
  experiments: 'crossfold_experiments',
  jobs: 'crossfold_jobs',
  leases: 'crossfold_leases',
} as const;

/** Object stores: what is larger than a message, named by its SHA-256. */
export const Stores = {
  /** Source files, shards and manifests: shared by all experiments. */
  data: 'crossfold_data',
  /** Plans, folds, models and results. */
  artifacts: 'crossfold_artifacts',
  /** Apart, so that those that no job needs any more can be told from the rest. */
  checkpoints: 'crossfold_checkpoints',
} as const;

/** Streams behind buckets and stores, as NATS names them. */
export const recordStream = (bucket: string): string => `KV_${bucket}`;
export const blobStream = (store: string): string => `OBJ_${store}`;

/** The work-queue stream of seats. */
export const SeatStream = 'CROSSFOLD_SEATS';
const seatPrefix = 'crossfold.seats';
export const allSeats = `${seatPrefix}.*`;

/** Seats for workers of one engine identity (its digest). */
export const seatSubject = (identity: string): string => `${seatPrefix}.${identity}`;
/** The identity that a seat's subject is for. */
export const seatIdentity = (subject: string): string | undefined =>
  subject.startsWith(`${seatPrefix}.`) ? subject.slice(seatPrefix.length + 1) : undefined;
/** Durable pull consumer that the workers of one engine identity share. */
export const seatConsumer = (identity: string): string => `seats-${identity}`;

/** Stream of the one message that has the key of groups' secrets. */
export const GroupKeyStream = 'CROSSFOLD_GROUP_KEY';
export const groupKeySubject = 'crossfold.group-key';

/** A worker's sign of life, published on core NATS by itself alone. */
export const presenceSubject = (worker: string): string => `crossfold.presence.${worker}`;
export const allPresence = 'crossfold.presence.*';
/** Where a worker listens while it is connected, and for nothing else: the broker says at once when nobody does. */
export const aliveSubject = (worker: string): string => `crossfold.alive.${worker}`;

/** Progress of a job, for whoever watches; at most once. */
export const progressSubject = (job: string): string => `crossfold.progress.${job}`;
/** What the leader says of an experiment as a whole, for whoever watches. */
export const leaderProgressSubject = (experiment: string): string => `crossfold.progress.${experiment}.leader`;
export const allProgress = 'crossfold.progress.>';
/** Stream of the services' log lines about experiments. */
export const LogStream = 'CROSSFOLD_LOGS';
export const logSubject = (experiment: string): string => `crossfold.logs.${experiment}`;

/** Of an experiment whose timeline is recorded: that it is, what workers' clocks show, what they did. */
export const timelineSubject = (experiment: string, what: 'wanted' | 'clock' | 'events'): string =>
  `crossfold.timeline.${experiment}.${what}`;
export const experimentProgress = (experiment: string): string => `crossfold.progress.${experiment}.>`;

/** What members of a generation say to one rank, or to all of them. */
export const groupSubject = (job: string, generation: number, to: number | 'all' | 'hello'): string =>
  `crossfold.group.${job}.${generation}.${to}`;
