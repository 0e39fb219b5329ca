import { z } from 'zod';
import { AugmentSpec } from './augment.ts';
import { DatasetSpec } from './dataset.ts';
import { EvaluationSpec } from './evaluation.ts';
import { exchangeModes } from './exchange.ts';
import { FinalNet } from './final.ts';
import { ModelSpec } from './model.ts';
import { SearchSpec } from './search.ts';
import { TrainingSpec } from './training.ts';

/** Names of experiments become parts of ids, broker tokens and folder names. */
export const ExperimentName = z
  .string()
  .regex(
    /^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$/,
    'letters, digits, "-" and "_", 64 at most, beginning with a letter or digit',
  );

export const plateauNeedsValidation =
  'must be fold or ensemble where training.schedule is plateau, which goes by validation samples: a refit, on all training samples, has none';

/** A whole experiment file. Parsing fills in every default; parsing the result again changes nothing. */
export const Experiment = z
  .strictObject({
    /** Begins the id of its runs; the file's name where not given. */
    name: ExperimentName,
    /** All randomness follows from it. */
    seed: z.int().min(0).max(0xffffffff).default(42),
    dataset: DatasetSpec,
    evaluation: EvaluationSpec,
    model: ModelSpec,
    training: TrainingSpec,
    /** How training pictures are varied; left out, they are taken as they are. */
    augment: AugmentSpec.exactOptional(),
    /** Configurations to try; left out, there is this one. */
    search: SearchSpec.exactOptional(),
    /**
     * The net that is left in the end and scored on the test set: `fold`, that of the best fold of the best trial; `refit`,
     * the best trial's configuration trained anew on all training samples; `ensemble`, the nets of all of its folds together.
     */
    final: FinalNet.default('fold'),
    /** Members of a job's group; `auto` widens jobs only while workers outnumber them. */
    workersPerJob: z.union([z.literal('auto'), z.int().min(1).max(1024)]).default('auto'),
    /** Experiments of higher priority are served first; of equal ones each gets its share of the workers. */
    priority: z.int().min(-1000).max(1000).default(0),
    /** Most jobs that may run at a time; left out, any number. */
    maxConcurrentJobs: z.int().min(1).exactOptional(),
    /** Part of the engine's identity: TensorFlow's results depend on it. */
    threadsPerWorker: z.int().min(1).max(256).default(1),
    /** How gradients travel between members. */
    exchange: z.enum(exchangeModes).default('auto'),
  })
  .readonly()
  .superRefine((experiment, context) => {
    const { workersPerJob, training } = experiment;
    if (workersPerJob !== 'auto' && workersPerJob > training.microBatches)
      context.addIssue({
        code: 'custom',
        path: ['workersPerJob'],
        message: `at most training.microBatches, which is ${training.microBatches}: a batch is cut into that many slices, and a worker needs one of its own`,
      });
    const { dataset, evaluation } = experiment;
    if ('folds' in evaluation && dataset.limit !== undefined && evaluation.folds > dataset.limit)
      context.addIssue({
        code: 'custom',
        path: ['evaluation', 'folds'],
        message: `at most the number of samples, which dataset.limit makes ${dataset.limit}`,
      });
    const { search } = experiment;
    if (search?.method === 'racing' && evaluation.method === 'holdout')
      context.addIssue({
        code: 'custom',
        path: ['search', 'method'],
        message: 'needs several folds to race over, and a hold-out is a single one; halving goes by epochs instead',
      });
    if (search?.method === 'halving' && (search.minEpochs ?? 1) > training.epochs)
      context.addIssue({
        code: 'custom',
        path: ['search', 'minEpochs'],
        message: `at most training.epochs, which is ${training.epochs}`,
      });
    if (experiment.final === 'refit' && training.schedule?.name === 'plateau')
      context.addIssue({
        code: 'custom',
        path: ['final'],
        message: plateauNeedsValidation,
      });
    if (training.microBatches > training.batchSize)
      context.addIssue({
        code: 'custom',
        path: ['training', 'microBatches'],
        message: `at most training.batchSize, which is ${training.batchSize}`,
      });
  });
export type Experiment = z.infer<typeof Experiment>;

const pad = (n: number): string => String(n).padStart(2, '0');

/**
 * Id of a new experiment, and name of its run folder: `<name>-<yyyymmdd-hhmmss>-<4 hex digits>`, in UTC, so that ids
 * sort by time wherever they were made.
 * @param suffix a random number, of which the lower 16 bits are used
 */
export function newExperimentId(name: string, at: Date, suffix: number): string {
  const day = `${at.getUTCFullYear()}${pad(at.getUTCMonth() + 1)}${pad(at.getUTCDate())}`;
  const time = `${pad(at.getUTCHours())}${pad(at.getUTCMinutes())}${pad(at.getUTCSeconds())}`;
  return `${name}-${day}-${time}-${(suffix & 0xffff).toString(16).padStart(4, '0')}`;
}
