/**
 * The structure that the design promises, held by a test: rooms import downwards only, kernel code is free of clocks and chance,
 * machine words are touched through accessors, and no file outgrows its reader. Exceptions are named here, each with its reason.
 */
import { execFileSync } from 'node:child_process';
import { readFileSync, readdirSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const ROOT = fileURLToPath(new URL('..', import.meta.url));

/** The rooms from the ground up. `words` is the access module of the machine; `front` is the package's face. */
const ROOMS = [
  'errors',
  'machine',
  'events',
  'locks',
  'hyp',
  'mm',
  'kvm',
  'policies',
  'zoo',
  'oracle',
  'plan',
  'actors',
  'engine',
  'trace',
  'lab',
  'dashboard',
  'cli',
  'front',
];
/** Rooms beside the stack: they may import from anywhere, and nothing imports from them. */
const BESIDE = new Set(['types']);
const KERNEL_ROOMS = new Set(['machine', 'events', 'locks', 'hyp', 'mm', 'kvm']);
/** Rooms whose code is the simulated machine's: words only through '#words'. */
const WORD_ROOMS = new Set(['hyp', 'mm', 'kvm', 'policies', 'zoo']);

interface Source {
  /** From the root: `src/mm/gup/gup.ts`. */
  readonly path: string;
  readonly room: string;
  readonly text: string;
  /** Without comments and strings, line by line as the original. */
  readonly code: string;
}

const roomOf = (path: string): string => {
  const [top, room, file] = path.split('/');
  if (top === 'actors') return 'actors';
  return file === undefined ? 'front' : (room as string);
};

function sources(): Source[] {
  return ['src', 'actors'].flatMap((top) =>
    readdirSync(join(ROOT, top), { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.ts'))
      .map((name) => `${top}/${name.replaceAll('\\', '/')}`)
      .toSorted()
      .map((path) => {
        const text = readFileSync(join(ROOT, path), 'utf8');
        return { path, room: roomOf(path), text, code: codeOf(text) };
      }),
  );
}

/** Blanks out comments and the insides of strings; line breaks stay. */
function codeOf(text: string): string {
  return text.replace(/\/\*[\s\S]*?\*\/|\/\/[^\n]*|'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"/g, (match) =>
    match.replace(/[^\n]/g, ' '),
  );
}

/** Every module that a file names, types included: import, export from, import(). */
function importsOf(text: string): string[] {
  const withoutComments = text.replace(/\/\*[\s\S]*?\*\/|^\s*\/\/[^\n]*/gm, '');
  return [...withoutComments.matchAll(/(?:from|import)\s*\(?\s*['"]([^'"]+)['"]/g)].map((match) => match[1] as string);
}

/** The room of an imported module, or null: a package. */
function roomOfImport(from: string, name: string): string | null {
  if (name === '#words') return 'machine';
  const alias = /^#(src|actors)\/(.*)$/.exec(name);
  if (alias !== null) return roomOf(`${alias[1]}/${alias[2]}`);
  if (!name.startsWith('.')) return null;
  return roomOf(relative(ROOT, resolve(ROOT, dirname(from), name)).replaceAll('\\', '/'));
}

const lineOf = (text: string, index: number): number => text.slice(0, index).split('\n').length;

/** `src/mm/gup/gup.ts:12 what` for each match. */
function matches({ path, code }: Source, pattern: RegExp): string[] {
  return [...code.matchAll(pattern)].map((match) => `${path}:${lineOf(code, match.index)} ${match[0].trim()}`);
}

const FILES = sources();

describe('this test', () => {
  it('sees every form of an import, and no comment', () => {
    const text =
      "import {\n  a,\n  type B,\n} from '../a.js';\nimport type C from './c.js';\nimport './d.js';\nexport * from './e.js';\n// from './f.js'\n/* import './g.js' */\nawait import('./h.js');\n";
    expect(importsOf(text)).toEqual(['../a.js', './c.js', './d.js', './e.js', './h.js']);
    expect(roomOfImport('src/mm/gup/gup.ts', '../../machine/abi.js')).toBe('machine');
    expect(roomOfImport('actors/vmm.ts', '../src/mm/memory/zap.js')).toBe('mm');
    expect(roomOfImport('src/engine/x.ts', '../../actors/index.js')).toBe('actors');
    expect(roomOfImport('src/cli/main.ts', '../index.js')).toBe('front');
    expect(roomOfImport('src/cli/main.ts', 'commander')).toBeNull();
  });

  it('reads code without comments and strings', () => {
    expect(codeOf("a(); // words[1]\n'words[2]'; /* words[3] */ w[4]")).toMatch(/^a\(\);\s+'?\s+;?\s+.*w\[4\]$/s);
    expect(
      matches({ path: 'p', room: '', text: '', code: codeOf("// words[1]\n'words[2]'; w[4]") }, BARE_WORDS),
    ).toEqual(['p:2 w[']);
  });
});

describe('rooms', () => {
  it('are all known', () => {
    expect(
      [...new Set(FILES.map(({ room }) => room))].filter((room) => !ROOMS.includes(room) && !BESIDE.has(room)),
    ).toEqual([]);
    expect(FILES.length).toBeGreaterThan(80);
  });

  it('import only from rooms below them', () => {
    const upwards = FILES.filter(({ room }) => ROOMS.includes(room)).flatMap(({ path, room, text }) =>
      importsOf(text).flatMap((name) => {
        const other = roomOfImport(path, name);
        if (other === null || other === room) return [];
        return ROOMS.includes(other) && ROOMS.indexOf(other) < ROOMS.indexOf(room) ? [] : [`${path} imports ${name}`];
      }),
    );
    expect(upwards).toEqual([]);
  });

  it('take the words from #words, so that other builds replace them everywhere', () => {
    // what replaces them takes from them what it leaves as it is
    const others = FILES.filter(({ path }) => !/\/words-(checked|ordered|wasm)\.ts$/.test(path));
    const direct = others.flatMap(({ path, text }) =>
      importsOf(text)
        .filter((name) => /\/words\/words(-checked|-wasm)?\.js$/.test(name))
        .map((name) => `${path} imports ${name}`),
    );
    expect(direct).toEqual([]);
  });
});

describe('who is no actor', () => {
  it('looks at words: `peek`, and whatever else one-thread runs hold against the order of accesses, is for kernels', () => {
    const watching = FILES.filter(({ path }) => /^src\/(oracle|trace|lab|cli|dashboard)\//.test(path));
    const peeking = watching.filter(({ text }) =>
      [...text.matchAll(/import \{([^}]*)\} from '#words'/g)].some(([, names = '']) =>
        /\b(get|peek|readOnce)\b/.test(names.replaceAll(/look as \w+/g, '')),
      ),
    );
    expect(peeking.map(({ path }) => path)).toEqual([]);
  });
});

describe('kernel code', () => {
  const kernel = FILES.filter(({ room }) => KERNEL_ROOMS.has(room));

  it('imports no package and no Node API', () => {
    const foreign = kernel.flatMap(({ path, text }) =>
      importsOf(text)
        .filter((name) => roomOfImport(path, name) === null)
        .map((name) => `${path} imports ${name}`),
    );
    expect(foreign).toEqual([]);
  });

  it('knows no clock, no chance, no timers and no process', () => {
    const forbidden =
      /\b(?:Date|performance|process|console|setTimeout|setImmediate|setInterval|queueMicrotask|require)\b(?=\s*[.(])|Math\.random/g;
    expect(kernel.flatMap((file) => matches(file, forbidden))).toEqual([]);
  });

  it('never puts its thread to sleep: only a host does, and a writer whose reader is slow', () => {
    expect(kernel.filter(({ room }) => room !== 'events').flatMap((file) => matches(file, /Atomics\.wait\b/g))).toEqual(
      [],
    );
  });
});

/** Bare indices into the machine's words. */
const BARE_WORDS = /\b(?:words|w)\[/g;
/** Who may use them outside src/machine and src/locks. */
const BARE_ALLOWED: Readonly<Record<string, string>> = {
  'src/mm/page-alloc.ts': "zone code, all of it under the zone lock or on frames in nobody's reach; hot",
  'src/mm/boot.ts': 'fills a machine that nobody runs on yet',
};
/** Counters of the actor itself: words that nobody else writes. */
const OWN_COUNTER = /^.*\b(?:statsAt|faultsAt|scannedAt|recordAt)\b.*$/;

describe("the machine's words", () => {
  it('are touched through accessors by kernel code, policies and planted bugs', () => {
    const bare = FILES.filter(({ path, room }) => WORD_ROOMS.has(room) && !(path in BARE_ALLOWED)).flatMap((file) => {
      const lines = file.code.split('\n');
      return matches(file, BARE_WORDS).filter((match) => {
        const line = lines[Number(/:(\d+) /.exec(match)?.[1]) - 1] as string;
        return !OWN_COUNTER.test(line);
      });
    });
    expect(bare).toEqual([]);
  });

  it('have no exception without a reason or a use', () => {
    for (const [path, reason] of Object.entries(BARE_ALLOWED)) {
      const file = FILES.find((source) => source.path === path);
      expect([path, reason.length > 20, file !== undefined && matches(file, BARE_WORDS).length > 0]).toEqual([
        path,
        true,
        true,
      ]);
    }
  });
});

const LINES_MAX = 400;
/** Files that may be longer, and why they are one. */
const LONG_ALLOWED: Readonly<Record<string, string>> = {
  'src/machine/layout/generated.ts':
    "the machine's memory, printed from its rows: offsets and where they stand belong on one page",
};

describe('files', () => {
  it(`have at most ${LINES_MAX} lines`, () => {
    const long = FILES.filter(({ path, text }) => !(path in LONG_ALLOWED) && text.split('\n').length > LINES_MAX + 1);
    expect(long.map(({ path, text }) => `${path}: ${text.split('\n').length - 1} lines`)).toEqual([]);
  });

  it('are long only where that is named', () => {
    for (const path of Object.keys(LONG_ALLOWED)) {
      const file = FILES.find((source) => source.path === path);
      expect(file?.text.split('\n').length, path).toBeGreaterThan(LINES_MAX);
    }
  });

  it('begin by saying what they are', () => {
    expect(FILES.filter(({ text }) => !/^(?:#![^\n]*\n)?\/\*\*/.test(text)).map(({ path }) => path)).toEqual([]);
  });
});

/** A folder that holds more than a reader takes in at once has rooms in it that are not told apart. */
const FLAT_MAX = 21;
/** Folders that may hold more, and why. */
const FLAT_ALLOWED: Readonly<Record<string, string>> = {
  'src/zoo': 'one planted bug, one file: a list, read by its names',
};

describe('rooms and what stands in them', () => {
  const flat = new Map<string, number>();
  for (const { path } of FILES) flat.set(dirname(path), (flat.get(dirname(path)) ?? 0) + 1);

  it(`hold at most ${FLAT_MAX} files side by side`, () => {
    const crowded = [...flat].filter(([folder, count]) => count > FLAT_MAX && !(folder in FLAT_ALLOWED));
    expect(crowded).toEqual([]);
  });

  it('are excepted only where they hold more, and still there', () => {
    for (const folder of Object.keys(FLAT_ALLOWED)) expect(flat.get(folder), folder).toBeGreaterThan(FLAT_MAX);
    expect([...BESIDE].filter((room) => !FILES.some((file) => file.room === room))).toEqual([]);
  });
});

describe('the top level', () => {
  it('holds what must stand there, and nothing that a command has left', () => {
    const tracked = execFileSync('git', ['ls-files'], { cwd: ROOT, encoding: 'utf8' }).trim().split('\n');
    const names = new Set(tracked.map((path) => path.split('/')[0] as string));
    const configuration = [
      '.ci',
      '.gitignore',
      '.oxfmtrc.json',
      '.oxlintrc.json',
      'package-lock.json',
      'tsconfig.test.json',
      'vitest.config.ts',
    ];
    const fixed = ['package.json', 'tsconfig.json', 'src', 'actors', 'test', 'README.md', 'CHANGELOG.md', 'LICENSE'];
    expect([...names].toSorted()).toEqual([...configuration, ...fixed].toSorted());
  });
});
