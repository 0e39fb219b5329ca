import { ConfigError } from '@crossfold/shared/errors';
import type { Path } from './issues.ts';
import { isRecord } from './schema.ts';
import { parseValue } from './yaml.ts';

/** One `--set path=value`. */
export interface Override {
  /** As the user wrote it. */
  readonly text: string;
  readonly path: Path;
  readonly value: unknown;
}

/** @throws ConfigError where it does not read `path=value` */
export function parseOverride(text: string): Override {
  const equals = text.indexOf('=');
  const path = text.slice(0, Math.max(equals, 0)).trim().split('.');
  if (equals < 1 || path.some((key) => key === '' || key === '__proto__'))
    throw new ConfigError(`--set ${text}: expected path=value, as in --set training.epochs=1`);
  try {
    return { text, path: searched(path), value: parseValue(text.slice(equals + 1)) };
  } catch (error) {
    const reason = error instanceof Error ? error.message.split('\n')[0] : String(error);
    throw new ConfigError(`--set ${text}: the value is not valid YAML: ${reason}`);
  }
}

/** What follows `search.parameters` is one key: the path of the field that is searched. */
const searched = (path: readonly string[]): Path =>
  path[0] === 'search' && path[1] === 'parameters' && path.length > 2
    ? ['search', 'parameters', path.slice(2).join('.')]
    : path;

/** A copy of a value with the override's in its place; mappings on the way are made where they are missing. */
export function applyOverride(value: unknown, { text, path, value: set }: Override): unknown {
  const [head, ...rest] = path;
  if (head === undefined) return set;
  const below = { text, path: rest, value: set };
  if (Array.isArray(value)) {
    const index = Number(head);
    if (!Number.isInteger(index) || index < 0 || index >= value.length)
      throw new ConfigError(`--set ${text}: ${String(head)} is not one of the list's entries 0 to ${value.length - 1}`);
    return value.map((item, i) => (i === index ? applyOverride(item, below) : item));
  }
  if (value !== undefined && value !== null && !isRecord(value))
    throw new ConfigError(`--set ${text}: there is nothing below a ${typeof value} to set`);
  const record = isRecord(value) ? value : {};
  return { ...record, [head]: applyOverride(record[String(head)], below) };
}

/** The override that a path lies in, if any. */
export const overriding = (overrides: readonly Override[], path: Path): Override | undefined =>
  overrides.findLast((o) => o.path.every((key, i) => i < path.length && String(path[i]) === String(key)));
