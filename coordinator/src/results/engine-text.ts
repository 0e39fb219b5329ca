import type { EngineIdentity } from '@crossfold/shared/results';
import { count } from './text.ts';

/** An engine on one line: `tensorflow 2.21.0 on cpu (x64 avx512), 1 thread, oneDNN on`. */
export const engineText = (engine: EngineIdentity): string =>
  `${engine.backend} ${engine.version} on ${engine.device} (${engine.instructions}), ${count(engine.threads, 'thread')}, oneDNN ${engine.oneDnn ? 'on' : 'off'}`;
