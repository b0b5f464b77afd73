/** Every citation of the kernel model (src/mm/MODEL.md) in code leads to a section that is there, and to steps and rows that it has. */
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

const MODEL = readFileSync('src/mm/MODEL.md', 'utf8');

/** A section's text, up to the next heading of any depth, by its number: `3.10.1`, `5 (e)`. */
const SECTIONS = new Map(
  MODEL.split(/^(?=#{1,4} )/m).flatMap((text) => {
    const number = /^#+ (\d+[A-Z]?(?:\.\d+)*)/.exec(text)?.[1];
    const policy = /^### \(([a-i])\)/.exec(text)?.[1];
    if (policy !== undefined) return [[`5 (${policy})`, text] as const];
    return number === undefined ? [] : [[number, text] as const];
  }),
);

/** Of a section: the numbers of its steps. Lettered parts are `3b`. */
function stepsOf(text: string): Set<string> {
  const steps = new Set<string>();
  let step = '';
  for (const line of text.split('\n')) {
    step = /^(\d+)\. /.exec(line)?.[1] ?? step;
    if (step !== '') steps.add(step);
    for (const [, letter] of line.matchAll(/(?:^|[\s(])([a-h])[.)] /g)) steps.add(`${step}${letter}`);
  }
  return steps;
}

const ROWS = new Set([...(SECTIONS.get('4') ?? '').matchAll(/^\| (\d+) \|/gm)].map(([, row]) => row as string));

interface Citation {
  readonly file: string;
  readonly text: string;
  readonly section: string;
  readonly steps: readonly string[];
  readonly rows: readonly string[];
}

/** A file's text with each comment on one line. */
const unwrapped = (text: string): string => text.replaceAll(/\n\s*(?:\*|\/\/|\(\*)? ?/g, ' ');

const SECTION = /^(\d+[A-Z]?(?:\.\d+)*)( \([a-i]\))?/;
const STEPS =
  /^,? steps? ((?:\d+(?![.\d])(?: ?[a-h](?![a-z]))?(?: to (?:\d+|[a-h](?![a-z])))?(?:(?:, | and )(?=\d+(?![.\d])))?)+)/;
const ROW = /^(?:,|,? and)? (?:table 4 row|row|rows) (\d+)/;

/** The sections, steps and rows that a text names after `kernel-model `, one citation for each section. */
function citationsIn(file: string, text: string): Citation[] {
  return text
    .split(/kernel-model /i)
    .slice(1)
    .flatMap((rest) => {
      const found: Citation[] = [];
      for (let at = rest; ;) {
        const section = SECTION.exec(at);
        if (section === null) return found;
        at = at.slice(section[0].length);
        const steps = STEPS.exec(at);
        if (steps !== null) at = at.slice(steps[0].length);
        const row = ROW.exec(at);
        if (row !== null) at = at.slice(row[0].length);
        found.push({
          file,
          text: rest.slice(0, 60),
          section: `${section[1]}${section[2] ?? ''}`,
          steps: steps === null ? [] : listOf(steps[1] as string),
          rows: row === null ? [] : [row[1] as string],
        });
        const more = /^(?:, | and |; )(?=\d)/.exec(at);
        if (more === null) return found;
        at = at.slice(more[0].length);
      }
    });
}

/** `3 b to e, 6 and 8` as 3b, 3c, 3d, 3e, 6, 8. */
function listOf(text: string): string[] {
  let step = '';
  return text.split(/, | and /).flatMap((item) => {
    const [, number, letter, to] = /^(\d+)? ?([a-h])?(?: to (\d+|[a-h]))?/.exec(item.trim()) ?? [];
    step = number ?? step;
    if (to === undefined) return step === '' ? [] : [`${step}${letter ?? ''}`];
    if (letter === undefined) {
      return Array.from({ length: Number(to) - Number(step) + 1 }, (_, n) => String(Number(step) + n));
    }
    const [first, last] = [letter.charCodeAt(0), to.charCodeAt(0)];
    return Array.from({ length: last - first + 1 }, (_, n) => `${step}${String.fromCodePoint(first + n)}`);
  });
}

const CITATIONS = ['src', 'actors', 'test'].flatMap((room) =>
  readdirSync(room, { recursive: true, encoding: 'utf8' })
    .filter((name) => /\.(?:ts|litmus)$/.test(name) && name !== join('mm', 'model.test.ts'))
    .flatMap((name) => citationsIn(join(room, name), unwrapped(readFileSync(join(room, name), 'utf8')))),
);

describe('citations of the kernel model', () => {
  it('are many, of sections and of steps', () => {
    expect(CITATIONS.length).toBeGreaterThan(100);
    expect(CITATIONS.filter(({ steps }) => steps.length > 0).length).toBeGreaterThan(12);
  });

  it('lead to what is there', () => {
    const gone = CITATIONS.flatMap(({ file, text, section, steps, rows }) => {
      const found = SECTIONS.get(section);
      if (found === undefined) return [`${file}: ${text}: no section ${section}`];
      const there = stepsOf(found);
      const noStep = steps.filter((step) => !there.has(step)).map((step) => `${section} has no step ${step}`);
      const noRow = rows.filter((row) => !ROWS.has(row)).map((row) => `no row ${row} in section 4`);
      return noStep.concat(noRow).map((what) => `${file}: ${text}: ${what}`);
    });
    expect(gone).toEqual([]);
  });

  it('of what was observed in real kernels lead to a rule of that number', () => {
    const rules = new Set(
      [...readFileSync('src/mm/OBSERVED.md', 'utf8').matchAll(/^\| (F\d+) \|/gm)].map(([, id]) => id),
    );
    const cited = ['src', 'actors', 'test'].flatMap((room) =>
      readdirSync(room, { recursive: true, encoding: 'utf8' })
        .filter((name) => name.endsWith('.ts'))
        .flatMap((name) =>
          Array.from(readFileSync(join(room, name), 'utf8').matchAll(/real-kernels (F\d+)(?:, (F\d+))?/g)),
        )
        .flatMap(([, first, second]) => [first, second].filter((id) => id !== undefined)),
    );
    expect(cited.length).toBeGreaterThan(1);
    expect(cited.filter((id) => !rules.has(id))).toEqual([]);
  });

  it('are read as they are written', () => {
    const [a, b, c] = citationsIn('', 'x kernel-model 3.10.1 steps 1 and 3 b to d, 3.17 step 4 and table 4 row 18.');
    expect([a?.section, a?.steps]).toEqual(['3.10.1', ['1', '3b', '3c', '3d']]);
    expect([b?.section, b?.steps, b?.rows, c]).toEqual(['3.17', ['4'], ['18'], undefined]);
  });
});
