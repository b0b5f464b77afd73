/** Files that may have been meant. */
import { readdirSync } from 'node:fs';
import { basename, dirname, extname } from 'node:path';
import { nearest } from './nearest.js';

/** What all of a kind end with makes no two of them near. */
const stem = (name: string): string => basename(name, extname(name));

/**
 * `; did you mean 'pin.yaml'?` behind the message about a file that is not there; nothing for other errors, or where no name is near.
 * @param names of shipped ones, which go without a folder
 */
export function nearestFile(error: unknown, path: string, names: readonly string[] = []): string {
  if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT')) return '';
  const word = stem(path);
  const files = filesIn(dirname(path));
  const beside = nearest(word, files.map(stem));
  const name = beside === null ? nearest(word, names) : (files.find((each) => stem(each) === beside) ?? null);
  return name === null ? '' : `; did you mean '${name}'?`;
}

function filesIn(folder: string): readonly string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}
