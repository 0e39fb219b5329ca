import { CrossfoldError } from '@crossfold/shared/errors';
import h5wasm from 'h5wasm/node';

type File = InstanceType<typeof h5wasm.File>;

/**
 * What `read` makes of an HDF5 file, which is closed afterwards.
 *
 * @param read must be done when it returns: while it reads, what the library has to say is thrown
 * @param damaged the error where the library cannot make sense of the file
 */
export async function withH5File<T>(
  path: string,
  read: (file: File) => T,
  damaged: (cause: unknown) => Error,
): Promise<T> {
  const library = await h5wasm.ready;
  // Otherwise it writes pages of its own to stderr.
  library.activate_throwing_error_handler();
  let file: File | undefined;
  try {
    file = new h5wasm.File(path, 'r');
    return read(file);
  } catch (error) {
    if (error instanceof CrossfoldError) throw error;
    throw damaged(error);
  } finally {
    library.deactivate_throwing_error_handler();
    close(file);
  }
}

/** Bytes at a file's beginning that say what it is, and where it ends. */
export const headBytes = 48;
export const isHdf5 = (head: Buffer): boolean =>
  head.length >= headBytes && head.toString('latin1', 0, 8) === '\x89HDF\r\n\x1a\n';

/** Where an HDF5 file ends by its superblock, whose layout changed with version 2: of a shorter one the library lets nothing go. */
export const endOf = (head: Buffer): bigint => head.readBigUInt64LE(head.readUInt8(8) < 2 ? 40 : 28);

/** What is damaged may not even be closed as it should be. */
function close(file: File | undefined): void {
  try {
    file?.close();
  } catch {
    // Said already: it is damaged.
  }
}
