import { readFileSync } from 'node:fs';
import { AugmentSpec } from '@crossfold/shared/config/augment';
import { keyedRandom } from '@crossfold/shared/rng';
import type { Transform } from '@crossfold/worker/data/augment';
import { applyTransform, drawTransform } from '@crossfold/worker/data/augment';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';

const fixture = z
  .object({
    side: z.int(),
    cases: z.array(
      z.object({
        fill: z.enum(['nearest', 'constant', 'reflect', 'wrap']),
        cval: z.number(),
        parameters: z.record(z.string(), z.union([z.number(), z.boolean()])),
        out: z.array(z.number()),
      }),
    ),
  })
  .parse(JSON.parse(readFileSync(new URL('../fixtures/augment/keras.json', import.meta.url), 'utf8')));

/** The fixture's picture. */
const picture = (height: number, width: number, channels: number): Uint8Array =>
  Uint8Array.from({ length: height * width * channels }, (_, i) => {
    const [y, x, c] = [Math.floor(i / channels / width), Math.floor(i / channels) % width, i % channels];
    return (y * 31 + x * 17 + c * 101 + ((y * x) % 13) * 9) % 256;
  });

const nothing: Transform = {
  rotation: 0,
  shiftX: 0,
  shiftY: 0,
  shear: 0,
  zoomX: 1,
  zoomY: 1,
  flipX: false,
  flipY: false,
  channelShift: 0,
  brightness: 1,
};
const shape = (height: number, width = height, channels = 3) => ({ height, width, channels });

describe('a varied picture', () => {
  it.each(fixture.cases.map((c) => [`${c.fill} ${JSON.stringify(c.parameters)}`, c] as const))(
    "is Keras' own: %s",
    (_, { fill, cval, parameters, out }) => {
      const number = (name: string, otherwise: number): number => Number(parameters[name] ?? otherwise);
      const transform: Transform = {
        rotation: number('theta', 0),
        shiftX: number('tx', 0),
        shiftY: number('ty', 0),
        shear: number('shear', 0),
        zoomX: number('zx', 1),
        zoomY: number('zy', 1),
        flipX: parameters.flip_horizontal === true,
        flipY: parameters.flip_vertical === true,
        channelShift: number('channel_shift_intensity', 0),
        brightness: number('brightness', 1),
      };
      const { side } = fixture;
      const mine = new Float32Array(out.length);
      applyTransform(transform, { fill, fillValue: cval }, shape(side), picture(side, side, 3), 0, mine, 0);
      // A value that brightness rounds down may fall on either side of a whole number.
      const step = parameters.brightness === undefined ? 2e-6 : 1.01 / 255;
      const off = [...mine].map((value, i) => Math.abs(value - (out[i] ?? 0)));
      expect(Math.max(...off)).toBeLessThan(step);
      expect(off.filter((d) => d > 2e-6).length).toBeLessThanOrEqual(off.length / 100);
    },
  );

  it('is itself where nothing is asked for, anywhere in the memory', () => {
    const pixels = picture(5, 7, 1);
    const out = new Float32Array(3 * 35);
    const store = new Uint8Array(2 * 35);
    store.set(pixels, 35);
    applyTransform(nothing, { fill: 'nearest', fillValue: 0 }, shape(5, 7, 1), store, 35, out, 35);
    expect([...out.subarray(35, 70)]).toEqual([...pixels].map((value) => Math.fround(value / 255)));
    expect([...out.subarray(0, 35), ...out.subarray(70)].every((value) => value === 0)).toBe(true);
  });

  it('moves about its own centre where it is not square', () => {
    const pixels = picture(4, 9, 1);
    const out = new Float32Array(36);
    applyTransform({ ...nothing, rotation: 180 }, { fill: 'nearest', fillValue: 0 }, shape(4, 9, 1), pixels, 0, out, 0);
    const turned = [...pixels].reverse();
    for (const [i, value] of out.entries()) expect(value).toBeCloseTo((turned[i] ?? 0) / 255, 5);
  });
});

describe('transforms', () => {
  const augment = AugmentSpec.parse({
    rotation: 40,
    widthShift: 0.2,
    heightShift: 0.1,
    shear: 0.2,
    zoom: 0.2,
    horizontalFlip: true,
  });
  const draw = (spec: AugmentSpec, sample: number): Transform =>
    drawTransform(spec, keyedRandom(42, 0, 1, 'augment', 3, sample), shape(100, 50));

  it('are drawn within their bounds, evenly', () => {
    const drawn = Array.from({ length: 4000 }, (_, sample) => draw(augment, sample));
    const check = (of: (t: Transform) => number, from: number, to: number): void => {
      const values = drawn.map(of);
      expect(Math.min(...values)).toBeGreaterThanOrEqual(from);
      expect(Math.max(...values)).toBeLessThanOrEqual(to);
      const mean = values.reduce((sum, v) => sum + v, 0) / values.length;
      expect(Math.abs(mean - (from + to) / 2)).toBeLessThan((to - from) * 0.02);
      expect(values.filter((v) => v < from + (to - from) / 4).length / values.length).toBeCloseTo(0.25, 1);
    };
    check((t) => t.rotation, -40, 40);
    check((t) => t.shiftX, -10, 10);
    check((t) => t.shiftY, -10, 10);
    check((t) => t.shear, -0.2, 0.2);
    check((t) => t.zoomX, 0.8, 1.2);
    check((t) => t.zoomY, 0.8, 1.2);
    expect(drawn.filter((t) => t.flipX).length / drawn.length).toBeCloseTo(0.5, 1);
    expect(drawn.every((t) => !t.flipY && t.channelShift === 0 && t.brightness === 1)).toBe(true);
  });

  it('share all chance but that of the amount in which experiments differ', () => {
    const more = AugmentSpec.parse({ ...augment, rotation: 80, brightness: [0.5, 1.5] });
    for (let sample = 0; sample < 20; sample++) {
      const [mine, others] = [draw(augment, sample), draw(more, sample)];
      expect(others).toEqual({ ...mine, rotation: mine.rotation * 2, brightness: others.brightness });
    }
  });

  it('must have ranges that begin below their ends', () => {
    expect(AugmentSpec.safeParse({ zoom: [1.2, 0.8] }).success).toBe(false);
    expect(AugmentSpec.safeParse({ brightness: [1.2, 0.8] }).success).toBe(false);
    expect(AugmentSpec.safeParse({ zoom: [0.5, 1] }).success).toBe(true);
  });
});
