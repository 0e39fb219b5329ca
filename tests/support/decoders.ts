import { readIdxHeader } from '@crossfold/coordinator/data/idx';
import { ImageFile, SourceBundle } from '@crossfold/coordinator/data/source';
import { decodeEntry } from '@crossfold/shared/broker/blob-entries';
import { Lease } from '@crossfold/shared/broker/lease';
import { decodePresence } from '@crossfold/shared/broker/presence';
import { decodeRecord } from '@crossfold/shared/broker/record-store';
import { presenceSubject, progressSubject } from '@crossfold/shared/broker/subjects';
import { UploadNote } from '@crossfold/shared/broker/uploads';
import { decodeTensors, encodeTensors } from '@crossfold/shared/codec/safetensors';
import { Experiment } from '@crossfold/shared/config/experiment';
import { LayerSpec } from '@crossfold/shared/config/layers';
import { TrainingSpec } from '@crossfold/shared/config/training';
import { DatasetRecord, RemovalNote } from '@crossfold/shared/data/dataset-record';
import { sampleDigestBytes } from '@crossfold/shared/data/digest';
import { encodeLabels, Manifest } from '@crossfold/shared/data/manifest';
import type { Decoded } from '@crossfold/shared/decode';
import { decodeJson, listOf } from '@crossfold/shared/decode';
import { CrossfoldError } from '@crossfold/shared/errors';
import { FoldsDocument } from '@crossfold/shared/folds/folds';
import { RefitJobResult, TestJobResult, TrainJobResult } from '@crossfold/shared/jobs/job-result';
import { SweepPlan, TrialPlan } from '@crossfold/shared/jobs/plan';
import { ExperimentRecord, JobRecord, Seat } from '@crossfold/shared/jobs/records';
import { prettyLine } from '@crossfold/shared/log-format';
import { parseLogLine } from '@crossfold/shared/log-line';
import { decodeModel, encodeModel } from '@crossfold/shared/model/model-file';
import { planModel } from '@crossfold/shared/model/plan';
import { decodeProgress } from '@crossfold/shared/progress';
import { Quotas, quotasOf } from '@crossfold/shared/quotas';
import { Refit, Results } from '@crossfold/shared/results';
import { TimelineBatch, TimelineClock, TimelineWanted } from '@crossfold/shared/timeline';
import { decodeHeader, decodeWants, encodeHeader, encodeWants, FrameKind } from '@crossfold/worker/exchange/frame';
import { decodeHello } from '@crossfold/worker/job/agree';
import { decodeState, encodeState, initialState } from '@crossfold/worker/job/state';
import { z } from 'zod';
import { experimentRecord } from './fake-client.ts';
import { finishedExperiment, storyResults } from './finished.ts';
import { aJob, aResult } from './records.ts';

/** Something that reads what somebody else has sent, as the code that gets it calls it. */
export interface Decoder {
  readonly name: string;
  readonly json: boolean;
  /** Messages as they are really sent. */
  readonly real: readonly Uint8Array[];
  /** Whether the bytes were taken for what they should be; throws what a defect throws. */
  readonly takes: (bytes: Uint8Array) => boolean;
}

const bytesOf = (value: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(value));
const digest = 'a'.repeat(64);
const blob = { digest, bytes: 10 };

/** Reasons are told to people and logged: they are short, whatever was sent. */
function taken(decoded: Decoded<unknown>): boolean {
  if ('value' in decoded) return true;
  if (decoded.why.length > 300) throw new Error(`a reason of ${decoded.why.length} characters`);
  return false;
}

function json<T>(name: string, real: readonly unknown[], decode: (bytes: Uint8Array) => Decoded<T>): Decoder {
  return { name, json: true, real: real.map(bytesOf), takes: (bytes) => taken(decode(bytes)) };
}

/** A document of the object store, whose digest is right whatever is in it: whoever stores it says what it is. */
const document = <T>(name: string, schema: z.ZodType<T>, ...real: readonly unknown[]): Decoder =>
  json(name, real, (bytes) => decodeJson(schema, bytes, 2 ** 26));

/** What throws errors that are meant, and nothing else, where bytes are not what they should be. */
function throwing(name: string, real: readonly Uint8Array[], decode: (bytes: Uint8Array) => unknown): Decoder {
  return {
    name,
    json: false,
    real,
    takes(bytes) {
      try {
        decode(bytes);
        return true;
      } catch (error) {
        if (!(error instanceof CrossfoldError)) throw error;
        return false;
      }
    },
  };
}

const presence = {
  worker: 'w1',
  identity: 'engine',
  threads: 1,
  engine: '{"backend":"tensorflow"}',
  state: 'busy',
  job: 'exp.train.0.0.0',
  pace: { slices: 4, sliceMs: 3.5, aloneMs: 1, exchangeMs: 2, stepsLeft: 100 },
  waitsFor: ['w2'],
};
const jobProgress = {
  type: 'job',
  job: 'exp.train.0.0.0',
  kind: 'train',
  trial: 0,
  fold: 0,
  repeat: 0,
  state: 'running',
  workers: ['w1', 'w2'],
  epoch: 1,
  epochs: 3,
  step: 7,
  steps: 100,
  loss: 0.5,
  accuracy: 0.75,
  imagesPerSecond: 1000,
};
const running = aJob({
  state: 'running',
  generation: 2,
  members: [
    { worker: 'w1', address: { host: '127.0.0.1', port: 4000, local: '/tmp/x/socket' } },
    { worker: 'w2', address: null },
  ],
  workers: ['w1', 'w2'],
  secret: 'a secret',
  checkpoint: { digest, bytes: 10, position: 3 },
  result: aResult(),
  earlier: [aResult({ epochs: 1 })],
});
const event = { name: 'step 1', kind: 'step', track: 'steps', from: 1, to: 2, args: { epoch: 1, transport: 'nats' } };
const story = finishedExperiment({ folds: 2, samples: 60, testSamples: 20, epochs: 2 });
const samples = {
  count: 4,
  labels: encodeLabels([0, 1, 0, 1], 2),
  sampleDigests: Buffer.alloc(4 * sampleDigestBytes).toString('base64'),
  shards: [{ digest, bytes: 4 * 6, first: 0, count: 4 }],
};
const manifest = {
  ...story.manifest,
  imageShape: { height: 2, width: 3, channels: 1 },
  classes: ['a', 'b'],
  train: samples,
  test: samples,
};
const file = { path: 'train-images', bytes: 100, parts: [blob] };
const pair = { images: file, labels: file };
const part = { files: blob, count: 2, packs: [blob] };
const trial = {
  trial: 0,
  parameters: { 'training.epochs': 1 },
  plan: blob,
  recipe: digest,
  epochs: 3,
  minSeats: 1,
  maxSeats: 4,
};
const sweep = {
  schema: 1,
  identity: 'engine',
  manifest: blob,
  search: null,
  folds: [{ fold: 0, repeat: 0, trainSamples: 10, validationSamples: 5, digest }],
  trials: [trial],
};

const training = TrainingSpec.parse({ epochs: 1, optimizer: { name: 'adam' } });
const layers = z.array(LayerSpec).parse([
  { type: 'conv2d', name: 'c', filters: 2, kernelSize: 2 },
  { type: 'flatten', name: 'f' },
  { type: 'dense', name: 'd', units: 2, activation: 'softmax' },
]);
const plan = planModel({ layers }, { height: 4, width: 4, channels: 1 }, 2, training.loss);
const weights = Float32Array.from({ length: plan.weightCount }, (_, i) => i / 8);
const model = encodeModel({ plan, training, classes: ['a', 'b'], decoding: undefined, weights });
const state = encodeState(
  { ...initialState, kept: { epoch: 0, weights, outputs: new Float32Array(6) } },
  { weights, optimizer: weights, step: 3 },
);

const frame = {
  kind: FrameKind.partial,
  sender: 1,
  generation: 2,
  sequence: 3,
  step: 4,
  owner: 0,
  chunk: 0,
  chunks: 1,
  from: 0,
  to: 2,
  total: 100,
  payload: 400,
} as const;

const pretty = prettyLine(false);
const logLine = { level: 'info', time: '2026-01-02T03:04:05Z', service: 'worker', msg: 'x', experiment: 'exp' };

const dataset = {
  ...{ schema: 1, name: 'digits', manifest: blob, samples: 10, testSamples: 2, classes: 2, shards: 1, bytes: 100 },
  image: { height: 2, width: 3, channels: 1 },
  skipped: [{ path: 'a/b.jpg', reason: 'is no picture' }],
  ...{ source: './digits', importedAt: 1.5 },
};
const { loss, accuracy } = { loss: [1, 0.5], accuracy: [0.5, 0.75] };
const trained: Record<string, unknown> = { ...story.finished.flatMap(({ result }) => result ?? [])[0]?.fold };
const refit = {
  ...Object.fromEntries(Object.keys(Refit.unwrap().shape).map((field) => [field, trained[field]])),
  history: { loss, accuracy },
};

/** Every decoder of what comes over the broker, and of what lies there, that keeps nothing between messages. */
export const decoders: readonly Decoder[] = [
  json('presence', [presence], (bytes) => decodePresence(bytes, presenceSubject('w1'))),
  json(
    'progress',
    [jobProgress, { type: 'experiment', state: 'running', jobs: 3 }, { type: 'log', level: 'warn', message: 'x' }],
    (bytes) => decodeProgress(bytes, progressSubject('exp.train.0.0.0')),
  ),
  json('hello', [{ rank: 1, position: 12, heard: 2 }], (bytes) => decodeHello(bytes, 2)),
  json('seat', [{ job: 'exp.train.0.0.0' }], (bytes) => decodeJson(Seat, bytes, 1024)),
  json('timeline wanted', [{ asked: 3 }], (bytes) => decodeJson(TimelineWanted, bytes, 256)),
  json('timeline clock', [{ worker: 'w1', asked: 3, at: 1.5 }], (bytes) => decodeJson(TimelineClock, bytes, 2 ** 20)),
  json('timeline events', [{ worker: 'w1', events: [event], dropped: 0 }], (bytes) =>
    decodeJson(TimelineBatch, bytes, 2 ** 20),
  ),
  json('record of a job', [aJob(), running], (bytes) => decodeRecord(JobRecord, ({ id }) => id, running.id, bytes)),
  json('record of an experiment', [experimentRecord('exp')], (bytes) =>
    decodeRecord(ExperimentRecord, ({ id }) => id, 'exp', bytes),
  ),
  json('lease', [{ holder: 'coordinator', renewals: 3 }], (bytes) =>
    decodeRecord(Lease, () => undefined, 'leader', bytes),
  ),
  json('quotas', [quotasOf({}, undefined)], (bytes) => decodeRecord(Quotas, () => undefined, 'quotas', bytes)),
  json(
    'entry of an object store',
    [
      { name: digest, nuid: 'N1', size: 10, chunks: 1, digest: `SHA-256=${'A'.repeat(43)}=`, deleted: false },
      { name: digest, nuid: 'N1', size: 0, chunks: 0, digest: '', deleted: true },
    ],
    decodeEntry,
  ),
  document('record of a data set', DatasetRecord, dataset),
  document('note of a removal', RemovalNote, { schema: 1, name: 'now', id: 'x', of: 'digits', seenAt: 1.5 }),
  document('note of an upload', UploadNote, { name: 'x' }),
  document('experiment', Experiment, story.experiment),
  document('sweep plan', SweepPlan, sweep),
  document('trial plan', TrialPlan, ...story.plans.values()),
  document('manifest', Manifest, manifest),
  document('folds', FoldsDocument, story.folds),
  document(
    'source bundle',
    SourceBundle,
    { kind: 'idx', name: 'x', train: pair, test: null },
    { kind: 'imported', name: 'x', manifest: blob, bytes: 1 },
    { kind: 'images', name: 'x', classes: ['a', 'b'], train: part, test: part, validationFrom: 1 },
  ),
  document('list of pictures', listOf(ImageFile), [{ path: 'a/b.jpg', label: 0, bytes: 10 }]),
  document('result of a job', TrainJobResult, ...story.finished.flatMap(({ result }) => result ?? [])),
  document('result of a refit', RefitJobResult, { schema: 1, refit, model: blob }),
  document('result of a test', TestJobResult, story.test?.result),
  document('results', Results, storyResults({ folds: 2, samples: 60, testSamples: 20, epochs: 2 })),
  {
    name: 'log line',
    json: true,
    real: [bytesOf(logLine)],
    takes(bytes) {
      const line = new TextDecoder().decode(bytes);
      if (parseLogLine(line) === undefined) return false;
      // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what must not come through
      if (/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/.test(pretty(line))) throw new Error('a control character');
      return true;
    },
  },
  {
    name: 'header of a frame',
    json: false,
    real: [encodeHeader(frame)],
    takes: (bytes) => decodeHeader(bytes) !== undefined,
  },
  {
    name: 'wants',
    json: false,
    real: [
      encodeWants([
        { node: undefined, block: 3 },
        { node: 1, block: 0 },
      ]),
    ],
    takes: (bytes) => decodeWants(bytes) !== undefined,
  },
  throwing(
    'tensor file',
    [
      encodeTensors({ metadata: { a: 'b' }, tensors: new Map([['t', { shape: [2, 3], data: new Float32Array(6) }]]) }),
      model,
    ],
    (bytes) => decodeTensors(bytes, 'it'),
  ),
  throwing('model', [model], (bytes) => decodeModel(bytes, 'it')),
  throwing('checkpoint', [state], (bytes) => decodeState(bytes, 'it')),
  throwing('header of an IDX file', [Uint8Array.of(0, 0, 8, 3, 0, 0, 0, 5, 0, 0, 0, 2, 0, 0, 0, 2)], (bytes) =>
    readIdxHeader(bytes.subarray(0, 20), 'it', [1, 3, 4]),
  ),
];
