const packBytes = 4 * 1024 * 1024;
const packFiles = 1024;

/** Whether a pack of so many files and bytes takes no further file of so many bytes. */
export const packIsFull = (count: number, bytes: number, next: number): boolean =>
  count > 0 && (bytes + next > packBytes || count === packFiles);

/**
 * How many of a row of files go into each pack, a blob of files one after another: as many as fit into 4 MiB, and one
 * at least. The same for whoever packs the same files, so that packs that are uploaded can be shards.
 */
export function packsOf(lengths: readonly number[]): number[] {
  const counts: number[] = [];
  let count = 0;
  let bytes = 0;
  for (const length of lengths) {
    if (packIsFull(count, bytes, length)) {
      counts.push(count);
      count = 0;
      bytes = 0;
    }
    count++;
    bytes += length;
  }
  return count === 0 ? counts : [...counts, count];
}

/** Where each of a row of things of such lengths begins, laid end to end. */
export function startsOf(lengths: readonly number[]): number[] {
  let at = 0;
  return lengths.map((length) => {
    const start = at;
    at += length;
    return start;
  });
}
