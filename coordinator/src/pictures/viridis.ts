import type { Colour } from './canvas.ts';

/** Coefficients of a polynomial in the share, for red, green and blue. */
const coefficients: readonly Colour[] = [
  [0.2777273272234177, 0.005407344544966578, 0.3340998053353061],
  [0.1050930431085774, 1.404613529898575, 1.384590162594685],
  [-0.3308618287255563, 0.214847559468213, 0.09509516302823659],
  [-4.634230498983486, -5.799100973351585, -19.33244095627987],
  [6.228269936347081, 14.17993336680509, 56.69055260068105],
  [4.776384997670288, -13.74514537774601, -65.35303263337234],
  [-5.435455855934631, 4.645852612178535, 26.3124352495832],
];

/**
 * Colours from dark violet over green to yellow, evenly bright to the eye: matplotlib's viridis (S. van der Walt and
 * N. Smith, 2015), in M. Zucker's polynomial fit, which is off by a few hundredths at most.
 *
 * @param share from 0 to 1
 */
export const viridis = (share: number): Colour => {
  const at = (channel: 0 | 1 | 2): number => {
    const value = coefficients.reduceRight((sum, c) => sum * share + c[channel], 0);
    return Math.round(255 * Math.min(1, Math.max(0, value)));
  };
  return [at(0), at(1), at(2)];
};

/** The 256 colours. */
export const viridisTable: readonly Colour[] = Array.from({ length: 256 }, (_, i) => viridis(i / 255));
