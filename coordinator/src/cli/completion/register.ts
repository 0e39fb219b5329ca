import { Argument } from 'commander';
import type { Register } from '../options.ts';
import type { Shell } from './scripts.ts';
import { completionScript, shells } from './scripts.ts';
import { verbsOf } from './verbs.ts';

/** `completion SHELL`: a script that has a shell complete verbs, options, runs and files. */
export const registerCompletion: Register = (program, context) => {
  program
    .command('completion')
    .summary('print a script for completion by a shell')
    .description(
      'Prints a script that has a shell complete verbs, options, their values, runs and files: put the line below into ~/.bashrc or ~/.zshrc, or the output into ~/.config/fish/completions/crossfold.fish.',
    )
    .addArgument(new Argument('<shell>', 'the shell').choices([...shells]))
    .addHelpText(
      'after',
      '\nExamples:\n  $ source <(crossfold completion bash)\n  $ source <(crossfold completion zsh)\n  $ crossfold completion fish | source',
    )
    .action((shell: Shell) => {
      context.out.write(completionScript(shell, verbsOf(program)));
    });
};
