/** What a report says is worth doing next, as a command that works where this one was started. */
import { existsSync, realpathSync } from 'node:fs';
import { delimiter, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

/** How a process was started, as far as it can see. */
interface Started {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
  /** The program's path, as the shell or npm named it; and where it and its package really are. */
  readonly program: string;
  readonly main: string;
  readonly root: string;
}

const main = fileURLToPath(new URL('../main.js', import.meta.url));
const here = (): Started => ({
  env: process.env,
  cwd: process.cwd(),
  program: process.argv[1] ?? main,
  main,
  root: fileURLToPath(new URL('../../../../', import.meta.url)),
});

const isWithin = (folder: string, path: string): boolean => !relative(folder, path).startsWith('..');

/** The words before a command's name. */
export function startWords({ env, cwd, program, main: itself, root }: Started): string {
  if (env['npm_command'] === 'exec' || env['npm_lifecycle_event'] === 'npx') return 'npx pinfall';
  if (env['npm_lifecycle_event'] === 'start' && env['npm_package_name'] === 'pinfall') {
    const where = env['INIT_CWD'] ?? root;
    return isWithin(root, where) ? 'npm start --silent --' : `npm --prefix ${quoted(resolve(root))} start --silent --`;
  }
  const isOurs = (path: string): boolean => existsSync(path) && realpathSync(path) === realpathSync(itself);
  const onPath = (env['PATH'] ?? '')
    .split(delimiter)
    .some((folder) => folder !== '' && isOurs(join(folder, 'pinfall')));
  if (onPath) return 'pinfall';
  if (isOurs(join(cwd, 'node_modules', '.bin', 'pinfall'))) return 'npx pinfall';
  const path = relative(cwd, program);
  return `node ${quoted(path.startsWith('..') ? program : path)}`;
}

/** A word as a shell takes it. */
export const quoted = (word: string): string =>
  /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;

let words: string | null = null;

/** The words before a command's name, here. */
export const startText = (): string => (words ??= startWords(here()));

/** `Next: npm start --silent -- replay x.schedule   # the same again`. */
export function nextCommand(args: readonly string[], why: string): string {
  return `Next: ${[startText(), ...args.map(quoted)].join(' ')}   # ${why}`;
}
