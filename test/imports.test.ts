/**
 * What a module gives to others, others take: an export that nobody imports is dead code, or a name that belongs to its file alone. And
 * modules do not lean on each other in circles. Found by what files import by name, tests and build scripts included.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const ROOT = fileURLToPath(new URL('..', import.meta.url));

/** Loaded by their path, so that no import names what they export; or lists that are whole whoever reads them. */
const LOADED: Readonly<Record<string, string>> = {
  'actors/index.ts': 'by workers, and for their blocking form (.ci/blocking.mjs)',
  'src/machine/words/words-wasm.ts': "stands for '#words' in the blocking form",
  'src/machine/words/words-checked.ts': "stands for '#words' in the checking build",
  'src/machine/words/words-ordered.ts': "stands for '#words' on one thread",
  'src/machine/words/words.ts': "stands for '#words' on threads",
  'src/machine/layout/generated.ts': 'printed from the rows, all constants alike',
  'src/machine/layout/print.ts': 'by .ci/layout.mjs',
  'src/lab/litmus/threads/file-observer.ts': 'by the workers of a test, as the observer of their runs',
  'src/lab/litmus/threads/registers.ts': 'by workers, as the observer of their runs',
  'src/locks/classes.ts': 'the numbers of the rows, all alike',
  'src/machine/abi.ts': "the kernel's enumerations, whole",
  'src/machine/entries.ts': 'the bits of entries, whole',
};

/** Types that no file names, but what the compiler infers elsewhere does. */
const INFERRED = new Set(['FunctionRow', 'LitmusRow', 'OperationRow', 'TermListRow']);

const codeOf = (text: string): string => text.replace(/\/\*[\s\S]*?\*\/|^\s*\/\/[^\n]*/gm, '');

/** The names that `export` statements give away, without `export ... from`. */
function exportedBy(text: string): string[] {
  const code = codeOf(text);
  const declared = code.matchAll(
    /^export (?:declare )?(?:abstract )?(?:async )?(?:function\*?|const|let|class|interface|type|enum) +([A-Za-z_$][\w$]*)/gm,
  );
  const listed = [...code.matchAll(/^export (?:type )?\{([^}]*)\}(?!\s*from)/gm)].flatMap(([, names = '']) =>
    names.split(',').flatMap((name) => /(?:^|as\s+|type\s+)([\w$]+)\s*$/.exec(name.trim())?.[1] ?? []),
  );
  return [...[...declared].map(([, name]) => name as string), ...listed];
}

/** The names that a file takes from each module that it names: `*` = all of them. */
function takenBy(text: string): { from: string; names: readonly string[] }[] {
  const code = codeOf(text);
  const named = [...code.matchAll(/(?:import|export)\s+(?:type\s+)?\{([^}]*)\}\s*from\s*['"]([^'"]+)['"]/g)].map(
    ([, names = '', from = '']) => ({
      from,
      names: names.split(',').flatMap((name) => /^(?:type\s+)?([\w$]+)/.exec(name.trim())?.[1] ?? []),
    }),
  );
  const whole = [
    ...code.matchAll(
      /(?:import|export)\s+(?:type\s+)?\*(?:\s+as\s+[\w$]+)?\s+from\s*['"]([^'"]+)['"]|import\(\s*['"]([^'"]+)['"]/g,
    ),
  ].map(([, from, dynamic]) => ({ from: (from ?? dynamic) as string, names: ['*'] }));
  return [...named, ...whole];
}

const FILES = execFileSync('git', ['ls-files', 'src', 'actors', 'test', '.ci'], { cwd: ROOT, encoding: 'utf8' })
  .split('\n')
  .filter((path) => /\.(?:ts|tsx|cts|mjs)$/.test(path) && existsSync(join(ROOT, path)));
const known = new Set(FILES);

/** The file that an import leads to, or null: a package. */
function fileOf(from: string, name: string): string | null {
  const alias = /^#(src|actors|test)\/(.*)$/.exec(name);
  let path: string;
  if (alias !== null) path = `${alias[1]}/${alias[2]}`;
  else if (name.startsWith('.')) path = normalize(join(dirname(from), name));
  else return null;
  path = path.replace(/^dist\//, '');
  for (const each of [
    path,
    path.replace(/\.js$/, '.ts'),
    path.replace(/\.js$/, '.tsx'),
    path.replace(/\.cjs$/, '.cts'),
  ]) {
    if (known.has(each)) return each;
  }
  return null;
}

describe('this test', () => {
  it('sees what is exported and what is imported', () => {
    const text = `export const a = 1;\nexport function* b() {}\nexport type { C } from './c.js';\nexport { d as e, type F };\n// export const no = 1;\n`;
    expect(exportedBy(text)).toEqual(['a', 'b', 'e', 'F']);
    const taking = `import { a, type B as X } from './a.js';\nimport type { C } from './c.js';\nimport * as all from './d.js';\nawait import('./e.js');\nexport { f as g } from './f.js';\n`;
    expect(takenBy(taking)).toEqual([
      { from: './a.js', names: ['a', 'B'] },
      { from: './c.js', names: ['C'] },
      { from: './f.js', names: ['f'] },
      { from: './d.js', names: ['*'] },
      { from: './e.js', names: ['*'] },
    ]);
  });
});

const texts = new Map(FILES.map((path) => [path, readFileSync(join(ROOT, path), 'utf8')]));

describe('exports', () => {
  const taken = new Map<string, Set<string>>();
  for (const [path, text] of texts) {
    for (const { from, names } of takenBy(text)) {
      const file = fileOf(path, from);
      if (file === null || file === path) continue;
      const set = taken.get(file) ?? new Set();
      taken.set(file, set);
      for (const name of names) set.add(name);
    }
  }

  /** What nobody takes of a file by its name. */
  const untaken = (path: string): string[] => {
    const names = taken.get(path) ?? new Set();
    return exportedBy(texts.get(path) as string).filter((name) => !names.has(name));
  };
  const dead = FILES.filter((path) => /^(?:src|actors)\//.test(path) && !(path in LOADED)).flatMap((path) =>
    taken.get(path)?.has('*') === true ? [] : untaken(path).map((name) => ({ path, name })),
  );

  it('are taken by another file', () => {
    expect(taken.size).toBeGreaterThan(300);
    expect(dead.filter(({ name }) => !INFERRED.has(name))).toEqual([]);
  });

  it('are excepted only where nobody takes some of them', () => {
    const stale = Object.keys(LOADED).filter((path) => !known.has(path) || untaken(path).length === 0);
    expect(stale).toEqual([]);
    expect([...INFERRED].filter((name) => !dead.some((each) => each.name === name))).toEqual([]);
  });
});

/** Files that come back to themselves by their imports, types included: the strongly connected parts of more than one, after Tarjan. */
function circlesOf(graph: ReadonlyMap<string, readonly string[]>): string[][] {
  const found: string[][] = [];
  const index = new Map<string, number>();
  const low = new Map<string, number>();
  const open: string[] = [];
  const visit = (path: string): void => {
    index.set(path, index.size);
    let lowest = index.get(path) as number;
    open.push(path);
    for (const next of graph.get(path) ?? []) {
      if (!index.has(next)) visit(next);
      if (open.includes(next)) lowest = Math.min(lowest, low.get(next) ?? (index.get(next) as number));
    }
    low.set(path, lowest);
    if (lowest !== index.get(path)) return;
    const part = open.splice(open.indexOf(path));
    if (part.length > 1) found.push(part.toSorted());
  };
  for (const path of graph.keys()) if (!index.has(path)) visit(path);
  return found;
}

/** Circles that stay, each with its reason. */
const CIRCLES: Readonly<Record<string, string>> = {
  'src/machine/context.ts src/machine/kernel-record.ts':
    "a context has its kernel, whose functions take a context; of types only (the kernel's task_struct and its operations likewise)",
};

describe('circles', () => {
  it('are seen', () => {
    const graph = new Map([
      ['a', ['b', 'd']],
      ['b', ['c']],
      ['c', ['a']],
      ['d', []],
    ]);
    expect(circlesOf(graph)).toEqual([['a', 'b', 'c']]);
  });

  it('are none but those that are named', () => {
    const graph = new Map(
      [...texts].map(([path, text]) => [
        path,
        takenBy(text).flatMap(({ from }) => {
          const file = fileOf(path, from);
          return file === null || file === path ? [] : [file];
        }),
      ]),
    );
    expect(circlesOf(graph).map((circle) => circle.join(' '))).toEqual(Object.keys(CIRCLES));
  });
});
