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
  // one of the same kind rather than another
  const alike = files.filter((each) => extname(each) === extname(path));
  const name = nearestStem(word, alike) ?? nearest(word, names) ?? nearestStem(word, files);
  return name === null ? '' : `; did you mean '${name}'?`;
}

function nearestStem(word: string, files: readonly string[]): string | null {
  const near = nearest(word, files.map(stem));
  return near === null ? null : (files.find((each) => stem(each) === near) ?? null);
}

function filesIn(folder: string): readonly string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}
