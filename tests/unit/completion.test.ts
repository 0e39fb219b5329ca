import { execFileSync } from 'node:child_process';
import { main } from '@crossfold/coordinator/cli/main';
import { describe, expect, it } from 'vitest';
import { fakeWorld } from '../support/fake-client.ts';

async function scriptFor(shell: string): Promise<string> {
  const world = fakeWorld({});
  expect(await main(['completion', shell], world.context)).toBe(0);
  return world.out();
}

describe('completion', () => {
  it('gives bash verbs, options and their values', async () => {
    const script = await scriptFor('bash');
    const complete = (...words: string[]): string[] => {
      const test = `${script}\nCOMP_WORDS=("$@"); COMP_CWORD=$(($#-1)); _crossfold; printf '%s\\n' "\${COMPREPLY[@]}"`;
      const out = execFileSync('bash', ['-c', test, 'bash', 'crossfold', ...words], { encoding: 'utf8' });
      return out.trim().split('\n');
    };
    expect(complete('re')).toEqual(['resume', 'remove', 'refit', 'report']);
    expect(complete('run', '--dr')).toEqual(['--dry-run']);
    expect(complete('worker', '--exchange', '')).toEqual(['auto', 'nats', 'direct']);
    expect(complete('inspect', '')).toEqual(['summary', 'activations', 'augment']);
    expect(complete('inspect', 'summary', '--j')).toEqual(['--json']);
    expect(complete('completion', '')).toEqual(['bash', 'zsh', 'fish']);
    expect(complete('run', 'examples/mnist-k')).toEqual(['examples/mnist-kfold.yaml']);
  });

  it('tells zsh and fish the same', async () => {
    expect(await scriptFor('zsh')).toMatch(/'--exchange\[how gradients travel\]:value:\(auto nats direct\)'/);
    expect(await scriptFor('fish')).toContain(
      "complete -c crossfold -n '__fish_seen_subcommand_from worker' -l exchange -x -a 'auto nats direct' -d 'how gradients travel'",
    );
  });
});
