import { readFileSync, statSync } from 'node:fs';

/** Keys, certificates and tokens have some kilobytes. */
const maxTextBytes = 2 ** 20;

/**
 * The text of a small file that a setting names. A pipe or a device, which would have to be waited for or has no end,
 * is none: such files are read more than once.
 *
 * @throws Error that says why it cannot be read, without the file's name
 */
export function readTextFile(file: string): string {
  try {
    const found = statSync(file);
    if (!found.isFile()) throw new Error('it is not a file');
    if (found.size > maxTextBytes) throw new Error(`it has ${found.size} bytes, more than ${maxTextBytes}`);
    return readFileSync(file, 'utf8');
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    throw new Error(code ?? message, { cause: error });
  }
}
