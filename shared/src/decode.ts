import { z } from 'zod';

/** What bytes were read as, or why they are not that. */
export type Decoded<T> = { readonly value: T } | { readonly why: string };

const longestWhy = 200;
const utf8 = new TextDecoder('utf-8', { fatal: true });

/**
 * Reads bytes that somebody else has sent as JSON of a schema. Never throws; nothing is allocated for more than
 * `maxBytes`, and the reason is short whatever was sent.
 */
export function decodeJson<T>(schema: z.ZodType<T>, bytes: Uint8Array, maxBytes: number): Decoded<T> {
  if (bytes.length > maxBytes) return { why: `it has ${bytes.length} bytes, and may have ${maxBytes}` };
  let value: unknown;
  try {
    value = JSON.parse(utf8.decode(bytes));
  } catch {
    return { why: 'it is not JSON' };
  }
  const result = schema.safeParse(value);
  return result.success ? { value: result.data } : { why: whyNot(result.error) };
}

/**
 * A list that is read up to the first item that is not as it should be. A plain array of the schema library goes on, and keeps
 * an issue for every one: of a list of millions that is hundreds of times its bytes.
 */
export const listOf = <T>(item: z.ZodType<T>, most: number = Number.POSITIVE_INFINITY) =>
  z.array(z.unknown()).transform((items, context): T[] => {
    const list: T[] = [];
    if (items.length > most)
      context.addIssue({ code: 'custom', message: `it has ${items.length} items, and may have ${most}` });
    else
      for (const [at, one] of items.entries()) {
        const result = item.safeParse(one);
        if (result.success) list.push(result.data);
        else {
          context.addIssue({ code: 'custom', path: [at], message: whyNot(result.error) });
          return z.NEVER;
        }
      }
    return list;
  });

/** The first thing that is wrong, in one short line. */
export function whyNot(error: z.ZodError): string {
  const [first] = error.issues;
  if (first === undefined) return 'it is not as it should be';
  const at =
    first.path.length === 0
      ? ''
      : `${first.path
          .map(String)
          .join('.')
          .slice(0, longestWhy / 2)}: `;
  return `${at}${first.message}`.replaceAll(/\s+/g, ' ').slice(0, longestWhy);
}
