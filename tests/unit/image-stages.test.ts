import { readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { describe, expect, it } from 'vitest';

const root = resolve(import.meta.dirname, '../..');

/** A module of set-up's and all that it imports without being asked for more, as paths from the root. */
function closure(file: string, found = new Set<string>()): Set<string> {
  if (found.has(file)) return found;
  found.add(file);
  const text = readFileSync(join(root, file), 'utf8');
  for (const [, imported = ''] of text.matchAll(/^import .*'(\.\/[^']+)';$/gm))
    closure(relative(root, resolve(root, dirname(file), imported)), found);
  return found;
}

/** The modules that each stage of the image copies one by one, by what the stage makes. */
function copied(): Map<string, string[]> {
  const stages = readFileSync(join(root, 'Dockerfile'), 'utf8')
    .replaceAll('\\\n', ' ')
    .split(/^FROM /m);
  return new Map(
    stages.flatMap((stage) => {
      const made = /node setup\/image\.mjs (tensorflow|broker) /.exec(stage)?.[1];
      const files = [...stage.matchAll(/setup\/[\w.-]+\.mjs(?=[^\n]* setup\/\n)/g)].map(([file]) => file);
      return made === undefined ? [] : [[made, files] as const];
    }),
  );
}

describe('a stage of the image', () => {
  it.each(['tensorflow', 'broker'])(
    'that makes %s has each module that this takes, and is cached whatever else changes',
    (made) => {
      const needed = closure(`setup/${made}.mjs`, closure('setup/image.mjs'));
      expect(copied().get(made)?.toSorted()).toEqual([...needed].toSorted());
    },
  );
});
