/**
 * A text that somebody else has sent, fit for a terminal: control characters, with which it could move the cursor, change
 * colours or worse, and those that turn the direction of what follows, are shown as `?`. Line breaks and tabs stay.
 */
export const printable = (text: string): string =>
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  text.replaceAll(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/g, '?');
