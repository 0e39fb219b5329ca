import { createHash } from 'node:crypto';

/** @typedef {{ cell_type: string, source: string | string[] }} Cell */

/**
 * The sources of a notebook's code cells, in order.
 * @param {{ cells: Cell[] }} notebook
 * @returns {string[]}
 */
export const codeOf = ({ cells }) =>
  cells
    .filter(({ cell_type }) => cell_type === 'code')
    .map(({ source }) => (Array.isArray(source) ? source.join('') : source));

/**
 * SHA-256 over a notebook's code, which its outputs are of.
 * @param {{ cells: Cell[] }} notebook
 */
export const codeDigest = (notebook) => createHash('sha256').update(codeOf(notebook).join('\0')).digest('hex');
