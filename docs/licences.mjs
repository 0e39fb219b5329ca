/**
 * Writes docs/licences.md: every npm package that is shipped (what `npm ci --omit=dev` installs), with its version and
 * licence, from package-lock.json. `npm run docs`; a test sees to it that it is up to date.
 */
import { writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { shipped } from '../setup/sbom.mjs';

export const licences = () => `# Licences of what is shipped

<!-- Made by npm run docs from package-lock.json. -->

Crossfold itself is under Apache-2.0 (LICENSE). Beside the npm packages below it uses TensorFlow's library (Apache-2.0,
from the wheel \`tensorflow-cpu\` or \`tensorflow\`), the broker nats-server (Apache-2.0), and in its image Node.js (MIT).
sharp's own libraries (\`@img/sharp-libvips-*\`) are LGPL-3.0-or-later: they are linked dynamically and can be exchanged.

| package | version | licence |
| --- | --- | --- |
${shipped()
  .map(({ name, version, licence }) => `| ${name} | ${version} | ${licence} |`)
  .join('\n')}
`;

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href)
  writeFileSync(resolve(import.meta.dirname, 'licences.md'), licences());
