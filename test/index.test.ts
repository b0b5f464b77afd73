/** The public face: each name is documented, with since when it is there, and each example compiles against the package itself. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { ROOT } from './cli/run.js';

const TEXT = readFileSync(join(ROOT, 'src/index.ts'), 'utf8');

interface Section {
  readonly doc: string;
  readonly names: readonly string[];
}

/** Doc blocks, each with the names that the exports behind it give. */
function sectionsOf(text: string): Section[] {
  return text
    .split('/**')
    .slice(2)
    .map((part) => {
      const [doc = '', code = ''] = part.split('*/');
      const names = [...code.matchAll(/export (?:type )?\{([^}]*)\}/g)].flatMap(([, list = '']) =>
        list.split(',').flatMap((name) => /([\w$]+)\s*$/.exec(name.trim())?.[1] ?? []),
      );
      return { doc: doc.replaceAll(/^ ?\* ?/gm, ''), names };
    });
}

const SECTIONS = sectionsOf(TEXT);
const examples = SECTIONS.flatMap(({ doc }) =>
  [...doc.matchAll(/```ts\n([\s\S]*?)```/g)].map(([, code]) => code ?? ''),
);

describe('the public names', () => {
  it('are listed one by one, each in a section that says since when, with an example', () => {
    expect(TEXT).not.toMatch(/export \* from/);
    expect(SECTIONS.flatMap(({ names }) => names).length).toBeGreaterThan(50);
    const bare = SECTIONS.filter(({ doc }) => !/@since \d+\.\d+\.\d+/.test(doc) || !doc.includes('```ts'));
    expect(bare.map(({ names }) => names)).toEqual([]);
  });

  it('that are values are named by their docs, and are there', async () => {
    const there = Object.keys(await import('#src/index.js'));
    for (const name of there) {
      const section = SECTIONS.find(({ names }) => names.includes(name));
      expect([name, section?.doc.includes(name)]).toEqual([name, true]);
    }
  });

  it('are used by examples that compile', () => {
    const folder = mkdtempSync(join(ROOT, 'dist/examples-'));
    try {
      const names = SECTIONS.flatMap((section) => section.names);
      examples.forEach((code, i) => {
        const used = names.filter((name) => new RegExp(`\\b${name}\\b`).test(code));
        writeFileSync(
          join(folder, `example-${i}.ts`),
          `import { ${used.join(', ')} } from 'pinfall';\n${code}export {};\n`,
        );
      });
      writeFileSync(
        join(folder, 'tsconfig.json'),
        JSON.stringify({
          extends: join(ROOT, 'tsconfig.json'),
          compilerOptions: {
            noEmit: true,
            incremental: false,
            tsBuildInfoFile: null,
            declaration: false,
            verbatimModuleSyntax: false,
            rootDir: '.',
            typeRoots: [join(ROOT, 'node_modules/@types')],
          },
          include: ['*.ts'],
        }),
      );
      const tsc = join(ROOT, 'node_modules/typescript/bin/tsc');
      const said = (): string => spawnSync(process.execPath, [tsc, '-p', folder], { encoding: 'utf8' }).stdout;
      expect(said()).toBe('');
      // and would not, were they wrong
      writeFileSync(join(folder, 'wrong.ts'), "import { inRange } from 'pinfall';\ninRange('all');\n");
      expect(said()).toMatch(/wrong\.ts\(2,\d+\): error TS/);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
});
