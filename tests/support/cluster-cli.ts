import { main } from '@crossfold/coordinator/cli/main';
import { connectClient } from '@crossfold/coordinator/client/client';
import { fakeWorld } from './fake-client.ts';

/** Runs a command in this process, with a real connection where it names a broker, and a cache of its own. */
export async function crossfoldIn(
  cache: string,
  words: readonly string[],
): Promise<{ code: number; out: string; err: string }> {
  const { context, out, err } = fakeWorld({ env: { CROSSFOLD_CACHE: cache } });
  const code = await main(words, { ...context, connect: (url) => connectClient(url) });
  return { code, out: out(), err: err() };
}
