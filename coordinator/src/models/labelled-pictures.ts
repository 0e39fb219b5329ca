/** Pictures whose classes are known. */
export interface Labelled {
  /** What it is, for messages: the folder's name and part. */
  readonly name: string;
  readonly classes: readonly string[];
  readonly labels: Int32Array;
  /** What a picture is called: its file, or its number. */
  nameOf(sample: number): string;
  /** Files that cannot be used and are left out, and why. */
  readonly skipped: readonly string[];
  /** Pixels of the samples `first` to `first + count - 1`: uint8, [count, height, width, channels]. */
  read(first: number, count: number): Promise<Uint8Array>;
}

export const partNames = ['train', 'validation', 'test', 'all'] as const;

export type PartName = (typeof partNames)[number];
