import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { ExitCode } from '@crossfold/shared/errors';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parse } from 'yaml';

interface Job {
  readonly spec: {
    readonly podFailurePolicy: { readonly rules: readonly { readonly onExitCodes: { readonly values: number[] } }[] };
    readonly template: { readonly spec: { readonly containers: readonly { readonly command: readonly string[] }[] } };
  };
}
const job = parse(readFileSync(resolve(import.meta.dirname, '../../k8s/job/job.yaml'), 'utf8')) as Job;
const [shell = '', flags = '', script = ''] = job.spec.template.spec.containers[0]?.command ?? [];

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'crossfold-job-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** Runs the Job's script on a volume of its own, with a command line that only notes what it is asked for. */
function start(verdicts: { readonly submit?: number; readonly resume?: number }): {
  code: number | null;
  asked: string[];
} {
  const asked = join(folder, 'asked');
  writeFileSync(asked, '');
  writeFileSync(
    join(folder, 'crossfold'),
    `#!/bin/sh
echo "$*" >>"${asked}"
case $1 in
  submit) [ ${verdicts.submit ?? 0} != 0 ] || echo an-experiment; exit ${verdicts.submit ?? 0};;
  resume) exit ${verdicts.resume ?? 0};;
esac
`,
    { mode: 0o755 },
  );
  const env = { PATH: `${folder}:${process.env.PATH}`, JOB_UID: 'uid' };
  const { status } = spawnSync(shell, [flags, script.replaceAll('/runs', folder)], { env, timeout: 10_000 });
  return { code: status, asked: readFileSync(asked, 'utf8').trim().split('\n') };
}
const submission = 'submit /experiment/experiment.yaml';

describe('the Job that submits an experiment', () => {
  it('submits it once, and follows it to its end', () => {
    const following = `resume an-experiment --out ${folder}/an-experiment`;
    expect(start({ resume: ExitCode.unreachable })).toEqual({ code: 3, asked: [submission, following] });
    expect(start({ resume: ExitCode.failed })).toEqual({ code: 1, asked: [following] });
    expect(start({})).toEqual({ code: 0, asked: [following] });
  });

  it.each([ExitCode.usage, ExitCode.unreachable, ExitCode.interrupted])(
    'ends with the code %i of a submission that did not succeed, and submits again if started again',
    (code) => {
      expect(start({ submit: code })).toEqual({ code, asked: [submission] });
      expect(start({}).asked).toHaveLength(2);
    },
  );

  it('gives up for good where the experiment is at fault alone', () => {
    expect(job.spec.podFailurePolicy.rules.map(({ onExitCodes }) => onExitCodes.values)).toEqual([
      [ExitCode.failed, ExitCode.usage],
    ]);
  });
});
