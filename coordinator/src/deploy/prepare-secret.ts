/** What the Job in k8s/base runs: `node prepare-secret.js NAME`. */
import { CrossfoldError, ExitCode } from '@crossfold/shared/errors';
import { accessFromPod, ensureSecret } from './kubernetes-secret.ts';

const [name] = process.argv.slice(2);
try {
  if (name === undefined) throw new CrossfoldError('usage: node prepare-secret.js NAME', ExitCode.usage);
  const made = await ensureSecret(await accessFromPod(process.env), name);
  process.stdout.write(`secret ${name} ${made ? 'made' : 'is there'}\n`);
} catch (error) {
  process.stderr.write(`crossfold: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = error instanceof CrossfoldError ? error.exitCode : ExitCode.failed;
}
