import { createHash, timingSafeEqual } from 'node:crypto';
import { ConfigError } from '../errors.ts';
import { readTextFile } from '../text-file.ts';

/** Variables that hold the token, or name a file that does. */
const variables = { token: 'CROSSFOLD_PAGE_TOKEN', file: 'CROSSFOLD_PAGE_TOKEN_FILE' } as const;
/** Nobody guesses that many characters over a network. */
const leastCharacters = 16;
const mostCharacters = 512;

/** What proves that whoever sends a request may change something. */
export interface WriteToken {
  /**
   * Whether a request's `Authorization` header is `Bearer` and the token. Takes the same time whatever is sent: digests
   * are compared, not texts.
   */
  allows(authorization: string | undefined): boolean;
}

/**
 * The token that the environment gives, by itself or in a file; undefined where it gives none, and all is read-only.
 *
 * @throws ConfigError where the file cannot be read, or the token is too short to keep anybody out
 */
export function writeTokenOf(env: NodeJS.ProcessEnv): WriteToken | undefined {
  const [given, file] = [env[variables.token] ?? '', env[variables.file] ?? ''];
  if (given !== '' && file !== '')
    throw new ConfigError(`${variables.token} and ${variables.file} are both set: set one of them`);
  if (given === '' && file === '') return undefined;
  const field = given === '' ? variables.file : variables.token;
  const token = given === '' ? read(file) : given.trim();
  // What it is stays out of the message.
  if (!/^[\x21-\x7e]+$/.test(token) || token.length < leastCharacters || token.length > mostCharacters)
    throw new ConfigError(
      `${field} must hold a token of ${leastCharacters} to ${mostCharacters} visible ASCII characters without spaces; openssl rand -hex 24 makes one`,
    );
  return tokenCheck(token);
}

/** The check of a token. */
export function tokenCheck(token: string): WriteToken {
  const digest = (text: string): Buffer => createHash('sha256').update(text).digest();
  const right = digest(token);
  return {
    allows: (authorization = '') => {
      const sent = /^Bearer +(\S+) *$/i.exec(authorization)?.[1] ?? '';
      return timingSafeEqual(digest(sent), right) && sent !== '';
    },
  };
}

function read(file: string): string {
  try {
    return readTextFile(file).trim();
  } catch (error) {
    throw new ConfigError(
      `${variables.file}: ${file} cannot be read (${error instanceof Error ? error.message : String(error)})`,
    );
  }
}
