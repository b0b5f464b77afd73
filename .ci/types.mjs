// Copies the declarations that the package's own lead to, and no others, into dist/types: what a program that imports
// pinfall is checked against.
import { copyFileSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

const dist = join(dirname(dirname(fileURLToPath(import.meta.url))), 'dist');
const files = new Set([join(dist, 'src/index.d.ts')]);
for (const file of files) {
  for (const [, path] of readFileSync(file, 'utf8').matchAll(/(?:from|import)\s*\(?\s*['"](\.[^'"]+)\.js['"]/g)) {
    files.add(join(dirname(file), `${path}.d.ts`));
  }
}
rmSync(join(dist, 'types'), { recursive: true, force: true });
for (const file of files) {
  const to = join(dist, 'types', relative(dist, file));
  mkdirSync(dirname(to), { recursive: true });
  copyFileSync(file, to);
}
