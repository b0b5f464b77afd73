// Builds the dashboard's page into dist/dashboard, when it is older than its sources. Plain Vite, nothing from outside:
// the page's content security policy allows scripts and styles from its own server only, so nothing is inlined either.
import { readdirSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const page = join(root, 'src/dashboard/page');
const out = join(root, 'dist/dashboard');

const modified = (file) => {
  try {
    return statSync(file).mtimeMs;
  } catch {
    return 0;
  }
};
const sources = [
  fileURLToPath(import.meta.url),
  join(root, 'src/dashboard/protocol.ts'),
  join(root, 'node_modules/.package-lock.json'),
  ...readdirSync(page, { recursive: true, encoding: 'utf8' }).map((name) => join(page, name)),
];

if (modified(join(out, 'index.html')) < Math.max(...sources.map(modified))) {
  const { build } = await import('vite');
  await build({
    configFile: false,
    envDir: false,
    publicDir: false,
    root: page,
    base: './',
    logLevel: 'warn',
    build: {
      outDir: out,
      emptyOutDir: true,
      target: 'es2022',
      assetsInlineLimit: 0,
      modulePreload: { polyfill: false },
      reportCompressedSize: false,
    },
  });
}
