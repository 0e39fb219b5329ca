import { DamagedDataError } from '../errors.ts';

/** Documents that users give names to, kept beside the blobs that they refer to. */
export interface NamedDocuments<T> {
  /** Undefined where there is none of that name. @throws DamagedDataError where it cannot be read */
  get(name: string): Promise<T | undefined>;
  /** The names of all of them, also of those that cannot be read. */
  names(): Promise<string[]>;
  /**
   * All of them, by name.
   * @param onDamaged told of those that cannot be read, which are left out
   */
  list(onDamaged: (name: string, error: DamagedDataError) => void): Promise<T[]>;
  /** Writes one that must not be there yet; false where there is one of that name, whether or not it can be read. */
  create(name: string, value: T): Promise<boolean>;
  /** Writes one, in place of what had the name before. */
  put(name: string, value: T): Promise<void>;
  /** Removes one, also one that cannot be read; one that is not there is none of its business. */
  remove(name: string): Promise<void>;
}

/** `list` of whoever has `names` and `get`. */
export async function listNamed<T>(
  { names, get }: Pick<NamedDocuments<T>, 'names' | 'get'>,
  onDamaged: (name: string, error: DamagedDataError) => void,
): Promise<T[]> {
  const documents: T[] = [];
  for (const name of await names()) {
    try {
      const document = await get(name);
      if (document !== undefined) documents.push(document);
    } catch (error) {
      if (!(error instanceof DamagedDataError)) throw error;
      onDamaged(name, error);
    }
  }
  return documents;
}
