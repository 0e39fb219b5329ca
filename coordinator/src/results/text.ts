import type { Comparison, Results, Summary, TrialResult } from '@crossfold/shared/results';

/** `97.31 %`; the share of a whole that both people and spreadsheets read. */
export const percent = (ratio: number): string => `${(100 * ratio).toFixed(2)} %`;

/** `97.31 ± 0.21 %`: mean and sample standard deviation, where there is one. */
export const meanPercent = ({ mean, std, ci95 }: Summary): string =>
  ci95.length === 0 ? percent(mean) : `${(100 * mean).toFixed(2)} ± ${(100 * std).toFixed(2)} %`;

/** `0.80 points`: a difference between percentages. */
export const points = (difference: number): string => `${(100 * difference).toFixed(2)} points`;

/** `95.31 to 98.29 %`, as far as a share can be; nothing for a single fold. */
export function interval({ ci95 }: Summary): string {
  const [low, high] = ci95;
  if (low === undefined || high === undefined) return '';
  return `${(100 * Math.max(0, low)).toFixed(2)} to ${percent(Math.min(1, high))}`;
}

/** `0.031`, `< 0.001`. */
export const pText = (p: number): string => (p < 0.001 ? '< 0.001' : p.toFixed(3));

/** A trial's status; of one that a search stopped before any of its folds was whole, with the epoch that its scores are of. */
export function statusText({ status, folds }: TrialResult): string {
  const epoch = stoppedAt({ status, folds });
  return epoch === undefined ? status : `${status} at epoch ${epoch}`;
}

/** The epoch that a trial's scores are of where a search stopped it before any of its folds was whole. */
export function stoppedAt({ status, folds }: Pick<TrialResult, 'status' | 'folds'>): number | undefined {
  if (status !== 'pruned' || folds.some((fold) => fold.status === 'completed')) return undefined;
  const epoch = folds.reduce((most, { epochs = 0 }) => Math.max(most, epochs), 0);
  return epoch === 0 ? undefined : epoch;
}

/** How far a trial is below the best: `1.20 points`, of one that was stopped early `1.20 points at epoch 2`. */
export const belowText = ({ difference, at }: Comparison): string =>
  `${points(difference)}${at === undefined ? '' : ` at epoch ${at.epoch}`}`;

export const decimal = (value: number, digits = 4): string => value.toFixed(digits);

/** `0.0912 ± 0.0051`. */
export const meanDecimal = ({ mean, std, ci95 }: Summary): string =>
  ci95.length === 0 ? decimal(mean) : `${decimal(mean)} ± ${decimal(std)}`;

/** `12,800`. */
export const whole = (value: number): string => Math.round(value).toLocaleString('en-US');

/** `3 folds`, `1 fold`. */
export const count = (n: number, one: string, many = `${one}s`): string => `${whole(n)} ${n === 1 ? one : many}`;

/** `12.3 s`, `4 min 05 s`, `2 h 10 min`. */
export function seconds(value: number): string {
  if (value < 59.95) return `${value.toFixed(1)} s`;
  const total = Math.round(value);
  const minutes = Math.floor(total / 60);
  const pad = (n: number): string => String(n).padStart(2, '0');
  return minutes < 60
    ? `${minutes} min ${pad(total % 60)} s`
    : `${Math.floor(minutes / 60)} h ${pad(minutes % 60)} min`;
}

/** `5-fold cross-validation`, `hold-out validation`. */
export function splitText({ method, folds, repeats }: Pick<Results['split'], 'method' | 'folds' | 'repeats'>): string {
  const crossValidation = `${folds}-fold cross-validation`;
  switch (method) {
    case 'kfold':
      return crossValidation;
    case 'repeated-kfold':
      return `${repeats} times repeated ${crossValidation}`;
    case 'group-kfold':
      return `${crossValidation} with whole groups`;
    case 'leave-one-out':
      return 'leave-one-out cross-validation';
    case 'holdout':
      return 'hold-out validation';
    case 'nested':
      return `nested ${crossValidation}`;
    case 'predefined':
      return folds === 1 ? "validation on the data set's own split" : `${crossValidation} on the data set's own folds`;
    default:
      return method;
  }
}

/** A trial's parameters on one line: `training.optimizer.learningRate=0.001`. */
export const parametersText = (parameters: TrialResult['parameters']): string =>
  Object.entries(parameters)
    .map(([path, value]) => `${path}=${parameterText(value)}`)
    .join(', ');

export const parameterText = (value: unknown): string => (typeof value === 'string' ? value : JSON.stringify(value));

/** The same for people: `null` takes a field away. */
export const valueText = (value: unknown): string => (value === null ? 'none' : parameterText(value));

/** What was scored on the test set: `the model of fold 4`. */
export const testedText = ({ of, fold, repeat }: NonNullable<Results['test']>): string => {
  if (of === 'refit') return 'the net that was trained anew on all training samples';
  if (of === 'ensemble') return 'the nets of all folds together';
  return `the model of ${repeat === undefined || repeat === 0 ? '' : `repeat ${repeat}, `}fold ${fold ?? 0}`;
};

/** How often the test set was looked at: the more often, the less it is one. */
export const looksText = ({ looks = 1 }: NonNullable<Results['test']>): string =>
  looks === 1
    ? 'scored once'
    : `the ${looks}${looks === 2 ? 'nd' : looks === 3 ? 'rd' : 'th'} net of this experiment that was scored on them`;

/** `96 x 96 x 3` and the manifest's digest, of each size that a search has the pictures in; none where there is one. */
export function sizesOf({ sizes = [] }: Results['dataset']): readonly (readonly [string, string])[] {
  const kinds = new Set(sizes.map(({ image: { fit, kernel } }) => `${fit} ${kernel}`)).size;
  return sizes.map(({ image: { height, width, channels, fit, kernel }, digest }) => [
    `${height} x ${width} x ${channels}${kinds > 1 ? `, ${fit}, ${kernel}` : ''}`,
    digest,
  ]);
}

/** Pictures that are missing among a data set's samples, for behind their number; nothing where there are none. */
export const leftOutText = ({ skipped }: Results['dataset']): string =>
  skipped === undefined ? '' : ` (${count(skipped, 'picture')} left out)`;
