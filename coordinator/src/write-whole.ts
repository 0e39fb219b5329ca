import { rename, rm, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { makeFolder } from '@crossfold/shared/make-folder';

/** Writes a file beside its place and moves it there, so that nobody ever finds half of it. */
export async function writeWhole(file: string, content: string | Uint8Array): Promise<void> {
  await makeFolder(dirname(file));
  const aside = join(dirname(file), `.${basename(file)}.${process.pid}`);
  try {
    await writeFile(aside, content);
    await rename(aside, file);
  } catch (error) {
    await rm(aside, { force: true });
    throw error;
  }
}

/** Why something could not be written, as the system says; a full disk in words. */
export const whyUnwritable = ({ code, message }: NodeJS.ErrnoException): string =>
  code === 'ENOSPC' || code === 'EDQUOT' ? 'its disk is full' : (code ?? message);
