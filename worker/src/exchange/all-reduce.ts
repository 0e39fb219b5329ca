import type { BufferPool } from './buffers.ts';
import type { Header, Want } from './frame.ts';
import { asBytes, asFloats, FrameKind, maxWants } from './frame.ts';
import type { Block, Layout, RankNode } from './layout.ts';
import { combineTree } from './tree.ts';

/** The sum of a node of the tree over the slices [from, to), as a rank hands it in. */
export interface NodeVector {
  readonly from: number;
  readonly to: number;
  readonly vector: Float32Array;
}

/** Where frames of a reduction go; fields that all of them share are filled in there. */
export type SendBlock = (to: number | 'all', header: BlockHeader, payload: Uint8Array) => void;
export type BlockHeader = Pick<Header, 'kind' | 'owner' | 'chunk' | 'chunks' | 'from' | 'to' | 'total'>;

/** What became of a frame. `bad`: it does not fit this reduction and was dropped. */
export type Verdict = 'taken' | 'duplicate' | 'bad';

/**
 * One all-reduce of one member, apart from connections and clocks.
 *
 * 1. Reduce-scatter: each rank sends the sums of its nodes, block by block, to the block's owner.
 * 2. As soon as an owner has all nodes of a block it sums them in tree order and
 * 3. all-gather: sends the finished block once to all.
 *
 * The result is put together in the first of the vectors that were handed in: a finished block may replace this rank's
 * own sums there, because its owner could not have finished it without having received them. A group of one takes the
 * same path with nothing to send and nothing to copy. Frames may come in any order and any number of times.
 */
export class Reduction {
  readonly #layout: Layout;
  readonly #rank: number;
  readonly #send: SendBlock;
  readonly #buffers: BufferPool;
  /** Sums that this rank has handed in, by index of the node. */
  readonly #own = new Map<number, Float32Array>();
  /** Of each block that this rank owns, the sums that have come, by index of the node. */
  readonly #gathered: Map<number, Float32Array>[];
  /** Blocks that this rank has finished, as long as others may ask for them. */
  readonly #kept = new Map<number, Uint8Array>();
  readonly #finished: boolean[];
  #unfinished: number;
  #result: Float32Array | undefined;
  /** Nodes of this rank that have not been handed in. */
  #outstanding: number;

  constructor(layout: Layout, rank: number, send: SendBlock, buffers: BufferPool) {
    this.#layout = layout;
    this.#rank = rank;
    this.#send = send;
    this.#buffers = buffers;
    this.#gathered = this.#ownBlocks().map(() => new Map());
    this.#finished = layout.blocks.map(() => false);
    this.#unfinished = layout.blocks.length;
    this.#outstanding = layout.nodes.filter((n) => n.rank === rank).length;
    if (this.#outstanding === 0) this.#result = new Float32Array(layout.length);
  }

  /** Whether every node of this rank has been handed in. */
  get contributed(): boolean {
    return this.#outstanding === 0;
  }

  get complete(): boolean {
    return this.contributed && this.#unfinished === 0;
  }

  /** Hands out the sum over all ranks, once it is complete; it is the caller's from then on. */
  take(): Float32Array {
    const result = this.#result;
    if (result === undefined || !this.complete) throw new RangeError('the sum is not complete');
    this.#result = undefined;
    this.#own.clear();
    return result;
  }

  /**
   * Hands in the sum of one of this rank's nodes, which belongs to the reduction from then on, and sends it off.
   *
   * @throws RangeError where the node is not this rank's, was handed in before, or has another length.
   */
  contribute(node: NodeVector): void {
    const index = this.#layout.nodes.findIndex(
      (n) => n.rank === this.#rank && n.from === node.from && n.to === node.to,
    );
    if (index < 0 || this.#own.has(index) || this.contributed || node.vector.length !== this.#layout.length)
      throw new RangeError(
        `slices ${node.from}..${node.to} with ${node.vector.length} elements are not rank ${this.#rank}'s to hand in now`,
      );
    this.#own.set(index, node.vector);
    this.#outstanding--;
    this.#result ??= node.vector;
    for (const block of this.#sendingOrder()) {
      const partial = this.#partial(index, block);
      if (partial !== undefined) this.#send(block.owner, partial.block, partial.bytes);
    }
    for (const block of this.#ownBlocks()) this.#gather(block, index, node.vector.subarray(block.from, block.to));
  }

  /** Takes the sum of a node for a block that this rank owns, or a finished block; the payload is used up if taken. */
  accept(header: Header, payload: Uint8Array): Verdict {
    const { nodes, firstBlock, blocks, length } = this.#layout;
    const block = blocks[(firstBlock[header.owner] ?? Number.NaN) + header.chunk];
    if (block === undefined || block.owner !== header.owner || block.chunks !== header.chunks) return 'bad';
    if (header.total !== length || payload.length !== 4 * (block.to - block.from)) return 'bad';
    if (header.kind === FrameKind.partial) {
      const index = nodes.findIndex((n) => n.rank === header.sender && n.from === header.from && n.to === header.to);
      if (index < 0 || block.owner !== this.#rank) return 'bad';
      if (this.#finished[block.index] || this.#gatheredOf(block).has(index)) return 'duplicate';
      this.#gather(block, index, asFloats(payload));
      return 'taken';
    }
    // An owner cannot have finished without this rank's sums: whoever says so before is wrong.
    if (header.kind !== FrameKind.finished || header.sender !== block.owner || !this.contributed) return 'bad';
    if (this.#finished[block.index]) return 'duplicate';
    this.#result?.set(asFloats(payload), block.from);
    this.#buffers.giveBack(payload);
    this.#finish(block);
    return 'taken';
  }

  /** What this member lacks from another rank, at most `limit` pieces of it. */
  wantsFrom(rank: number, limit: number): Want[] {
    const wants: Want[] = [];
    for (const block of this.#layout.blocks) {
      if (this.#finished[block.index]) continue;
      if (block.owner === rank) wants.push({ node: undefined, block: block.index });
      if (block.owner !== this.#rank) continue;
      this.#layout.nodes.forEach((node, index) => {
        if (node.rank === rank && !this.#gatheredOf(block).has(index)) wants.push({ node: index, block: block.index });
      });
    }
    return wants.slice(0, Math.min(limit, maxWants));
  }

  /** What another rank lacks, as far as it is here. */
  owes(wants: readonly Want[], to: number): { block: BlockHeader; bytes: Uint8Array }[] {
    return wants.flatMap((want) => {
      const block = this.#layout.blocks[want.block];
      if (block === undefined) return [];
      if (want.node !== undefined)
        return block.owner === to && !this.#finished[block.index] ? (this.#partial(want.node, block) ?? []) : [];
      const bytes = this.#kept.get(block.index);
      return bytes === undefined ? [] : { block: this.#header(FrameKind.finished, block), bytes };
    });
  }

  /** Nobody can lack anything of this sum any more. */
  retire(): void {
    for (const kept of this.#kept.values()) this.#buffers.giveBack(kept);
    this.#kept.clear();
  }

  /** The nodes of other ranks that this member, as an owner, still waits for. */
  awaitedNodes(): RankNode[] {
    const unfinished = this.#ownBlocks().filter((block) => !this.#finished[block.index]);
    return this.#layout.nodes.filter(
      (node, index) => node.rank !== this.#rank && unfinished.some((block) => !this.#gatheredOf(block).has(index)),
    );
  }

  /** Ranks whose finished blocks this member still waits for. */
  awaitedOwners(): number[] {
    const owners = this.#layout.blocks.filter((block) => !this.#finished[block.index]).map((block) => block.owner);
    return [...new Set(owners)].filter((owner) => owner !== this.#rank);
  }

  #gather(block: Block, node: number, sum: Float32Array): void {
    const gathered = this.#gatheredOf(block);
    gathered.set(node, sum);
    if (gathered.size < this.#layout.nodes.length) return;
    const sums = new Map(this.#layout.nodes.map((n, index) => [`${n.from}-${n.to}`, gathered.get(index)]));
    const total = combineTree(this.#layout.slices, (n) => sums.get(`${n.from}-${n.to}`));
    for (const sum of gathered.values()) if (sum !== total) this.#buffers.giveBack(sum);
    gathered.clear();
    const result = this.#result;
    if (result === undefined) throw new RangeError('a block was finished before this rank had handed in its sums');
    const place = result.subarray(block.from, block.to);
    const inPlace = total.buffer === place.buffer && total.byteOffset === place.byteOffset;
    if (this.#layout.size > 1) {
      // Others may ask for it when the result is no longer this reduction's.
      const kept = inPlace ? this.#buffers.take(total.byteLength) : asBytes(total);
      if (inPlace) kept.set(asBytes(total));
      this.#kept.set(block.index, kept);
      this.#send('all', this.#header(FrameKind.finished, block), kept);
    }
    if (!inPlace) place.set(total);
    this.#finish(block);
  }

  #finish(block: Block): void {
    this.#finished[block.index] = true;
    this.#unfinished--;
  }

  #partial(index: number, block: Block): { block: BlockHeader; bytes: Uint8Array } | undefined {
    const node = this.#layout.nodes[index];
    const vector = this.#own.get(index);
    if (node === undefined || vector === undefined) return undefined;
    const header = { ...this.#header(FrameKind.partial, block), from: node.from, to: node.to };
    return { block: header, bytes: asBytes(vector.subarray(block.from, block.to)) };
  }

  #header(kind: FrameKind, block: Block): BlockHeader {
    const { owner, chunk, chunks } = block;
    return { kind, owner, chunk, chunks, from: 0, to: 0, total: this.#layout.length };
  }

  #ownBlocks(): readonly Block[] {
    return this.#layout.blocks.filter((block) => block.owner === this.#rank);
  }

  #gatheredOf(block: Block): Map<number, Float32Array> {
    const gathered = this.#gathered[block.chunk];
    if (gathered === undefined) throw new RangeError(`block ${block.index} is not rank ${this.#rank}'s`);
    return gathered;
  }

  /** Blocks of the other ranks: first of each segment, then second; every rank begins with the one after it. */
  #sendingOrder(): Block[] {
    const { blocks, size } = this.#layout;
    const distance = (block: Block): number => (block.owner - this.#rank + size) % size;
    return blocks
      .filter((block) => block.owner !== this.#rank)
      .sort((a, b) => a.chunk - b.chunk || distance(a) - distance(b));
  }
}
