import { ConfigError } from '@crossfold/shared/errors';
import type { Document, Node } from 'yaml';
import { isMap, isNode, isScalar, isSeq, LineCounter, parse, parseDocument } from 'yaml';
import type { Path } from './issues.ts';

/** A YAML text as plain values, with the way back to its lines. */
export interface Source {
  readonly value: unknown;
  /** 1-based line of the field, or of the nearest one above it that is in the text. */
  lineOf(path: Path): number | undefined;
}

export const maxBytes = 1 << 20;
/** Aliases that a document may expand to: enough for anchors, too few for a text that explodes. */
const maxAliasCount = 100;

/**
 * Reads a YAML text.
 * @param file for messages
 * @throws ConfigError where it is not YAML, or too large
 */
export function parseSource(text: string, file: string): Source {
  if (Buffer.byteLength(text) > maxBytes)
    throw new ConfigError(`${file} is larger than 1 MB: an experiment file is a few lines of YAML`);
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, strict: true });
  const wrong = document.errors[0] ?? document.warnings[0];
  if (wrong !== undefined) {
    const { line, col } = lines.linePos(wrong.pos[0]);
    throw new ConfigError(`${file}:${line}:${col}: not valid YAML: ${wrong.message.split('\n')[0]}`);
  }
  return { value: plain(document, file), lineOf: (path) => lineOf(document, lines, path) };
}

/** What stands to the right of the = of an override: a YAML value. */
export function parseValue(text: string): unknown {
  return parse(text, { prettyErrors: false, maxAliasCount: 0 });
}

function plain(document: Document.Parsed, file: string): unknown {
  try {
    return document.toJS({ maxAliasCount });
  } catch (error) {
    throw new ConfigError(`${file}: ${error instanceof Error ? error.message : String(error)}`);
  }
}

function lineOf(document: Document.Parsed, lines: LineCounter, path: Path): number | undefined {
  let at: unknown = document.contents;
  let start: number | undefined = startOf(at);
  for (const key of path) {
    if (isMap(at)) {
      const pair = at.items.find((item) => (isScalar(item.key) ? item.key.value : item.key) === key);
      if (pair === undefined) break;
      start = startOf(pair.key) ?? start;
      at = pair.value;
    } else if (isSeq(at)) {
      const item: unknown = at.items[Number(key)];
      if (item === undefined) break;
      start = startOf(item) ?? start;
      at = item;
    } else break;
  }
  return start === undefined ? undefined : lines.linePos(start).line;
}

const startOf = (node: unknown): number | undefined => (isNode(node) ? (node as Node).range?.[0] : undefined);
