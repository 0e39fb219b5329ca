import { fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import type { ReadyMessage } from '@crossfold/shared/service';

const cli = join(import.meta.dirname, '../../../../coordinator/bin/main.cjs');

/** A service of the command line, once it is ready. */
export async function service(words: readonly string[]): Promise<ReturnType<typeof fork>> {
  const env = { ...process.env, CROSSFOLD_LOG_LEVEL: 'warn' };
  const child = fork(cli, words, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'], env });
  for await (const [message] of on(child)) if (message === ('ready' satisfies ReadyMessage['type'])) break;
  return child;
}

async function* on(child: ReturnType<typeof fork>): AsyncGenerator<[unknown]> {
  for (;;) {
    const [message] = (await Promise.race([once(child, 'message'), once(child, 'exit')])) as [
      { type?: unknown } | number,
    ];
    if (typeof message !== 'object' || message === null) throw new Error('a service ended before it was ready');
    yield [message.type];
  }
}
