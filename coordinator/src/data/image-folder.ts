import { readdir, readFile, realpath, stat } from 'node:fs/promises';
import { join, sep } from 'node:path';
import { sha256 } from '@crossfold/shared/data/digest';
import { ConfigError } from '@crossfold/shared/errors';
import { hasImageEnding } from '@crossfold/worker/data/decode-image';
import { inParallel } from '../in-parallel.ts';
import { unreadable } from '../read-file.ts';

/** A picture in a folder. */
export interface FolderFile {
  /** Relative to the data set's folder, with `/` between folders. */
  readonly path: string;
  readonly label: number;
  readonly bytes: number;
  /** Why it cannot be used, known without opening it. */
  readonly problem?: string;
}

export interface ImageFolder {
  readonly classes: readonly string[];
  /** Sorted by part (train, validation), class and name: the data set's order. */
  readonly train: readonly FolderFile[];
  /** Where the folder has a validation part: its first sample. */
  readonly validationFrom: number | undefined;
  readonly test: readonly FolderFile[] | null;
  /** Files that are no pictures by their names, and were left alone. */
  readonly ignored: number;
}

/** What the folder of a part may be called; documented in docs/photographs.md. */
const partNames = {
  train: /^train(ing)?([-_ ]?(set|data|images))?$/i,
  validation: /^(val|valid|validation|dev)([-_ ]?(set|data|images))?$/i,
  test: /^test(ing)?([-_ ]?(set|data|images))?$/i,
} as const;
type Part = keyof typeof partNames;
const parts = ['train', 'validation', 'test'] as const satisfies readonly Part[];

/** Files that are asked for at a time: a hundred thousand, one after another, take minutes. */
const filesAtOnce = 16;
/** Larger files are no photographs. */
export const maxPictureBytes = 64 * 1024 * 1024;
/** Pictures of kinds that are not read are named rather than ignored. */
const unread = /\.(gif|bmp|tiff?|heic|heif|avif|jp2|jxl|svg|psd|raw|cr2|nef|dng)$/i;
/** Whether a file's name is one of a picture of a format that is not read. */
export const isUnreadPicture = (path: string): boolean => unread.test(path);

/**
 * Lists the pictures of a folder that has a sub-folder for each class, or `train`, `validation` and `test` above those,
 * by these names or others that are as plain (`Train`, `val`, `test_set`).
 * Classes are sorted by name, and files by their path within the class, as Python sorts them (by code point), so that
 * classes and samples are numbered as in Keras. Hidden files and files that are no pictures by their names are left
 * alone. What is known to be of no use is marked: empty and huge files, and files that lie under several classes.
 *
 * @param given the folder as the user wrote it, for messages
 * @throws ConfigError where the folder is not laid out so, or holds links that lead out of it
 */
export async function scanImageFolder(folder: string, given: string): Promise<ImageFolder> {
  const scan = new Scan(await realpath(folder).catch(() => folder), given);
  const top = await scan.folders('');
  const named = await partsOf(scan, top);
  if (named === undefined) {
    const classes = await scan.classes('', top);
    return withoutContradictions(
      scan,
      scan.finish(classes, { train: classes, validation: undefined, test: undefined }),
    );
  }
  const of = async (part: string | undefined): Promise<Classes | undefined> =>
    part === undefined ? undefined : scan.classes(part, await scan.folders(part));
  const [train = new Map(), validation, test] = [
    await of(named.train),
    await of(named.validation),
    await of(named.test),
  ];
  return withoutContradictions(scan, scan.finish(train, { train, validation, test }));
}

/**
 * The folders of the parts, as they are called; undefined where those at the top are classes: a class may well be called
 * `train`, and then has pictures in it rather than folders.
 *
 * @throws ConfigError where they could be taken for either
 */
async function partsOf(scan: Scan, top: readonly string[]): Promise<{ readonly [part in Part]?: string } | undefined> {
  const named = parts.map((part) => top.filter((name) => partNames[part].test(name)));
  const all = named.flat();
  const withFolders: string[] = [];
  for (const name of all) if ((await scan.folders(name)).length > 0) withFolders.push(name);
  const must =
    'it must hold either one folder a class, or train/, validation/ and test/ with one folder a class in each';
  if (withFolders.length === 0) {
    if (all.length < 2 || all.length < top.length) return undefined;
    throw scan.wrong(
      `holds ${foldersText(all)}, which are named as parts are, and no folders of classes in them; ${must}`,
    );
  }
  const twice = named.find((names) => names.length > 1);
  if (twice !== undefined)
    throw scan.wrong(`holds ${foldersText(twice)}, which are both named as the same part is; keep one of them`);
  const [[train] = [], [validation] = [], [test] = []] = named;
  if (train === undefined)
    throw scan.wrong(
      `holds ${foldersText(withFolders)} with folders in ${withFolders.length === 1 ? 'it' : 'them'}, as the parts of a data set have, and no train/; call the part to train on train/, name one of the parts by itself, as in ${join(scan.given, withFolders[0] ?? '')}, or, of a class, have its pictures in its folder without others between`,
    );
  const others = top.filter((name) => !all.includes(name));
  if (others.length > 0) throw scan.wrong(`holds ${foldersText(others)} beside ${train}/; ${must}`);
  return {
    train,
    ...(validation === undefined ? {} : { validation }),
    ...(test === undefined ? {} : { test }),
  };
}

const foldersText = (names: readonly string[]): string => firstOf(names.map((name) => `${name}/`));

/**
 * Files of the same content in the folders of several classes cannot be used, any of them: nobody knows which is right.
 * Only files of equal length are read.
 */
async function withoutContradictions({ root }: Scan, folder: ImageFolder): Promise<ImageFolder> {
  const all = [...folder.train, ...(folder.test ?? [])].filter(({ problem }) => problem === undefined);
  const problems = new Map<string, string>();
  const contradict = (files: readonly FolderFile[]): boolean => files.some(({ label }) => label !== files[0]?.label);
  for (const alike of groupsOf(
    all,
    all.map(({ bytes }) => String(bytes)),
  ).filter(contradict)) {
    const digests: string[] = [];
    await inParallel(alike, filesAtOnce, async ({ path }, i) => {
      digests[i] = await readFile(join(root, path)).then(sha256, () => path);
    });
    for (const same of groupsOf(alike, digests).filter(contradict))
      for (const { path, label } of same) {
        const other = same.find((file) => file.label !== label)?.path ?? '';
        problems.set(path, `is the same picture as ${other.slice(0, 300)}, which is of another class`);
      }
  }
  if (problems.size === 0) return folder;
  const mark = (file: FolderFile): FolderFile => {
    const problem = problems.get(file.path);
    return problem === undefined ? file : { ...file, problem };
  };
  return { ...folder, train: folder.train.map(mark), test: folder.test?.map(mark) ?? null };
}

/** Those of equal keys together, in order. */
function groupsOf<T>(items: readonly T[], keys: readonly string[]): T[][] {
  const groups = new Map<string, T[]>();
  items.forEach((item, i) => {
    const key = keys[i] ?? '';
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [item]);
    else group.push(item);
  });
  return [...groups.values()];
}

interface Listed {
  readonly path: string;
  readonly bytes: number;
  readonly problem?: string;
}
type Classes = ReadonlyMap<string, readonly Listed[]>;

/** Code-point order, which UTF-16's is not: where neither has a surrogate they are the same. */
const byName = (a: string, b: string): number =>
  surrogate.test(a) || surrogate.test(b) ? Buffer.compare(Buffer.from(a), Buffer.from(b)) : a < b ? -1 : a > b ? 1 : 0;
const surrogate = /[\ud800-\udfff]/;

const shownNames = 20;
/** Of many names the first. */
export const firstOf = (names: readonly string[]): string =>
  [...names.slice(0, shownNames), ...(names.length > shownNames ? [`and ${names.length - shownNames} more`] : [])].join(
    ', ',
  );

class Scan {
  readonly root: string;
  readonly given: string;
  readonly #links: string[] = [];
  #ignored = 0;

  constructor(root: string, given: string) {
    this.root = root;
    this.given = given;
  }

  wrong(allowed: string): ConfigError {
    return new ConfigError({ field: 'dataset.path', value: this.given, allowed });
  }

  /** Names of the folders in a folder, sorted. */
  async folders(path: string): Promise<string[]> {
    const entries = await this.#entries(path);
    const linked = entries.filter((entry) => entry.isSymbolicLink());
    for (const entry of linked)
      if (
        await stat(join(this.root, path, entry.name)).then(
          (s) => s.isDirectory(),
          () => false,
        )
      )
        this.#links.push(`${join(path, entry.name)} (a folder that is a link)`);
    return entries.flatMap((entry) => (entry.isDirectory() ? [entry.name] : [])).sort(byName);
  }

  /** The pictures of each class, by the class's name (in composed form, whatever the file system prefers). */
  async classes(part: string, names: readonly string[]): Promise<Classes> {
    const classes = new Map<string, Listed[]>();
    for (const name of names) {
      const files = await this.#files(part === '' ? name : `${part}/${name}`);
      const composed = name.normalize('NFC');
      classes.set(composed, [...(classes.get(composed) ?? []), ...files]);
    }
    const strayed = (await this.#entries(part)).filter((e) => e.isFile() && hasImageEnding(e.name));
    if (strayed.length > 0)
      throw this.wrong(
        `holds ${strayed.length === 1 ? 'a picture' : `${strayed.length} pictures`} ${part === '' ? 'beside the folders of the classes' : `in ${part}/ itself`} (${firstOf(strayed.map((e) => e.name))}); each must lie in the folder of its class`,
      );
    return classes;
  }

  finish(
    all: Classes,
    of: { train: Classes; validation: Classes | undefined; test: Classes | undefined },
  ): ImageFolder {
    if (this.#links.length > 0)
      throw this.wrong(`holds links that are not followed: ${firstOf([...new Set(this.#links)])}`);
    const classes = [...all.keys()].sort(byName);
    if (classes.length === 0 || [...all.values()].every((files) => files.length === 0))
      throw this.wrong(
        'holds no pictures; it must hold one folder a class, with JPEG, PNG or WebP files, or train/, validation/ and test/ with such folders',
      );
    if (classes.length < 2)
      throw this.wrong(`holds one class only, ${JSON.stringify(classes[0])}; there must be at least two`);
    for (const [name, files] of all)
      if (files.length === 0) throw this.wrong(`holds no pictures of class ${JSON.stringify(name)}`);
    for (const part of ['validation', 'test'] as const)
      for (const name of of[part]?.keys() ?? [])
        if (!classes.includes(name))
          throw this.wrong(
            `has a class ${JSON.stringify(name)} in its ${part} part that is not in the one to train on`,
          );
    const tested = [...(of.test ?? [])].flatMap(([name, files]) => (files.length > 0 ? [name] : []));
    if (tested.length === 1)
      throw this.wrong(
        `holds pictures of one class only, ${JSON.stringify(tested[0])}, to test on, so that a score would say nothing; add those of the other classes, or take the test part away`,
      );
    const list = (part: Classes | undefined): FolderFile[] =>
      classes.flatMap((name, label) =>
        [...(part?.get(name) ?? [])].sort((a, b) => byName(a.path, b.path)).map((file) => ({ ...file, label })),
      );
    const [train, validation, test] = [list(of.train), list(of.validation), list(of.test)];
    return {
      classes,
      train: [...train, ...validation],
      validationFrom: validation.length === 0 ? undefined : train.length,
      test: test.length === 0 ? null : test,
      ignored: this.#ignored,
    };
  }

  /** All pictures below a folder. */
  async #files(path: string): Promise<Listed[]> {
    const [listed, found]: [Listed[], string[]] = [[], []];
    for (const entry of await this.#entries(path)) {
      const inner = `${path}/${entry.name}`;
      // One by one: a call takes some hundred thousand parameters at most.
      if (entry.isDirectory()) for (const file of await this.#files(inner)) listed.push(file);
      else if (entry.isSymbolicLink() && (await this.#leadsAstray(inner))) continue;
      else if (!hasImageEnding(entry.name) && !isUnreadPicture(entry.name) && entry.name.includes('.')) this.#ignored++;
      else found.push(inner);
    }
    const files: Listed[] = [];
    await inParallel(found, filesAtOnce, async (file, i) => {
      files[i] = await this.#file(file);
    });
    for (const file of files) listed.push(file);
    return listed;
  }

  async #file(path: string): Promise<Listed> {
    const found = await stat(join(this.root, path)).catch(unreadable);
    if (typeof found === 'string') return { path, bytes: 0, problem: found };
    if (!found.isFile()) return { path, bytes: 0, problem: 'is not a file but a pipe, a socket or a device' };
    const { size } = found;
    if (size === 0) return { path, bytes: 0, problem: 'is empty' };
    if (size > maxPictureBytes)
      return {
        path,
        bytes: size,
        problem: `has ${size} bytes, more than the ${maxPictureBytes} that a picture may have`,
      };
    return isUnreadPicture(path)
      ? { path, bytes: size, problem: 'is not of a kind that is read: convert it to JPEG, PNG or WebP' }
      : { path, bytes: size };
  }

  /** Links to files within the folder are as good as the files; all others are refused. */
  async #leadsAstray(path: string): Promise<boolean> {
    const target = await realpath(join(this.root, path)).catch(() => undefined);
    const within = target?.startsWith(this.root + sep) === true;
    const isFile =
      within &&
      (await stat(target).then(
        (s) => s.isFile(),
        () => false,
      ));
    if (!isFile)
      this.#links.push(
        `${path} (${target === undefined ? 'leads nowhere' : within ? 'a folder' : `leads out of the folder, to ${target}`})`,
      );
    return !isFile;
  }

  async #entries(path: string) {
    const entries = await readdir(join(this.root, path), { withFileTypes: true }).catch(
      (error: NodeJS.ErrnoException) => {
        if (error.code === 'ENOENT') throw this.wrong(`there is no folder ${join(this.root, path)}`);
        if (error.code === 'ENOTDIR') throw this.wrong('must be a folder, and is a file');
        throw this.wrong(`cannot be read: ${error.message}`);
      },
    );
    return entries.filter(({ name }) => !name.startsWith('.') && name !== '__MACOSX' && name !== 'Thumbs.db');
  }
}
