import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';

const Said = z.object({ digest: z.string(), computing: z.int(), identity: z.object({ threads: z.int() }) });

/** A process of its own: TensorFlow reads how many threads it may use once, when it loads. */
async function inThread(threads: number): Promise<z.infer<typeof Said>> {
  const script = new URL('../fixtures/engine/thread.mjs', import.meta.url).pathname;
  const env = { ...process.env };
  for (const name of ['TF_NUM_INTRAOP_THREADS', 'TF_NUM_INTEROP_THREADS']) delete env[name];
  const { stdout } = await promisify(execFile)(process.execPath, [script, String(threads)], { env });
  return Said.parse(JSON.parse(stdout));
}

describe.runIf(process.platform === 'linux')('the engine in its thread', () => {
  it('computes with as many threads as it was told, and gives the same bits each time', async () => {
    const one = await inThread(1);
    const two = await inThread(2);
    expect([one.identity.threads, two.identity.threads]).toEqual([1, 2]);
    // Two pools, one for single operations and one for graphs.
    expect([one.computing, two.computing]).toEqual([2, 4]);
    expect((await inThread(1)).digest).toBe(one.digest);
  });
});
