import { execFileSync } from 'node:child_process';
import { main } from '@crossfold/coordinator/cli/main';
import { describe, expect, it } from 'vitest';
import { fakeWorld } from '../support/fake-client.ts';
import { helped } from '../support/helped.ts';

async function scriptFor(shell: string): Promise<string> {
  const world = fakeWorld({});
  expect(await main(['completion', shell], world.context)).toBe(0);
  return world.out();
}

describe('completion', () => {
  it('knows every verb and option that help does, in every shell', async () => {
    const verbs = await helped();
    expect(verbs.size).toBeGreaterThan(25);
    expect(verbs.get('data import')).toContain('--skip-unusable');
    const scripts = { bash: await scriptFor('bash'), zsh: await scriptFor('zsh'), fish: await scriptFor('fish') };
    const armOf = (script: string, verb: string): string =>
      script.split(`    '${verb}')`)[1]?.split(" ;;\n    '")[0] ?? '';
    const missing = [...verbs].flatMap(([verb, flags]) => {
      const seen = verb.split(' ').map((word) => `__fish_seen_subcommand_from ${word}`);
      const inFish = scripts.fish
        .split('\n')
        .filter((line) => line.includes(`-n '${seen.join('; and ')}' `))
        .join('\n');
      const lacks = (shell: string, has: (flag: string) => boolean): string[] =>
        flags.filter((flag) => !has(flag)).map((flag) => `${shell}: ${verb} ${flag}`);
      return [
        ...lacks('bash', (flag) => armOf(scripts.bash, verb).includes(flag)),
        ...(verb === 'data' || verb === 'inspect'
          ? []
          : lacks('zsh', (flag) => armOf(scripts.zsh, verb).includes(`${flag}[`))),
        ...lacks('fish', (flag) => inFish.includes(`-l ${flag.slice(2)} `)),
      ];
    });
    expect(missing).toEqual([]);
  });

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
