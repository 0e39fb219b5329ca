import type { ConfigProblem } from '@crossfold/shared/errors';
import { ConfigError } from '@crossfold/shared/errors';
import type { z } from 'zod';
import type { Path, Problem } from './issues.ts';
import { parseOptions, problemsOf } from './issues.ts';
import type { Override } from './overrides.ts';
import { applyOverride, overriding } from './overrides.ts';
import type { Source } from './yaml.ts';

/**
 * A source's value with overrides applied, as its schema reads it.
 * @param also what is wrong with a value that the schema has nothing against
 * @throws ConfigError for the first thing that is wrong
 */
export function checked<S extends z.ZodType>(
  schema: S,
  source: Source,
  file: string,
  overrides: readonly Override[] = [],
  also: (value: z.output<S>) => Problem | undefined = () => undefined,
): z.output<S> {
  const value = overrides.reduce(applyOverride, source.value);
  const parsed = schema.safeParse(value, parseOptions);
  const problem = parsed.success ? also(parsed.data) : problemsOf(schema, value, parsed.error.issues)[0];
  if (parsed.success && problem === undefined) return parsed.data;
  if (problem === undefined) throw parsed.error;
  const { path, ...rest } = problem;
  const where = placeOf(source, file, overrides, path);
  throw new ConfigError({ field: path.map(String).join('.') || 'the file', ...rest, ...where });
}

/** Where a field stands: in an override, or on a line of the file. */
export function placeOf(
  source: Source,
  file: string,
  overrides: readonly Override[],
  path: Path,
): Pick<ConfigProblem, 'file' | 'line'> {
  const override = overriding(overrides, path);
  if (override !== undefined) return { file: `--set ${override.text}` };
  const line = source.lineOf(path);
  return { file, ...(line === undefined ? {} : { line }) };
}
