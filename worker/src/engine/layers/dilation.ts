import type { Ops, Pair, Window } from '../ops/ops.ts';

/**
 * A dilated convolution as a plain one: pixels are dealt out over smaller images, each with every d-th pixel, where the
 * window's elements are neighbours; the results are put together again. TensorFlow's own dilated kernels lack gradients
 * on CPUs without oneDNN, and lack depthwise ones altogether.
 */
export interface Dilation {
  /** Of the plain convolution. */
  readonly window: Window;
  /** Shape of what the plain convolution takes. */
  dealtShape(samples: number): readonly number[];
  deal<T>(ops: Ops<T>, x: T): T;
  collect<T>(ops: Ops<T>, y: T): T;
  /** From the derivative by what `collect` gave to that by what it took. */
  collectGrad<T>(ops: Ops<T>, dy: T): T;
  dealGrad<T>(ops: Ops<T>, dx: T): T;
}

export function dilation(
  [height = 1, width = 1, channels = 1]: readonly number[],
  kernel: Pair,
  rates: Pair,
  window: Window,
): Dilation {
  if (rates[0] === 1 && rates[1] === 1) {
    return {
      window,
      dealtShape: (samples) => [samples, height, width, channels],
      deal: (_, x) => x,
      collect: (_, y) => y,
      collectGrad: (_, dy) => dy,
      dealGrad: (_, dx) => dx,
    };
  }
  const rows = alongAxis(height, kernel[0], rates[0], window.padding);
  const columns = alongAxis(width, kernel[1], rates[1], window.padding);
  const paddings = [rows.padding, columns.padding] as const;
  const crops = [rows.crop, columns.crop] as const;
  return {
    window: { ...window, padding: 'valid' },
    dealtShape: (samples) => [samples * rates[0] * rates[1], rows.dealt, columns.dealt, channels],
    deal: (ops, x) => ops.spaceToBatch(x, rates, paddings),
    collect: (ops, y) => ops.batchToSpace(y, rates, crops),
    collectGrad: (ops, dy) => ops.spaceToBatch(dy, rates, crops),
    dealGrad: (ops, dx) => ops.batchToSpace(dx, rates, paddings),
  };
}

/** Padding (the convolution's own, and up to a multiple of the rate) and what is to be cropped for it. */
function alongAxis(
  length: number,
  kernel: number,
  rate: number,
  padding: Window['padding'],
): { readonly padding: Pair; readonly crop: Pair; readonly dealt: number } {
  const total = padding === 'same' ? (kernel - 1) * rate : 0;
  const before = Math.floor(total / 2);
  const padded = length + total;
  const extra = (rate - (padded % rate)) % rate;
  return { padding: [before, total - before + extra], crop: [0, extra], dealt: (padded + extra) / rate };
}
