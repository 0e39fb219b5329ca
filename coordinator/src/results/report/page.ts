import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { type Html, html, raw } from './html.ts';

export interface PageParts {
  readonly title: string;
  readonly body: Html;
  /** Each a whole script; nothing else is run. */
  readonly scripts: readonly string[];
  /** Whether the page may listen to whoever has served it; it may reach nobody else, and otherwise nobody at all. */
  readonly isLive: boolean;
}

/** A page that holds all that it needs, in the look of a report, with a policy that forbids it everything else. */
export function page({ title, body, scripts, isLive }: PageParts): string {
  const style = asset('report.css');
  const allowed = scripts.map((script) => `'${hash(script)}'`).join(' ');
  const policy = `default-src 'none'; img-src data:; style-src '${hash(style)}'; script-src ${allowed}; ${isLive ? "connect-src 'self'; " : ''}base-uri 'none'; form-action 'none'`;
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${title}</title>
<style>${raw(style)}</style>
</head>
<body>
${body}
${scripts.map((script) => html`<script>${raw(script)}</script>\n`)}</body>
</html>
`.html;
}

/** A file of `coordinator/assets/report`; the same from src/ and from dist/. */
export const asset = (name: string): string =>
  readFileSync(new URL(`../../../assets/report/${name}`, import.meta.url), 'utf8').trim();

const hash = (text: string): string => `sha256-${createHash('sha256').update(text).digest('base64')}`;
