import type { MessagePort } from 'node:worker_threads';
import { workerData } from 'node:worker_threads';
import type { SliceRing } from './slice-ring.ts';
import { wake, word } from './slice-ring.ts';
import type { SlicePlan } from './slices.ts';

/** What the thread that makes slices is started with. */
export interface SliceThreadSetup {
  readonly plan: SlicePlan;
  readonly ring: SliceRing;
  /** Told why it ended, should it fail. */
  readonly port: MessagePort;
}

const { plan, ring, port } = workerData as SliceThreadSetup;
try {
  // Imported here, so that whoever waits hears of a failure to load, too: its thread cannot take events while it waits.
  const { fillRing } = await import('./slice-filler.ts');
  fillRing(plan, ring);
} catch (error) {
  port.postMessage(error instanceof Error ? (error.stack ?? error.message) : String(error));
  Atomics.store(ring.control, word.failed, 1);
  wake(ring, 'wakeReader');
}
