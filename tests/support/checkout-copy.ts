import { cpSync, mkdirSync, mkdtempSync, readdirSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { root } from './documents.ts';

const workspaces = ['shared', 'worker', 'coordinator', 'library'];

/**
 * A built checkout of its own, in a folder whose name has a space: our packages are copies, and so may be changed, others'
 * are links.
 *
 * @param files further files and folders to copy
 */
export function copyCheckout(purpose: string, files: readonly string[]): string {
  const copy = mkdtempSync(join(tmpdir(), `crossfold ${purpose} `));
  const always = ['package.json', 'tsconfig.json', 'tsconfig.base.json', ...workspaces];
  for (const file of [...always, ...files])
    cpSync(join(root, file), join(copy, file), { recursive: true, preserveTimestamps: true });
  mkdirSync(join(copy, 'node_modules', '@crossfold'), { recursive: true });
  for (const name of readdirSync(join(root, 'node_modules')))
    if (!['@crossfold', 'crossfold', '.crossfold'].includes(name))
      symlinkSync(join(root, 'node_modules', name), join(copy, 'node_modules', name));
  for (const name of ['shared', 'worker', 'coordinator'])
    symlinkSync(join(copy, name), join(copy, 'node_modules', '@crossfold', name));
  symlinkSync(join(copy, 'library'), join(copy, 'node_modules', 'crossfold'));
  return copy;
}
