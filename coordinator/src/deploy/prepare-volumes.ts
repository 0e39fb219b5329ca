/** What docker-compose.yml runs before everything else: `node prepare-volumes.js BROKER_FOLDER SECRETS_FOLDER`. */
import { prepareVolumes } from './volumes.ts';

const [broker, secrets] = process.argv.slice(2);
if (broker === undefined || secrets === undefined) {
  process.stderr.write('usage: node prepare-volumes.js BROKER_FOLDER SECRETS_FOLDER\n');
  process.exitCode = 2;
} else {
  const made = await prepareVolumes({ broker, secrets });
  process.stdout.write(made.length === 0 ? 'secrets are there\n' : `made secrets: ${made.join(', ')}\n`);
}
