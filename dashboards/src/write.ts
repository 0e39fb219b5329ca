/** Writes the boards as Grafana reads them to json/; `npm run dashboards`. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { boards, text } from './boards.ts';

const folder = resolve(import.meta.dirname, '../json');
mkdirSync(folder, { recursive: true });
for (const [file, board] of Object.entries(boards())) writeFileSync(join(folder, file), text(board));
