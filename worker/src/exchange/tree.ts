/**
 * The fixed binary tree over the M slices of a global batch in which every sum of a step is formed: n leaves are split
 * at the largest power of two below n, and so on down. Float addition is not associative; a fixed tree makes the sum
 * independent of who adds which part, and of when. All sums across slices are made here, in JavaScript's float32
 * arithmetic (a float64 sum of two float32 rounded to float32 is the correctly rounded float32 sum): TensorFlow's
 * threads flush denormals, and would give other bits than the group's.
 */

/** Slices [from, to) of a global batch. */
export interface SliceRange {
  readonly from: number;
  readonly to: number;
}

/** Largest power of two below n, for n >= 2: where a subtree of n leaves is split. */
export function splitPoint(n: number): number {
  let point = 1;
  while (point * 2 < n) point *= 2;
  return point;
}

/** The slices of one rank of a group: contiguous, as equal as possible, together all of [0, slices). */
export function rankRange(rank: number, size: number, slices: number): SliceRange {
  return { from: Math.floor((rank * slices) / size), to: Math.floor(((rank + 1) * slices) / size) };
}

/** The largest subtrees of the tree over `slices` leaves that lie wholly inside a contiguous range, from left to right. */
export function completeSubtrees(slices: number, range: SliceRange): SliceRange[] {
  const found: SliceRange[] = [];
  const visit = (from: number, to: number): void => {
    if (to <= range.from || range.to <= from) return;
    if (range.from <= from && to <= range.to) {
      found.push({ from, to });
      return;
    }
    const middle = from + splitPoint(to - from);
    visit(from, middle);
    visit(middle, to);
  };
  if (slices > 0 && range.from < range.to) visit(0, slices);
  return found;
}

/** left += right, element by element, in float32. */
export function addInto(left: Float32Array, right: Float32Array): Float32Array {
  if (left.length !== right.length)
    throw new RangeError(`cannot add vectors of ${left.length} and ${right.length} elements`);
  const n = left.length;
  // Four at a time: 1.5 times as fast as one by one.
  const whole = n - (n % 4);
  for (let i = 0; i < whole; i += 4) {
    left[i] = (left[i] as number) + (right[i] as number);
    left[i + 1] = (left[i + 1] as number) + (right[i + 1] as number);
    left[i + 2] = (left[i + 2] as number) + (right[i + 2] as number);
    left[i + 3] = (left[i + 3] as number) + (right[i + 3] as number);
  }
  for (let i = whole; i < n; i++) left[i] = (left[i] as number) + (right[i] as number);
  return left;
}

/**
 * Sums the slices of one node in tree order as they come, from left to right, holding no more than log2(n) + 1 of
 * them: like a binary counter, two subtrees of the same size become one as soon as both are there.
 */
export class NodeSum {
  readonly #parts: { leaves: number; vector: Float32Array }[] = [];

  /** Takes the next slice's vector over: sums are made in place. */
  add(vector: Float32Array): void {
    let part = { leaves: 1, vector };
    for (;;) {
      const last = this.#parts.at(-1);
      if (last === undefined || last.leaves !== part.leaves) break;
      this.#parts.pop();
      part = { leaves: 2 * part.leaves, vector: addInto(last.vector, part.vector) };
    }
    this.#parts.push(part);
  }

  /** The node's sum; what is left are the subtrees of a number that is no power of two, joined from the right. */
  total(): Float32Array {
    let sum = this.#parts.pop()?.vector;
    if (sum === undefined) throw new RangeError('a node has at least one slice');
    for (let left = this.#parts.pop(); left !== undefined; left = this.#parts.pop()) sum = addInto(left.vector, sum);
    return sum;
  }
}

/**
 * Sum of the whole tree from the sums of nodes that together make it up. Sums are made in place: the vectors that
 * `nodeSum` hands out are used up, and the result is the leftmost of them.
 *
 * @throws RangeError where a part of the tree is missing.
 */
export function combineTree(slices: number, nodeSum: (node: SliceRange) => Float32Array | undefined): Float32Array {
  const visit = (from: number, to: number): Float32Array => {
    const sum = nodeSum({ from, to });
    if (sum !== undefined) return sum;
    if (to - from <= 1) throw new RangeError(`no sum of slice ${from} was handed in`);
    const middle = from + splitPoint(to - from);
    const left = visit(from, middle);
    return addInto(left, visit(middle, to));
  };
  return visit(0, slices);
}
