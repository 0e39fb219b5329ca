import type { Command } from 'commander';

/** What a shell has to know of a verb. */
export interface Verb {
  /** Words that lead to it, as in `inspect summary`. */
  readonly path: readonly string[];
  readonly summary: string;
  readonly options: readonly VerbOption[];
  /** What its arguments are. */
  readonly takes: 'runs' | 'files' | 'nothing';
  /** Words that an argument may be, where they are few. */
  readonly choices: readonly string[];
}

export interface VerbOption {
  readonly long: string;
  readonly short: string | undefined;
  readonly summary: string;
  readonly takesValue: boolean;
  /** Values that it may have, where they are few. */
  readonly choices: readonly string[];
}

/** All verbs of a program, those above others included, in their order. */
export function verbsOf(program: Command, path: readonly string[] = []): Verb[] {
  return program.commands.flatMap((command) => {
    const own = [...path, command.name()];
    const [first] = command.registeredArguments;
    const names = command.registeredArguments.map((argument) => argument.name());
    return [
      {
        path: own,
        summary: command.summary() || command.description(),
        options: command.options.map((option) => ({
          long: option.long ?? '',
          short: option.short,
          summary: option.description,
          takesValue: option.required || option.optional,
          choices: option.argChoices ?? [],
        })),
        takes: first?.argChoices === undefined ? takesOf(names) : 'nothing',
        choices: first?.argChoices ?? [],
      },
      ...verbsOf(command, own),
    ];
  });
}

/** Runs lie in folders below `runs`, which their ids name too. */
function takesOf(names: readonly string[]): Verb['takes'] {
  if (names.length === 0) return 'nothing';
  return names.some((name) => /\bid\b|model/.test(name)) ? 'runs' : 'files';
}
