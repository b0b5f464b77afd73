/** Files written whole or not at all. */
import { realpathSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';

/**
 * Writes a file under a temporary name beside it, then renames it. A link keeps its place, and what is no regular file (a pipe,
 * `/dev/null`) is written to. Leaves nothing behind where it fails.
 * @throws what the file system says
 */
export function writeFileWhole(path: string, data: string | Uint8Array): void {
  const found = statSync(path, { throwIfNoEntry: false });
  if (found !== undefined && !found.isFile()) {
    writeFileSync(path, data);
    return;
  }
  const target = found === undefined ? path : realpathSync(path);
  const temporary = `${target}.${process.pid}.tmp`;
  try {
    writeFileSync(temporary, data);
    renameSync(temporary, target);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  }
}
