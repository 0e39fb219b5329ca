import fc from 'fast-check';

/** Values whose sums depend on the order: magnitudes from denormals to 1e30, both zeros, both signs. */
export const orderSensitive = fc.oneof(
  fc.float({ noNaN: true, noDefaultInfinity: true, min: Math.fround(-1e30), max: Math.fround(1e30) }),
  fc.constantFrom(0, -0, 1e-45, -1e-45, 2 ** 24, 1, -(2 ** 24), 1e30, -1e30, 1e-20),
);
