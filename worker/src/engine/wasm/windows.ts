/**
 * What slides windows over images and is missing from the WebAssembly backend, or means something else there, in plain
 * loops over numbers. Images are [samples, height, width, channels]; sums are made in float64, in the order of the image.
 */

export interface WindowShape {
  readonly samples: number;
  readonly height: number;
  readonly width: number;
  readonly channels: number;
  /** Of what comes out. */
  readonly outHeight: number;
  readonly outWidth: number;
  readonly window: readonly [height: number, width: number];
  readonly strides: readonly [height: number, width: number];
  /** Rows above and columns left of the image. */
  readonly before: readonly [top: number, left: number];
  /** Rows below and columns right of it. */
  readonly after: readonly [bottom: number, right: number];
}

/** Geometry of a window over an image, with TensorFlow's meaning of `same`: an odd row or column of padding comes last. */
export function windowShape(
  shape: readonly number[],
  window: readonly [number, number],
  strides: readonly [number, number],
  padding: string,
): WindowShape {
  const [samples = 0, height = 0, width = 0, channels = 0] = shape;
  const along = (size: number, axis: 0 | 1): { out: number; before: number; after: number } => {
    if (padding !== 'SAME') return { out: Math.floor((size - window[axis]) / strides[axis]) + 1, before: 0, after: 0 };
    const out = Math.ceil(size / strides[axis]);
    const total = Math.max(0, (out - 1) * strides[axis] + window[axis] - size);
    return { out, before: Math.floor(total / 2), after: Math.ceil(total / 2) };
  };
  const [rows, columns] = [along(height, 0), along(width, 1)];
  return {
    ...{ samples, height, width, channels, window, strides },
    ...{ outHeight: rows.out, outWidth: columns.out },
    before: [rows.before, columns.before],
    after: [rows.after, columns.after],
  };
}

/** Calls back with every place of every window that lies inside the image. */
function visit(
  shape: WindowShape,
  /** @param out window, @param at pixel, both without channels; @param tap element of the window */
  each: (out: number, at: number, tap: number) => void,
): void {
  const { samples, height, width, outHeight, outWidth, window, strides, before } = shape;
  for (let sample = 0, out = 0; sample < samples; sample++) {
    for (let oy = 0; oy < outHeight; oy++) {
      for (let ox = 0; ox < outWidth; ox++, out++) {
        for (let ky = 0; ky < window[0]; ky++) {
          const y = oy * strides[0] - before[0] + ky;
          if (y < 0 || y >= height) continue;
          for (let kx = 0; kx < window[1]; kx++) {
            const x = ox * strides[1] - before[1] + kx;
            if (x < 0 || x >= width) continue;
            each(out, (sample * height + y) * width + x, ky * window[1] + kx);
          }
        }
      }
    }
  }
}

/** The largest number of each window, and its place in its sample (the first of equals). */
export function maxPool(x: Float32Array, shape: WindowShape): { maxima: Float32Array; places: Int32Array } {
  const { samples, height, width, channels, outHeight, outWidth } = shape;
  const maxima = new Float32Array(samples * outHeight * outWidth * channels).fill(Number.NEGATIVE_INFINITY);
  const places = new Int32Array(maxima.length);
  const perSample = height * width * channels;
  visit(shape, (out, at) => {
    for (let c = 0; c < channels; c++) {
      const value = x[at * channels + c] ?? 0;
      if (value > (maxima[out * channels + c] ?? 0)) {
        maxima[out * channels + c] = value;
        places[out * channels + c] = (at * channels + c) % perSample;
      }
    }
  });
  return { maxima, places };
}

/** Sends each window's derivative to the place that its maximum is from. */
export function maxPoolGrad(dy: Float32Array, places: Int32Array, shape: WindowShape): Float32Array {
  const perSample = shape.height * shape.width * shape.channels;
  const perOutput = shape.outHeight * shape.outWidth * shape.channels;
  const sums = new Float64Array(shape.samples * perSample);
  for (let i = 0; i < dy.length; i++) {
    const to = Math.floor(i / perOutput) * perSample + (places[i] ?? 0);
    sums[to] = (sums[to] ?? 0) + (dy[i] ?? 0);
  }
  return Float32Array.from(sums);
}

/** The mean of each window's places inside the image. */
export function averagePool(x: Float32Array, shape: WindowShape): Float32Array {
  const { samples, channels, outHeight, outWidth } = shape;
  const counts = placesInside(shape);
  const sums = new Float64Array(samples * outHeight * outWidth * channels);
  visit(shape, (out, at) => {
    for (let c = 0; c < channels; c++)
      sums[out * channels + c] = (sums[out * channels + c] ?? 0) + (x[at * channels + c] ?? 0);
  });
  return Float32Array.from(sums, (sum, i) => sum / (counts[Math.floor(i / channels)] ?? 1));
}

export function averagePoolGrad(dy: Float32Array, shape: WindowShape): Float32Array {
  const { samples, height, width, channels } = shape;
  const counts = placesInside(shape);
  const sums = new Float64Array(samples * height * width * channels);
  visit(shape, (out, at) => {
    const count = counts[out] ?? 1;
    for (let c = 0; c < channels; c++)
      sums[at * channels + c] = (sums[at * channels + c] ?? 0) + (dy[out * channels + c] ?? 0) / count;
  });
  return Float32Array.from(sums);
}

function placesInside(shape: WindowShape): Int32Array {
  const counts = new Int32Array(shape.samples * shape.outHeight * shape.outWidth);
  visit(shape, (out) => {
    counts[out] = (counts[out] ?? 0) + 1;
  });
  return counts;
}

/** Of a depthwise convolution: the derivative by its filter [height, width, channels, multiplier]. */
export function depthwiseFilterGrad(
  x: Float32Array,
  dy: Float32Array,
  multiplier: number,
  shape: WindowShape,
): Float32Array {
  const { channels, window } = shape;
  const sums = new Float64Array(window[0] * window[1] * channels * multiplier);
  visit(shape, (out, at, tap) => {
    for (let c = 0; c < channels; c++) {
      const value = x[at * channels + c] ?? 0;
      for (let m = 0, i = c * multiplier; m < multiplier; m++, i++) {
        const to = tap * channels * multiplier + i;
        sums[to] = (sums[to] ?? 0) + value * (dy[out * channels * multiplier + i] ?? 0);
      }
    }
  });
  return Float32Array.from(sums);
}

/** Of a depthwise convolution: the derivative by its input. */
export function depthwiseInputGrad(
  filter: Float32Array,
  dy: Float32Array,
  multiplier: number,
  shape: WindowShape,
): Float32Array {
  const { samples, height, width, channels } = shape;
  const sums = new Float64Array(samples * height * width * channels);
  visit(shape, (out, at, tap) => {
    for (let c = 0; c < channels; c++) {
      let sum = 0;
      for (let m = 0, i = c * multiplier; m < multiplier; m++, i++)
        sum += (filter[tap * channels * multiplier + i] ?? 0) * (dy[out * channels * multiplier + i] ?? 0);
      sums[at * channels + c] = (sums[at * channels + c] ?? 0) + sum;
    }
  });
  return Float32Array.from(sums);
}

/** Sum over all but the last dimension. */
export function sumOfRows(values: Float32Array, columns: number): Float32Array {
  const sums = new Float64Array(columns);
  for (let i = 0; i < values.length; i++) sums[i % columns] = (sums[i % columns] ?? 0) + (values[i] ?? 0);
  return Float32Array.from(sums);
}
