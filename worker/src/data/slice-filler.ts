import type { SliceRing } from './slice-ring.ts';
import { samplesIn, wake, word } from './slice-ring.ts';
import type { SlicePlan } from './slices.ts';
import { sliceMaker, stepsOf } from './slices.ts';

/** Fills slots ahead of the reader until it is told to stop. */
export function fillRing(plan: SlicePlan, ring: SliceRing): void {
  const { control, slots, slotLength, slotSamples } = ring;
  const make = sliceMaker(plan);
  const load = (name: keyof typeof word): number => Atomics.load(control, word[name]);
  const perEpoch = stepsOf(plan);
  let aim = 0;
  let filled = 0;
  let next = { epoch: 0, step: 0, slice: 0 };
  let range = { from: 0, to: 0 };
  while (load('stop') === 0) {
    const seen = load('wakeWriter');
    const wanted = load('aim');
    if (wanted !== aim) {
      range = { from: load('from'), to: load('to') };
      next = { epoch: load('epoch'), step: load('step'), slice: range.from };
      // Taken while the reader was writing it down: the next look has it whole.
      if (load('aim') !== wanted) continue;
      aim = wanted;
      filled = 0;
      Atomics.store(control, word.filled, 0);
      Atomics.store(control, word.writerAim, aim);
    }
    if (aim === 0 || range.to <= range.from || filled - load('emptied') >= slots) {
      Atomics.wait(control, word.wakeWriter, seen);
      continue;
    }
    const slot = filled % slots;
    const places = make(next, ring.values.subarray(slot * slotLength, (slot + 1) * slotLength));
    ring.places.set(places, slot * slotSamples);
    if (load('aim') !== aim) continue;
    Atomics.store(control, samplesIn(slot), places.length);
    filled++;
    Atomics.store(control, word.filled, filled);
    wake(ring, 'wakeReader');
    const { epoch, step, slice } = next;
    if (slice + 1 < range.to) next = { epoch, step, slice: slice + 1 };
    else if (step + 1 < perEpoch) next = { epoch, step: step + 1, slice: range.from };
    else next = { epoch: epoch + 1, step: 0, slice: range.from };
  }
}
