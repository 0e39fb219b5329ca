import type { SliceRange } from './tree.ts';
import { completeSubtrees, rankRange } from './tree.ts';

/** A piece of the vector that travels, and is summed, as a whole. */
export interface Block {
  /** Place in `Layout.blocks`. */
  readonly index: number;
  /** Rank that sums it up; the blocks of one owner make up its segment. */
  readonly owner: number;
  /** Place in the owner's segment, and how many blocks that has. */
  readonly chunk: number;
  readonly chunks: number;
  /** Elements [from, to) of the vector. */
  readonly from: number;
  readonly to: number;
}

/** A node of the tree and the rank whose slices it covers. */
export interface RankNode extends SliceRange {
  readonly rank: number;
}

/** Who sends what to whom in one all-reduce; every member of a group derives the same. */
export interface Layout {
  readonly size: number;
  readonly slices: number;
  /** Elements of the vector. */
  readonly length: number;
  readonly blocks: readonly Block[];
  /** First block of each owner's segment, in `blocks`. */
  readonly firstBlock: readonly number[];
  /** The nodes that all ranks hand in, from left to right. */
  readonly nodes: readonly RankNode[];
}

/** A segment that would fit in fewer blocks is cut into so many, so that one is summed while others travel. */
const fewestBlocks = 3;

/**
 * Cuts a vector of `length` elements into one segment a rank, as equal as possible, and each into equal blocks of at
 * most `blockLength` elements, and no less than a quarter of that where there are few.
 */
export function layoutOf(size: number, slices: number, length: number, blockLength: number): Layout {
  const blocks: Block[] = [];
  const firstBlock: number[] = [];
  for (let owner = 0; owner < size; owner++) {
    const start = Math.floor((owner * length) / size);
    const end = Math.floor(((owner + 1) * length) / size);
    const overlapping = Math.min(fewestBlocks, Math.floor((4 * (end - start)) / blockLength));
    const chunks = Math.max(Math.ceil((end - start) / blockLength), overlapping);
    firstBlock.push(blocks.length);
    for (let chunk = 0; chunk < chunks; chunk++) {
      const from = start + Math.floor((chunk * (end - start)) / chunks);
      const to = start + Math.floor(((chunk + 1) * (end - start)) / chunks);
      blocks.push({ index: blocks.length, owner, chunk, chunks, from, to });
    }
  }
  const nodes: RankNode[] = [];
  for (let rank = 0; rank < size; rank++)
    for (const node of completeSubtrees(slices, rankRange(rank, size, slices))) nodes.push({ rank, ...node });
  return { size, slices, length, blocks, firstBlock, nodes };
}
