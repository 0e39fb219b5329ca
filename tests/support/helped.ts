import { main } from '@crossfold/coordinator/cli/main';
import { expect } from 'vitest';
import { fakeWorld } from './fake-client.ts';

/** All verbs that help names, those above others included, and the options that it names of each. */
export async function helped(path: readonly string[] = []): Promise<Map<string, string[]>> {
  const world = fakeWorld({});
  expect(await main([...path, '--help'], world.context)).toBe(0);
  const [text = '', commands = ''] = world.out().split('\nCommands:\n');
  const flags = [...text.matchAll(/^ {2}(?:-\w, )?(--[\w-]+)/gm)].map(([, flag = '']) => flag);
  const verbs = [...commands.matchAll(/^ {2}(\w+)/gm)].map(([, verb = '']) => verb).filter((verb) => verb !== 'help');
  const all = path.length === 0 ? new Map() : new Map([[path.join(' '), flags]]);
  for (const verb of verbs) for (const entry of await helped([...path, verb])) all.set(...entry);
  return all;
}
