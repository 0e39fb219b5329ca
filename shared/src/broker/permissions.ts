import {
  aliveSubject,
  allPresence,
  allSeats,
  Buckets,
  blobStream,
  GroupKeyStream,
  groupKeySubject,
  LogStream,
  logSubject,
  recordStream,
  SeatStream,
  Stores,
  timelineSubject,
} from './subjects.ts';

/** What a connection is for; each has credentials and permissions of its own. */
export const roles = ['coordinator', 'worker', 'client'] as const;
export type Role = (typeof roles)[number];

/** Subjects that a role may use, wildcards included; all others are refused by the server. */
export interface Permissions {
  readonly publish: readonly string[];
  readonly subscribe: readonly string[];
}

/** Where a role receives answers: apart, so that no role can listen to what another is told. */
export const inboxPrefix = (role: Role | undefined): string => (role === undefined ? '_INBOX' : `_INBOX.${role}`);

/**
 * The least that a role can work with, subject by subject:
 * - the coordinator makes streams, cuts data sets, writes every kind of record and gives out seats;
 * - a worker takes seats, writes jobs' records, checkpoints and results, and speaks with its group; it reads data sets
 *   and experiments, and the key of groups' secrets, and can neither submit nor lead;
 * - a client uploads data sets, submits, cancels and removes experiments, and reads everything that is to be followed; it cannot
 *   touch a job, a seat or a group.
 *
 * Permissions are a role's, not one worker's: that a worker which is late writes nothing is seen to by the records'
 * revisions and generations. Who may create a consumer, or ask JetStream anything, may have the server deliver to any
 * subject, so that a role must be trusted not to do that on purpose (docs/security.md, "Not defended"); what it holds for
 * itself are acknowledgements and inboxes.
 */
export function permissionsOf(role: Role): Permissions {
  return {
    publish: ['$JS.API.INFO', '$JS.API.STREAM.NAMES', ...publishes[role].flat()],
    subscribe: [`${inboxPrefix(role)}.>`, ...subscribes[role]],
  };
}

const jobSubjects = 'crossfold.group.>';
const progressSubjects = 'crossfold.progress.>';

/**
 * Never `$JS.API.DIRECT.GET`: its answer is what is stored, word for word, sent to whatever subject the asker names as if
 * the server itself had asked, so that who may write anything could have it written, or done by JetStream, anywhere.
 */
const readStream = (stream: string): string[] => [
  `$JS.API.STREAM.INFO.${stream}`,
  `$JS.API.STREAM.MSG.GET.${stream}`,
  `$JS.API.CONSUMER.CREATE.${stream}`,
  `$JS.API.CONSUMER.CREATE.${stream}.>`,
  `$JS.API.CONSUMER.DELETE.${stream}.*`,
  `$JS.FC.${stream}.>`,
];
const makeStream = (stream: string): string[] => [`$JS.API.STREAM.CREATE.${stream}`, `$JS.API.STREAM.UPDATE.${stream}`];
const readRecords = (bucket: string): string[] => readStream(recordStream(bucket));
// What is deleted leaves a marker, which the broker is to forget in the end.
const forgetRecords = (bucket: string): string[] => [`$JS.API.STREAM.PURGE.${recordStream(bucket)}`];
const writeRecords = (bucket: string): string[] => [...readRecords(bucket), `$KV.${bucket}.>`];
const readBlobs = (store: string): string[] => readStream(blobStream(store));
// Taking a blob away, or an upload back that was cut off, purges its pieces.
const writeBlobs = (store: string): string[] => [
  ...readBlobs(store),
  `$O.${store}.>`,
  `$JS.API.STREAM.PURGE.${blobStream(store)}`,
];

const readGroupKey = [`$JS.API.STREAM.INFO.${GroupKeyStream}`, `$JS.API.STREAM.MSG.GET.${GroupKeyStream}`];

const publishes: Readonly<Record<Role, readonly (readonly string[])[]>> = {
  coordinator: [
    ...Object.values(Buckets).map((bucket) => [
      ...makeStream(recordStream(bucket)),
      ...writeRecords(bucket),
      ...forgetRecords(bucket),
    ]),
    ...Object.values(Stores).map((store) => [...makeStream(blobStream(store)), ...writeBlobs(store)]),
    makeStream(SeatStream),
    [
      ...makeStream(LogStream),
      `$JS.API.STREAM.INFO.${LogStream}`,
      `$JS.API.STREAM.PURGE.${LogStream}`,
      logSubject('*'),
    ],
    [`$JS.API.STREAM.INFO.${SeatStream}`, `$JS.API.STREAM.PURGE.${SeatStream}`, allSeats],
    [...makeStream(GroupKeyStream), ...readGroupKey, `$JS.API.STREAM.PURGE.${GroupKeyStream}`, groupKeySubject],
    [progressSubjects, aliveSubject('*')],
  ],
  worker: [
    readGroupKey,
    readRecords(Buckets.experiments),
    writeRecords(Buckets.jobs),
    readRecords(Buckets.leases),
    readBlobs(Stores.data),
    writeBlobs(Stores.artifacts),
    writeBlobs(Stores.checkpoints),
    [
      `$JS.API.STREAM.INFO.${SeatStream}`,
      `$JS.API.CONSUMER.CREATE.${SeatStream}.>`,
      `$JS.API.CONSUMER.DURABLE.CREATE.${SeatStream}.*`,
      `$JS.API.CONSUMER.INFO.${SeatStream}.*`,
      `$JS.API.CONSUMER.MSG.NEXT.${SeatStream}.*`,
      `$JS.ACK.${SeatStream}.>`,
    ],
    [`$JS.API.STREAM.INFO.${LogStream}`, logSubject('*')],
    [allPresence, aliveSubject('*'), jobSubjects, progressSubjects],
    [timelineSubject('*', 'clock'), timelineSubject('*', 'events')],
  ],
  client: [
    writeRecords(Buckets.experiments),
    readRecords(Buckets.jobs),
    readRecords(Buckets.leases),
    writeBlobs(Stores.data),
    writeBlobs(Stores.artifacts),
    readBlobs(Stores.checkpoints),
    [`$JS.API.STREAM.INFO.${SeatStream}`],
    [timelineSubject('*', 'wanted')],
    readStream(LogStream),
  ],
};

const subscribes: Readonly<Record<Role, readonly string[]>> = {
  coordinator: [allPresence, progressSubjects],
  worker: [allPresence, aliveSubject('*'), jobSubjects, timelineSubject('*', 'wanted')],
  client: [
    allPresence,
    progressSubjects,
    timelineSubject('*', 'clock'),
    timelineSubject('*', 'events'),
    logSubject('*'),
  ],
};

/** Streams that NATS keeps for Crossfold, for whoever checks, backs up or removes them. */
export const allStreams: readonly string[] = [
  ...Object.values(Buckets).map(recordStream),
  ...Object.values(Stores).map(blobStream),
  SeatStream,
  LogStream,
  GroupKeyStream,
];
