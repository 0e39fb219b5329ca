/** An IDX file of unsigned bytes: dimensions, then data. */
export function idxBytes(dimensions: readonly number[], data: Uint8Array): Uint8Array {
  const header = Buffer.alloc(4 + 4 * dimensions.length);
  header.writeUInt32BE(0x0800 | dimensions.length);
  dimensions.forEach((size, i) => {
    header.writeUInt32BE(size, 4 + 4 * i);
  });
  return new Uint8Array(Buffer.concat([header, data]));
}
