// The files that npm would pack, as npm itself finds them: paths from the root, sorted. Run by itself it prints them as JSON.
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import packlist from 'npm-packlist';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
const files = await packlist({ path: root, package: manifest, isProjectRoot: true, edgesOut: new Map() });
console.log(JSON.stringify(files.toSorted()));
