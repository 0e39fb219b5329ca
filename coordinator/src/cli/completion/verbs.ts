import type { Command, Option } from 'commander';

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
  /** Whether it may be given several times. */
  readonly repeats: boolean;
  /** Values that it may have, where they are few. */
  readonly choices: readonly string[];
}

/** What every verb has, as the parser adds it by itself. */
const helpOption: VerbOption = {
  long: '--help',
  short: '-h',
  summary: 'show how to use it, with examples',
  takesValue: false,
  repeats: false,
  choices: [],
};

/** All verbs of a program, those above others included, in their order, and `help`. */
export const verbsOf = (program: Command): Verb[] => [
  ...verbsBelow(program, []),
  {
    path: ['help'],
    summary: 'show how to use a verb',
    options: [],
    takes: 'nothing',
    choices: program.commands.map((command) => command.name()),
  },
];

function verbsBelow(program: Command, path: readonly string[]): Verb[] {
  return program.commands.flatMap((command) => {
    const own = [...path, command.name()];
    const [first] = command.registeredArguments;
    const names = command.registeredArguments.map((argument) => argument.name());
    return [
      {
        path: own,
        summary: command.summary() || command.description(),
        options: [...command.options.map(optionOf), helpOption],
        takes: first?.argChoices === undefined ? takesOf(names) : 'nothing',
        choices: first?.argChoices ?? [],
      },
      ...verbsBelow(command, own),
    ];
  });
}

const optionOf = (option: Option): VerbOption => ({
  long: option.long ?? '',
  short: option.short,
  summary: option.description,
  takesValue: option.required || option.optional,
  repeats: Array.isArray(option.defaultValue),
  choices: option.argChoices ?? [],
});

/** Runs lie in folders below `runs`, which their ids name too. */
function takesOf(names: readonly string[]): Verb['takes'] {
  if (names.length === 0) return 'nothing';
  return names.some((name) => /\bid\b|model/.test(name)) ? 'runs' : 'files';
}
