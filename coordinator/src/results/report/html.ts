/** Markup that is safe to put into a page. */
export interface Html {
  readonly html: string;
}

/** What may stand in a template: text is escaped, markup is taken as it is, lists are joined, undefined is nothing. */
export type Part = Html | string | number | undefined | readonly Part[];

/** A template of markup; everything that is put into it is escaped, unless it is markup already. */
export function html(strings: TemplateStringsArray, ...parts: readonly Part[]): Html {
  return { html: strings.reduce((text, string, i) => text + render(parts[i - 1]) + string) };
}

/** Markup from a source that is known to be safe. */
export const raw = (text: string): Html => ({ html: text });

function render(part: Part): string {
  if (part === undefined) return '';
  if (typeof part === 'string') return escapeHtml(part);
  if (typeof part === 'number') return String(part);
  return 'html' in part ? part.html : part.map(render).join('');
}

/** Escapes text for element content and for quoted attributes. */
export const escapeHtml = (text: string): string =>
  text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;')
    .replaceAll("'", '&#39;');
