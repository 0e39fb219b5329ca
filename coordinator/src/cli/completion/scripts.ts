import type { Verb, VerbOption } from './verbs.ts';

export const shells = ['bash', 'zsh', 'fish'] as const;
export type Shell = (typeof shells)[number];

/** A shell's script that completes verbs, options, their values, runs and files, without starting the program. */
export function completionScript(shell: Shell, verbs: readonly Verb[]): string {
  return { bash, zsh, fish }[shell](verbs);
}

const top = (verbs: readonly Verb[]): readonly Verb[] => verbs.filter(({ path }) => path.length === 1);
const below = (verbs: readonly Verb[], { path }: Verb): readonly Verb[] =>
  verbs.filter((verb) => verb.path.length === 2 && verb.path[0] === path[0] && path.length === 1);
const lastWord = ({ path }: Verb): string => path.at(-1) ?? '';
const flagsOf = ({ long, short }: VerbOption): string[] => [...(short === undefined ? [] : [short]), long];

function bash(verbs: readonly Verb[]): string {
  const arms = verbs.map((verb) => {
    const words = [...below(verbs, verb).map(lastWord), ...verb.choices].join(' ');
    const flags = verb.options.flatMap(flagsOf).join(' ');
    const values = verb.options.flatMap((option) => {
      if (!option.takesValue) return [];
      const give =
        option.choices.length > 0 ? `COMPREPLY=($(compgen -W '${option.choices.join(' ')}' -- "$cur"))` : files;
      return [`        ${flagsOf(option).join('|')}) ${give}; return ;;`];
    });
    const runs = verb.takes === 'runs' ? `\n      COMPREPLY+=($(compgen -W "$(ls runs 2>/dev/null)" -- "$cur"))` : '';
    const paths = verb.takes === 'nothing' ? '' : `\n      COMPREPLY+=($(compgen -f -- "$cur"))`;
    return `    '${verb.path.join(' ')}')
      case "$prev" in
${[...values, '        *) ;;'].join('\n')}
      esac
      case "$cur" in -*) COMPREPLY=($(compgen -W '${flags}' -- "$cur")); return ;; esac
      COMPREPLY=($(compgen -W '${words}' -- "$cur"))${runs}${paths} ;;`;
  });
  const parents = verbs.filter((verb) => below(verbs, verb).length > 0).map(lastWord);
  return `# crossfold's completion for bash: source <(crossfold completion bash)
_crossfold() {
  local cur="\${COMP_WORDS[COMP_CWORD]}" prev="\${COMP_WORDS[COMP_CWORD-1]}" verb="" word
  COMPREPLY=()
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case "$word" in -*) continue ;; esac
    if [ -z "$verb" ]; then verb="$word"; case "$word" in ${parents.join('|') || "''"}) continue ;; esac; break; fi
    verb="$verb $word"; break
  done
  case "$verb" in
    '') COMPREPLY=($(compgen -W '${[...top(verbs).map(lastWord), '--help', '--version'].join(' ')}' -- "$cur")) ;;
${arms.join('\n')}
  esac
}
complete -o filenames -F _crossfold crossfold
`;
}

const files = 'COMPREPLY=($(compgen -f -- "$cur"))';

function zsh(verbs: readonly Verb[]): string {
  const described = (own: readonly Verb[]): string =>
    own.map((verb) => `'${quoted(`${lastWord(verb)}:${verb.summary.replaceAll(':', '\\:')}`)}'`).join(' ');
  const arms = verbs.map((verb) => {
    const inner = below(verbs, verb);
    const options = verb.options.flatMap((option) =>
      flagsOf(option).map((flag) => {
        const values = option.choices.length > 0 ? `(${option.choices.join(' ')})` : '_files';
        return `'${quoted(`${option.repeats ? '*' : ''}${flag}[${bracketed(option.summary)}]${option.takesValue ? `:value:${values}` : ''}`)}'`;
      }),
    );
    const rest =
      verb.choices.length > 0
        ? `'*:what:(${verb.choices.join(' ')})'`
        : verb.takes === 'runs'
          ? `'*:run:_crossfold_runs'`
          : verb.takes === 'files'
            ? `'*:file:_files'`
            : '';
    const action =
      inner.length > 0
        ? `local -a verbs; verbs=(${described(inner)}); _describe verb verbs`
        : `_arguments -s ${[...options, rest].filter((one) => one !== '').join(' ')}`;
    return `    '${verb.path.join(' ')}') ${action} ;;`;
  });
  const parents = verbs.filter((verb) => below(verbs, verb).length > 0).map(lastWord);
  return `#compdef crossfold
# crossfold's completion for zsh: source <(crossfold completion zsh)
_crossfold_runs() {
  local -a runs; runs=(runs/*(N:t)); compadd -a runs; _files
}
_crossfold() {
  local verb="" depth=1
  if (( CURRENT > 2 )); then
    verb="$words[2]"; depth=2
    if [[ " ${parents.join(' ')} " == *" $verb "* ]] && (( CURRENT > 3 )); then verb="$verb $words[3]"; depth=3; fi
  fi
  if [[ -z "$verb" ]]; then
    local -a verbs; verbs=(${described(top(verbs))}); _describe verb verbs; return
  fi
  shift $(( depth - 1 )) words; (( CURRENT -= depth - 1 ))
  case "$verb" in
${arms.join('\n')}
  esac
}
compdef _crossfold crossfold
`;
}

/** Text inside single quotes of a shell. */
const quoted = (text: string): string => text.replaceAll("'", "'\\''");
const bracketed = (text: string): string => text.replaceAll(/[[\]\\]/g, '\\$&').replaceAll(':', '\\:');

function fish(verbs: readonly Verb[]): string {
  const text = (of: string): string => `'${of.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
  const seen = ({ path }: Verb): string => path.map((word) => `__fish_seen_subcommand_from ${word}`).join('; and ');
  const lines = verbs.flatMap((verb) => {
    const when = text(seen(verb));
    const parent = verb.path.length === 1 ? '__fish_use_subcommand' : seen({ ...verb, path: verb.path.slice(0, -1) });
    return [
      `complete -c crossfold -f -n ${text(parent)} -a ${lastWord(verb)} -d ${text(verb.summary)}`,
      ...verb.options.map(({ long, short, summary, takesValue, choices }) => {
        const value = !takesValue ? '' : choices.length > 0 ? ` -x -a ${text(choices.join(' '))}` : ' -r';
        return `complete -c crossfold -n ${when} -l ${long.slice(2)}${short === undefined ? '' : ` -s ${short.slice(1)}`}${value} -d ${text(summary)}`;
      }),
      ...(verb.choices.length > 0 ? [`complete -c crossfold -f -n ${when} -a ${text(verb.choices.join(' '))}`] : []),
      ...(verb.takes === 'runs' ? [`complete -c crossfold -n ${when} -a '(command ls runs 2>/dev/null)'`] : []),
    ];
  });
  return `# crossfold's completion for fish: crossfold completion fish | source\n${lines.join('\n')}\n`;
}
