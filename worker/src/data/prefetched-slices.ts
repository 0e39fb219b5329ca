import { MessageChannel, receiveMessageOnPort, Worker } from 'node:worker_threads';
import { ExperimentFailedError, TimeoutError } from '@crossfold/shared/errors';
import type { SliceRing } from './slice-ring.ts';
import { controlLength, samplesIn, wake, word } from './slice-ring.ts';
import type { SliceThreadSetup } from './slice-thread.ts';
import type { SliceAt, SlicePlan, SliceSource } from './slices.ts';
import { largestSlice, sliceFrom, stepsOf } from './slices.ts';

/** A slice takes milliseconds to make; whoever waits this long waits for ever. */
const patienceMs = 120_000;

/**
 * Has slices made by a thread of their own, two steps ahead of the engine, which so waits for none of them as long as
 * making them is not the slower of the two. Blocks its own thread while it waits.
 */
export function prefetchedSlices(plan: SlicePlan): SliceSource {
  const ring = createRing(plan);
  const { control } = ring;
  const { port1, port2 } = new MessageChannel();
  const setup: SliceThreadSetup = { plan, ring, port: port2 };
  const thread = new Worker(new URL('./slice-thread.js', import.meta.url), {
    workerData: setup,
    transferList: [port2],
    // The thread is compiled code, whatever its process was started with.
    execArgv: [],
  });
  thread.unref();
  // A failure is noticed by whoever waits for a slice.
  thread.on('error', () => {
    Atomics.store(control, word.failed, 1);
    wake(ring, 'wakeReader');
  });
  const perEpoch = stepsOf(plan);
  const own = new Float32Array(ring.slotLength);
  let range = { from: 0, to: 0 };
  let next: SliceAt | undefined;
  let aims = 0;
  let taken = 0;
  let waitedMs = 0;

  const aimAt = (at: SliceAt, to: number): void => {
    range = { from: at.slice, to };
    next = at;
    taken = 0;
    Atomics.store(control, word.epoch, at.epoch);
    Atomics.store(control, word.step, at.step);
    Atomics.store(control, word.from, range.from);
    Atomics.store(control, word.to, range.to);
    Atomics.store(control, word.emptied, 0);
    aims++;
    Atomics.store(control, word.aim, aims);
    wake(ring, 'wakeWriter');
  };
  const isThere = (): boolean =>
    Atomics.load(control, word.writerAim) === aims && Atomics.load(control, word.filled) > taken;
  const waitForSlice = (): void => {
    const started = performance.now();
    for (;;) {
      const seen = Atomics.load(control, word.wakeReader);
      if (isThere()) break;
      if (Atomics.load(control, word.failed) !== 0) {
        const reason: unknown = receiveMessageOnPort(port1)?.message;
        throw new ExperimentFailedError(
          `the thread that prepares training pictures ended: ${String(reason ?? 'unknown')}`,
        );
      }
      const left = patienceMs - (performance.now() - started);
      if (left <= 0) throw new TimeoutError('the next training pictures to be prepared', patienceMs);
      Atomics.wait(control, word.wakeReader, seen, left);
    }
    waitedMs += performance.now() - started;
  };

  return {
    aim({ epoch, step }, { from, to }) {
      const onCourse =
        next?.epoch === epoch && next.step === step && next.slice === from && range.from === from && range.to === to;
      if (!onCourse && to > from) aimAt({ epoch, step, slice: from }, to);
    },
    take(at) {
      if (next?.epoch !== at.epoch || next.step !== at.step || next.slice !== at.slice)
        aimAt(at, Math.max(range.to, at.slice + 1));
      waitForSlice();
      const slot = taken % ring.slots;
      const samples = Atomics.load(control, samplesIn(slot));
      const places = ring.places.subarray(slot * ring.slotSamples, slot * ring.slotSamples + samples);
      const from = slot * ring.slotLength;
      own.set(ring.values.subarray(from, from + samples * plan.data.sampleBytes));
      const slice = sliceFrom(plan, places, own);
      taken++;
      Atomics.store(control, word.emptied, taken);
      wake(ring, 'wakeWriter');
      const { epoch, step } = at;
      if (at.slice + 1 < range.to) next = { epoch, step, slice: at.slice + 1 };
      else
        next =
          step + 1 < perEpoch
            ? { epoch, step: step + 1, slice: range.from }
            : { epoch: epoch + 1, step: 0, slice: range.from };
      return slice;
    },
    get waitedMs() {
      return waitedMs;
    },
    close() {
      Atomics.store(control, word.stop, 1);
      wake(ring, 'wakeWriter');
      port1.close();
    },
  };
}

const maxRingBytes = 256 * 1024 * 1024;

/** A ring for two steps of the whole batch, or for as many slices as 256 MiB hold; never fewer than two. */
function createRing(plan: SlicePlan): SliceRing {
  const slotSamples = largestSlice(plan);
  const slotLength = slotSamples * plan.data.sampleBytes;
  const slots = Math.max(2, Math.min(2 * plan.slices, Math.floor(maxRingBytes / (4 * slotLength))));
  return {
    slots,
    slotLength,
    slotSamples,
    control: new Int32Array(new SharedArrayBuffer(4 * controlLength(slots))),
    values: new Float32Array(new SharedArrayBuffer(4 * slots * slotLength)),
    places: new Int32Array(new SharedArrayBuffer(4 * slots * slotSamples)),
  };
}
