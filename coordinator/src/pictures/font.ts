/**
 * A font of 5 x 7 dots for captions: containers have no fonts. Each letter is seven rows of five bits, as hexadecimal
 * digits (two a row).
 */
const glyphs: Readonly<Record<string, string>> = {
  ' ': '00000000000000',
  '!': '04040404000400',
  '%': '18190204081303',
  '(': '02040808080402',
  ')': '08040202020408',
  '+': '0004041f040400',
  ',': '00000000040408',
  '-': '0000001f000000',
  '.': '00000000000c0c',
  '/': '00010204081000',
  '0': '0e11131519110e',
  '1': '040c040404040e',
  '2': '0e11010204081f',
  '3': '1f02040201110e',
  '4': '02060a121f0202',
  '5': '1f101e0101110e',
  '6': '0608101e11110e',
  '7': '1f010204080808',
  '8': '0e11110e11110e',
  '9': '0e11110f01020c',
  ':': '000c0c000c0c00',
  '=': '00001f001f0000',
  '?': '0e110102040004',
  _: '0000000000001f',
  '>': '08040201020408',
  '<': '02040810080402',
  a: '00000e010f110f',
  b: '10101619111916',
  c: '00000e1010110e',
  d: '01010d1311130d',
  e: '00000e111f100e',
  f: '0609081c080808',
  g: '00000f110f010e',
  h: '10101619111111',
  i: '04000c0404040e',
  j: '02000602020a04',
  k: '10101214181412',
  l: '0c04040404040e',
  m: '00001a15151111',
  n: '00001619111111',
  o: '00000e1111110e',
  p: '00001e111e1010',
  q: '00000d130f0101',
  r: '00001619101010',
  s: '00000e100e011e',
  t: '08081c08080906',
  u: '0000111111130d',
  v: '000011110a0a04',
  w: '0000111115150a',
  x: '0000110a040a11',
  y: '000011110f010e',
  z: '00001f0204081f',
};

const marks = { width: 5, height: 7, advance: 6 } as const;

/** The least height of a line of text, and the width of a letter with its gap, in dots. */
export const textHeight = marks.height;
export const textWidth = (text: string): number => text.length * marks.advance;

/** Calls back for each dot of a text; letters are small, and what the font lacks is a question mark. */
export function drawText(text: string, dot: (x: number, y: number) => void): void {
  [...text.normalize('NFKD').replaceAll(/\p{M}/gu, '').toLowerCase()].forEach((letter, i) => {
    const rows = glyphs[letter] ?? glyphs['?'] ?? '';
    for (let y = 0; y < marks.height; y++) {
      const bits = Number.parseInt(rows.slice(2 * y, 2 * y + 2), 16);
      for (let x = 0; x < marks.width; x++) if ((bits >> (marks.width - 1 - x)) & 1) dot(i * marks.advance + x, y);
    }
  });
}
