/** Files that may have been meant. */
import { readdirSync } from 'node:fs';
import { basename, dirname, extname } from 'node:path';
import { nearest } from './nearest.js';

/**
 * `; did you mean 'pin.yaml'?` behind the message about a file that is not there; nothing for other errors, or where no name is near.
 * @param names of shipped ones, which go without a folder
 */
export function nearestFile(error: unknown, path: string, names: readonly string[] = []): string {
  if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT')) return '';
  const word = basename(path);
  const beside = nearest(word, filesIn(dirname(path)));
  const name = beside ?? nearest(basename(word, extname(word)), names);
  return name === null ? '' : `; did you mean '${name}'?`;
}

function filesIn(folder: string): readonly string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}
