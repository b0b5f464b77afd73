/**
 * What somebody gets who installs pinfall, as this checkout has it: which releases of Node the dependencies want, what they take on disk,
 * and which of our files go along. `npm run soak:install` installs it for real.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, readdirSync, statSync } from 'node:fs';
import { dirname, join, posix, relative } from 'node:path';
import semver from 'semver';
import { beforeAll, describe, expect, it } from 'vitest';
import { ROOT, start } from './cli/run.js';

const NODES = ['20.19.0', '22.12.0', '24.0.0'];
const MEGABYTES_MAX = 60;
const FILES_MAX = 1600;
const BLOCK = 4096;

interface Locked {
  readonly version: string;
  readonly dev?: boolean;
  readonly devOptional?: boolean;
  readonly optional?: boolean;
  readonly engines?: { readonly node?: string };
}

const json = (path: string): unknown => JSON.parse(readFileSync(join(ROOT, path), 'utf8'));
/** By folder: what a consumer gets beside us. Of packages for other machines the lock file alone knows. */
const installed = Object.entries((json('package-lock.json') as { packages: Record<string, Locked> }).packages).filter(
  ([path, { dev, devOptional, optional }]) =>
    path !== '' && !dev && !devOptional && (!optional || existsSync(join(ROOT, path))),
);

const onDisk = (bytes: number): number => Math.ceil(bytes / BLOCK) * BLOCK;

/** Bytes of a package's own files and folders, in blocks. */
function sizeOf(folder: string): number {
  return readdirSync(folder, { withFileTypes: true }).reduce((sum, entry) => {
    const path = join(folder, entry.name);
    if (!entry.isDirectory()) return sum + onDisk(statSync(path).size);
    return entry.name === 'node_modules' ? sum : sum + sizeOf(path);
  }, BLOCK);
}

let packed: ReadonlySet<string>;
beforeAll(() => {
  packed = new Set(JSON.parse(execFileSync(process.execPath, ['.ci/packed.mjs'], { cwd: ROOT, encoding: 'utf8' })));
});

/** What `from` leads to, itself included, by the paths that its files name. */
function reached(from: readonly string[], pathsIn: (text: string) => Iterable<string>): readonly string[] {
  const files = new Set(from);
  for (const file of files) {
    if (!existsSync(join(ROOT, file))) continue;
    for (const path of pathsIn(readFileSync(join(ROOT, file), 'utf8'))) {
      files.add(path.startsWith('#words') ? 'dist/src/machine/words/words.js' : posix.join(posix.dirname(file), path));
    }
  }
  return [...files];
}

function* matches(text: string, pattern: RegExp): Generator<string> {
  for (const [, path] of text.matchAll(pattern)) if (path !== undefined) yield path;
}

const isPacked = (link: string): boolean => [...packed].some((path) => path === link || path.startsWith(`${link}/`));

const moduleOf = (code: string): string => `data:text/javascript,${encodeURIComponent(code)}`;

describe('the dependencies of a consumer', () => {
  it.each(NODES)('run on Node %s', (node) => {
    expect(installed.length).toBeGreaterThan(50);
    const refused = installed.filter(([, { engines }]) => !semver.satisfies(node, engines?.node ?? '*'));
    expect(refused.map(([path, { engines }]) => `${path} wants ${engines?.node}`)).toEqual([]);
  });

  it(`take less than ${MEGABYTES_MAX} MB, pinfall included`, () => {
    const ours = [...packed].reduce((sum, path) => sum + onDisk(statSync(join(ROOT, path)).size), 0);
    const theirs = installed.reduce((sum, [path]) => sum + sizeOf(join(ROOT, path)), 0);
    expect((ours + theirs) / 2 ** 20).toBeLessThan(MEGABYTES_MAX);
    expect(theirs / 2 ** 20).toBeGreaterThan(20);
  });
});

describe('the package', () => {
  it('has what its commands, workers and types load, and no more', () => {
    const code = reached(
      [
        'dist/src/index.js',
        'dist/src/cli/main.js',
        'dist/src/engine/host/worker-entry.cjs',
        'dist/blocking/kernel.js',
        'dist/noisy/kernel.js',
      ],
      (text) => matches(text, /(?:from|import|import\(|new URL\()\s*['"](\.[^'"]+\.c?js|#words)['"]/g),
    );
    const types = reached(['dist/types/src/index.d.ts'], (text) =>
      [...matches(text, /(?:from|import\()\s*['"](\.[^'"]+)\.js['"]/g)].map((path) => `${path}.d.ts`),
    );
    expect(code.length).toBeGreaterThan(500);
    expect(types.length).toBeGreaterThan(50);
    const missing = [...code, ...types].filter((path) => !packed.has(path));
    expect(missing).toEqual([]);
    expect([...packed].filter((path) => path.endsWith('.d.ts') && !types.includes(path))).toEqual([]);
    expect(
      [...packed].filter((path) => /(^|\/)(bench|testing|test)\b.*\.(c?js|map|c)$|tsbuildinfo|\.stamp/.test(path)),
    ).toEqual(['dist/actors/bench.js', 'dist/actors/bench.js.map']);
    expect(packed.size).toBeLessThan(FILES_MAX);
  });

  it("has all that its README's links lead to, and says where it comes from", () => {
    const links = [...matches(readFileSync(join(ROOT, 'README.md'), 'utf8'), /\]\((?!https?:|#)([^)#\s]+)/g)];
    expect(links.length).toBeGreaterThan(5);
    expect(links.map((link) => relative('.', link)).filter((link) => !isPacked(link))).toEqual([]);
    const { repository, homepage, bugs } = json('package.json') as Record<string, unknown>;
    expect([repository, homepage, bugs]).not.toContain(undefined);
    expect(readFileSync(join(ROOT, 'CHANGELOG.md'), 'utf8')).toContain(
      `\n## ${(json('package.json') as { version: string }).version}`,
    );
  });
});

describe('scenario files', () => {
  it('name their JSON Schema, which is as the checks have it', () => {
    execFileSync(process.execPath, ['.ci/scenario-schema.mjs', '--check'], { cwd: ROOT, stdio: 'pipe' });
    for (const folder of ['src/lab/scenarios', 'src/lab/bench/scenarios']) {
      for (const name of readdirSync(join(ROOT, folder))) {
        const text = readFileSync(join(ROOT, folder, name), 'utf8');
        const [, schema = ''] = /^# yaml-language-server: \$schema=(\S+)\n/.exec(text) ?? [];
        expect([name, relative(ROOT, join(ROOT, folder, schema))]).toEqual([name, 'src/lab/scenario.schema.json']);
      }
    }
  });
});

it('PNG charts without a converter are refused in one line, before anything is measured', async () => {
  const hook = `export const resolve = (name, context, next) => {
    if (name === '@resvg/resvg-js') throw new Error('not installed');
    return next(name, context);
  }`;
  const register = moduleOf(`import { register } from 'node:module'; register(${JSON.stringify(moduleOf(hook))});`);
  const args = [
    '--import',
    register,
    join(dirname(import.meta.dirname), 'dist/src/cli/main.js'),
    'tune',
    'pin-race',
    '--chart',
    'x.png',
  ];
  const { code, out, err } = await start(process.execPath, args).done;
  expect([code, out]).toEqual([2, '']);
  expect(err).toMatch(/^pinfall: --chart: PNG needs @resvg\/resvg-js \(npm install @resvg\/resvg-js\)[^\n]*\n$/);
});
