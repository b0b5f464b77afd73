/** What a failed file operation means to a user: `no such file`, `not allowed to read it`, or the system's code. */
export function fileProblem(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  switch (code) {
    case 'ENOENT':
      return 'no such file';
    case 'EACCES':
    case 'EPERM':
      return 'not allowed to read it';
    case 'EISDIR':
      return 'a folder, not a file';
    case 'ENOTDIR':
      return 'not a folder';
    default:
      return code || (error instanceof Error ? error.message : String(error));
  }
}

/** The same of a file that was to be written. */
export function writeProblem(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  switch (code) {
    case 'ENOENT':
      return 'no such folder';
    case 'EACCES':
    case 'EPERM':
      return 'not allowed to write it';
    case 'EROFS':
      return 'the file system is read-only';
    case 'ENOSPC':
    case 'EDQUOT':
      return 'no space left';
    case 'EFBIG':
      return 'larger than a file may be here';
    default:
      return fileProblem(error);
  }
}
