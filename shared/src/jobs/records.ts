import { z } from 'zod';
import { FinalNet } from '../config/final.ts';

/** Digest of a blob: lower-case hexadecimal SHA-256. */
export const Digest = z.string().regex(/^[0-9a-f]{64}$/);

/** Names that become broker tokens and folder names. */
export const Token = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9_-]{0,95}$/);

/** Digest that names an engine, or so much of it as tells one from another; it becomes a broker token. */
export const Identity = z.string().regex(/^[A-Za-z0-9_-]{1,64}$/);

/** Where a member listens for its peers. */
export const Address = z
  .strictObject({
    host: z.string().max(255),
    port: z.int().min(1).max(65535),
    /** A socket in the file system, for peers on the same machine. */
    local: z.string().max(255).exactOptional(),
  })
  .readonly();

/** A job's id: tokens that make up a key. */
export const JobId = z
  .string()
  .max(200)
  .regex(/^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$/);

export const Member = z.strictObject({ worker: Token, address: Address.nullable() }).readonly();
export type Member = z.infer<typeof Member>;

/**
 * States of a job. `queued`: has no member. `forming`: has some of its members and waits, for a bounded time, for the
 * others. `running`: a generation is open. `paused`: trained for as many epochs as were wanted so far, with a result and
 * a checkpoint; whether it goes on is for the search to decide. The rest are final.
 */
export const JobState = z.enum([
  'queued',
  'forming',
  'running',
  'paused',
  'completed',
  'failed',
  'cancelled',
  'pruned',
]);
export type JobState = z.infer<typeof JobState>;

const finalStates: ReadonlySet<string> = new Set(['completed', 'failed', 'cancelled', 'pruned']);
export const isFinal = (state: string): boolean => finalStates.has(state);

/**
 * `train` cross-validates one fold; `refit` trains the configuration that was found on all training samples; `test`
 * scores what is left in the end on the held-out test set.
 */
export const JobKind = z.enum(['train', 'refit', 'test']);
export type JobKind = z.infer<typeof JobKind>;

/** A record must fit into a message, however often workers come and go. */
export const maxWorkersNamed = 256;

export const BlobRef = z.strictObject({ digest: Digest, bytes: z.int().min(1) }).readonly();
export type BlobRef = z.infer<typeof BlobRef>;

/** A result in the store, and what of it is decided on. */
export const ResultRef = z
  .strictObject({
    digest: Digest,
    bytes: z.int().min(1),
    /** Epochs that it is the result of; 0 for a test. */
    epochs: z.int().min(0),
    /** Nothing more comes of training: all epochs are done, or early stopping has ended it. */
    final: z.boolean(),
    accuracy: z.number(),
    loss: z.number(),
    /** On the training samples, over the epoch that it is of; a test has none. */
    train: z.strictObject({ accuracy: z.number(), loss: z.number() }).readonly().exactOptional(),
    /** Wall time of the epochs. */
    seconds: z.number().min(0),
  })
  .readonly();
export type ResultRef = z.infer<typeof ResultRef>;

/** The truth about one job. Changed only through the transitions beside this file. */
export const JobRecord = z
  .strictObject({
    schema: z.literal(1),
    id: z.string().max(200),
    experiment: Token,
    kind: JobKind,
    trial: z.int().min(0),
    /** Of a refit, which no fold limits, 0 both. */
    repeat: z.int().min(0),
    fold: z.int().min(0),
    /** Of a test: what it scores. */
    of: FinalNet.exactOptional(),
    state: JobState,
    /** Blob of the plan that says what to compute. */
    plan: Digest,
    /** Says what its result depends on, and nothing else: jobs with equal keys have equal results. */
    key: Digest,
    /** Epochs that are wanted by now; a search may want more later. 0 for a test. */
    until: z.int().min(0),
    /** Engine identity (its digest) that every member must have. */
    identity: Identity,
    /** How many members the job wants now: from `minSeats` to `maxSeats`, as the leader sees fit. */
    seats: z.int().min(1),
    /** A group that is not running yet waits, for a bounded time, for this many; it is never narrowed below it. */
    minSeats: z.int().min(1),
    /** Most members that the job can have: no more than there are slices. */
    maxSeats: z.int().min(1),
    /** Counts changes of membership; 0 before the first group. */
    generation: z.int().min(0),
    /** In order of rank. */
    members: z.array(Member).max(1024).readonly(),
    /** Everyone who has been a member, in order of joining; the last `maxWorkersNamed` of them. */
    workers: z.array(Token).max(maxWorkersNamed).readonly(),
    /**
     * New with every generation. Clients may read it: what proves membership to peers is made of it with the cluster's
     * key, see `groupSecret`.
     */
    secret: z.string().max(128),
    /** When the current state was entered, epoch milliseconds. */
    since: z.number(),
    startedAt: z.number().nullable(),
    finishedAt: z.number().nullable(),
    /** Times that all members were lost, or an attempt threw, without progress since the time before. */
    attempts: z.int().min(0),
    /** Those among them that threw. */
    throws: z.int().min(0),
    /** Those whose group fell silent, by its generation: a member that was not dead after all takes its own back. */
    silent: z.array(z.int().min(1)).max(64).readonly().exactOptional(),
    /** Workers on which an attempt threw, in this order. */
    failedOn: z.array(Token).max(64).readonly(),
    /** How far the job is known to have come: the position after the newest checkpoint or epoch. */
    progress: z.int().min(0),
    /** Progress at the last loss of all members; no advance since then counts as an attempt. */
    progressAtLoss: z.int().min(-1),
    checkpoint: z
      .strictObject({ digest: Digest, bytes: z.int().min(1), position: z.int().min(0) })
      .readonly()
      .nullable(),
    result: ResultRef.nullable(),
    /** Results after fewer epochs, that a search has decided on; fewest first. */
    earlier: z.array(ResultRef).max(100).readonly(),
    /** Where nothing was computed because it had been before: the job that the result is from. */
    servedBy: z.string().max(200).nullable(),
    /** How often the experiment had been resumed when this job last failed, or was cancelled, or was made. */
    resumes: z.int().min(0),
    error: z.string().max(4000).nullable(),
  })
  .readonly();
export type JobRecord = z.infer<typeof JobRecord>;

/** A job as everybody may see it, printed and kept: without what the secret of its group is made of. */
export type PublicJob = Omit<JobRecord, 'secret'>;
export const publicJob = ({ secret: _, ...shown }: JobRecord): PublicJob => shown;

/**
 * Epochs of an experiment's work that a job's record says are done. Of a job that was to be trained no further, all that
 * it was to be trained for; of one that a search has set aside or given up, what it was trained. Cancelled work is none.
 */
export function epochsDone({ state, until, result }: Pick<JobRecord, 'state' | 'until' | 'result'>): number {
  if (state === 'cancelled') return 0;
  return state === 'completed' || state === 'failed' ? until : (result?.epochs ?? 0);
}

export const ExperimentState = z.enum(['submitted', 'running', 'completed', 'failed', 'cancelled']);
export type ExperimentState = z.infer<typeof ExperimentState>;

/** Why an experiment failed may be a list of files. */
export const maxReasonLength = 60_000;

/** Some of an experiment's jobs: all of them, those of a trial, those of a fold in all trials, or of a trial on a fold. */
export const Selection = z
  .strictObject({ trial: z.int().min(0).exactOptional(), fold: z.int().min(0).exactOptional() })
  .readonly();
export type Selection = z.infer<typeof Selection>;

/** Whether a selection takes in all that is of a trial and a fold. */
export const covers = (selection: Selection, { trial, fold }: Selection): boolean =>
  (selection.trial === undefined || selection.trial === trial) &&
  (selection.fold === undefined || selection.fold === fold);

/** What training all that is planned comes to. */
export const ExperimentWork = z
  .strictObject({
    /** Epochs over all folds of all trials. */
    foldEpochs: z.int().min(0),
    /** A search may stop earlier. */
    atMost: z.boolean(),
  })
  .readonly();
export type ExperimentWork = z.infer<typeof ExperimentWork>;

/** The truth about one experiment. */
export const ExperimentRecord = z
  .strictObject({
    schema: z.literal(1),
    id: Token,
    name: z.string().max(200),
    state: ExperimentState,
    /** Blob of the resolved experiment, as the client submitted it. */
    spec: BlobRef,
    /** Blob of the list of the data set's source files (in the data store). */
    source: BlobRef,
    manifest: BlobRef.nullable(),
    /** Where a search has the pictures in several sizes: the manifests of the others. */
    otherManifests: z.array(BlobRef).max(10_000).readonly().exactOptional(),
    folds: BlobRef.nullable(),
    /** Blob of the `SweepPlan`: its trials and folds, known once prepared. */
    plan: BlobRef.nullable(),
    results: BlobRef.nullable(),
    /** Number of `train` jobs so far, known once prepared; a search may add to it. */
    jobs: z.int().min(0),
    /** Not there before it is known. */
    work: ExperimentWork.exactOptional(),
    /** Experiments of higher priority are served first. */
    priority: z.int().min(-1000).max(1000),
    /** Most jobs that may run at a time; null: any number. */
    maxConcurrentJobs: z.int().min(1).nullable(),
    /** Computes everything itself, whatever results there are already. */
    fresh: z.boolean(),
    /** What is left in the end, see `Experiment`; and of which trial, where that is not to be the best. */
    final: FinalNet.default('fold'),
    finalTrial: z.int().min(0).exactOptional(),
    /** What was cancelled by itself. */
    cancelled: z.array(Selection).max(10_000).readonly(),
    /** What was resumed, each time that it was: jobs of it that had failed, or been cancelled, before are tried again. */
    resumed: z.array(Selection).max(10_000).readonly(),
    error: z.string().max(maxReasonLength).nullable(),
    /** Whether the error lies in the configuration rather than in the run. */
    badConfiguration: z.boolean(),
    createdAt: z.number(),
    startedAt: z.number().nullable(),
    finishedAt: z.number().nullable(),
  })
  .readonly();
export type ExperimentRecord = z.infer<typeof ExperimentRecord>;

/** Id of a job, see subjects: five tokens. Of a test that scores no fold's net the second says what it does score. */
export const jobId = (
  experiment: string,
  kind: JobKind | `test-${Exclude<FinalNet, 'fold'>}`,
  trial: number,
  repeat: number,
  fold: number,
): string => `${experiment}.${kind}.${trial}.${repeat}.${fold}`;

/** How metrics and timelines call a fold: by its number, from the second repeat on with the repeat before it. */
export const foldName = (repeat: number, fold: number): string => (repeat === 0 ? `${fold}` : `r${repeat}.${fold}`);

/** How they call what a job trains: its fold, or `refit`. */
export const placeName = ({ kind, repeat, fold }: Pick<JobRecord, 'kind' | 'repeat' | 'fold'>): string =>
  kind === 'refit' ? 'refit' : foldName(repeat, fold);

/** A place in a job's group, as the queue carries it. */
export const Seat = z.strictObject({ job: JobId }).readonly();
export type Seat = z.infer<typeof Seat>;

/** How fast a job goes, as the member of rank 0 measures it: whether more members would pay follows from it. */
export const Pace = z
  .strictObject({
    /** Slices of a batch. */
    slices: z.int().min(1),
    /** Time that a member takes for the gradient of one slice, milliseconds. */
    sliceMs: z.number().min(0),
    /** Time of what every member does for itself in each step (the update), milliseconds. */
    aloneMs: z.number().min(0),
    /** Time of an exchange with one peer, as predicted from the size of the vector, milliseconds. */
    exchangeMs: z.number().min(0),
    stepsLeft: z.int().min(0),
    /** How long a whole step takes with the members that there are, milliseconds; not there before some have been done. */
    measured: z
      .strictObject({ members: z.int().min(1), stepMs: z.number().min(0) })
      .readonly()
      .exactOptional(),
  })
  .readonly();
export type Pace = z.infer<typeof Pace>;

/** What a worker says about itself twice a second. */
export const Presence = z
  .strictObject({
    worker: Token,
    identity: Identity,
    threads: z.int().min(1),
    engine: z.string().max(400),
    /** The GPU that it computes on; not where that is the processor. */
    gpu: z.string().max(200).exactOptional(),
    /** `aside`: has failed job after job that others might not, and takes no more for a while. */
    state: z.enum(['idle', 'busy', 'draining', 'aside']),
    job: z.string().max(200).nullable(),
    /** Of its job, where it has rank 0 in it and has measured something. */
    pace: Pace.nullable(),
    /** The machine whose cores it computes on, together with others that name the same one; not where it shares none. */
    machine: z
      .strictObject({ host: z.string().max(255), cores: z.int().min(1) })
      .readonly()
      .exactOptional(),
    /** Workers that it has been waiting for, for so long that it may not reach them. */
    waitsFor: z.array(Token).max(64).readonly().exactOptional(),
  })
  .readonly();
export type Presence = z.infer<typeof Presence>;
