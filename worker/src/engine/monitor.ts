/** A value of the validation that early stopping or a schedule watches. */
export type Monitor = 'valLoss' | 'valAccuracy';

/** The watched value of every epoch that is over, turned so that less is better. */
export function watched(
  monitor: Monitor,
  history: { readonly valLoss: readonly number[]; readonly valAccuracy: readonly number[] },
): readonly number[] {
  return monitor === 'valAccuracy' ? history.valAccuracy.map((value) => -value) : history.valLoss;
}

/**
 * Whether a watched value is better than the best one before by more than `minDelta`. Compared in float32, as Keras'
 * callbacks do: 0.8 after 0.7 is no progress by more than 0.1, which in float64 it would be by a rounding.
 */
export const improves = (value: number, best: number, minDelta: number): boolean =>
  Math.fround(value + minDelta) < Math.fround(best);
