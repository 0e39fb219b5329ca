import type { Output } from '../context.ts';
import { barDisplay } from './bars.ts';
import type { Display } from './display.ts';
import { plainDisplay } from './plain.ts';

/** Bars on a terminal, plain lines elsewhere. */
export const createDisplay = (output: Output, now: () => number): Display =>
  output.isTTY ? barDisplay(output, now) : plainDisplay(output, now);
