import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { writeTokenOf } from '@crossfold/shared/http/write-token';
import { afterAll, describe, expect, it } from 'vitest';

const token = '0123456789abcdef';
const folder = mkdtempSync(join(tmpdir(), 'crossfold-token-'));
const file = join(folder, 'token');
afterAll(() => rmSync(folder, { recursive: true }));

describe('the token for writing', () => {
  it('is not there unless it is given', () => {
    expect(writeTokenOf({})).toBeUndefined();
    expect(writeTokenOf({ CROSSFOLD_PAGE_TOKEN: '', CROSSFOLD_PAGE_TOKEN_FILE: '' })).toBeUndefined();
  });

  it('is taken from the environment, or from a file', () => {
    writeFileSync(file, `${token}\n`);
    for (const env of [{ CROSSFOLD_PAGE_TOKEN: token }, { CROSSFOLD_PAGE_TOKEN_FILE: file }]) {
      const check = writeTokenOf(env);
      expect(check?.allows(`Bearer ${token}`)).toBe(true);
      expect(check?.allows(`bearer ${token}`)).toBe(true);
      for (const wrong of [
        undefined,
        '',
        token,
        'Bearer',
        'Bearer ',
        `Bearer ${token}0`,
        `Bearer ${token.toUpperCase()}`,
      ])
        expect(check?.allows(wrong)).toBe(false);
    }
  });

  it.each([
    [
      { CROSSFOLD_PAGE_TOKEN: 'short' },
      /^CROSSFOLD_PAGE_TOKEN must hold a token of 16 to 512 visible ASCII characters/,
    ],
    [{ CROSSFOLD_PAGE_TOKEN: 'with spaces within it' }, /without spaces/],
    [
      { CROSSFOLD_PAGE_TOKEN_FILE: join(folder, 'none') },
      /^CROSSFOLD_PAGE_TOKEN_FILE: .*none cannot be read \(ENOENT\)$/,
    ],
    [{ CROSSFOLD_PAGE_TOKEN: token, CROSSFOLD_PAGE_TOKEN_FILE: file }, /both set/],
  ])('is refused where it is none: %o', (env, message) => {
    expect(() => writeTokenOf(env)).toThrow(message);
  });

  it('is not told by what is wrong with it', () => {
    expect(() => writeTokenOf({ CROSSFOLD_PAGE_TOKEN: 'secret word' })).toThrow(/^(?!.*secret)/);
  });
});
