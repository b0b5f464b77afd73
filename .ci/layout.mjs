/**
 * Prints src/machine/layout/generated.ts anew from its rows; with --check says, by its exit code, whether it is as they have it.
 * It needs no build: the build needs what it prints.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { rolldown } from 'rolldown';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const target = join(root, 'src/machine/layout/generated.ts');
const folder = mkdtempSync(join(tmpdir(), 'pinfall-layout-'));
try {
  const bundle = await rolldown({ input: join(root, 'src/machine/layout/print.ts'), logLevel: 'silent' });
  const program = join(folder, 'print.mjs');
  await bundle.write({ file: program });
  const { printLayout } = await import(pathToFileURL(program).href);
  const printed = join(folder, 'generated.ts');
  writeFileSync(printed, printLayout());
  execFileSync(join(root, 'node_modules/.bin/oxfmt'), ['-c', join(root, '.oxfmtrc.json'), printed]);
  const text = readFileSync(printed, 'utf8');
  if (!process.argv.includes('--check')) writeFileSync(target, text);
  else if (readFileSync(target, 'utf8') !== text) {
    console.error('src/machine/layout/generated.ts is stale: npm run layout:update');
    process.exitCode = 1;
  }
} finally {
  rmSync(folder, { recursive: true });
}
