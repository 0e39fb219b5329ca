import { ConfigError } from '@crossfold/shared/errors';
import type { z } from 'zod';
import { parseOptions, problemsOf } from './issues.ts';
import type { Override } from './overrides.ts';
import { applyOverride, overriding } from './overrides.ts';
import type { Source } from './yaml.ts';

/**
 * A source's value with overrides applied, as its schema reads it.
 * @throws ConfigError for the first thing that is wrong
 */
export function checked<S extends z.ZodType>(
  schema: S,
  source: Source,
  file: string,
  overrides: readonly Override[] = [],
): z.output<S> {
  const value = overrides.reduce(applyOverride, source.value);
  const parsed = schema.safeParse(value, parseOptions);
  if (parsed.success) return parsed.data;
  const [problem] = problemsOf(schema, value, parsed.error.issues);
  if (problem === undefined) throw parsed.error;
  const { path, ...rest } = problem;
  const override = overriding(overrides, path);
  const line = source.lineOf(path);
  const where =
    override !== undefined ? { file: `--set ${override.text}` } : { file, ...(line === undefined ? {} : { line }) };
  throw new ConfigError({ field: path.map(String).join('.') || 'the file', ...rest, ...where });
}
