/**
 * The walk of src/README.md: each line that it names is there, says what is quoted, and is passed in that order by a guest's write
 * fault. `UPDATE_WALK=1` sets the numbers of lines anew.
 */
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

const PAGE = 'src/README.md';
const LINK = /\[`([^`]+)`\]\(([^)#]+)#L(\d+)\)/g;

interface Station {
  readonly code: string;
  readonly file: string;
  readonly line: number;
}

const text = (): string => readFileSync(PAGE, 'utf8');
const section = (): string => /^## One write fault[\s\S]*?(?=^## )/m.exec(text())?.[0] ?? '';
const linesOf = (file: string): string[] => readFileSync(file, 'utf8').split('\n');

const stations = (): Station[] =>
  [...section().matchAll(LINK)].map(([, code, path, line]) => ({
    code: code as string,
    file: join('src', path as string),
    line: Number(line),
  }));

if (process.env['UPDATE_WALK'] === '1') {
  const renumbered = section().replaceAll(LINK, (link, code: string, path: string, old: string) => {
    const at = linesOf(join('src', path)).flatMap((line, n) => (line.includes(code) ? [n + 1] : []));
    const nearest = at.toSorted((a, b) => Math.abs(a - Number(old)) - Math.abs(b - Number(old)))[0];
    return nearest === undefined ? link : `[\`${code}\`](${path}#L${nearest})`;
  });
  writeFileSync(PAGE, text().replace(section(), renumbered));
}

describe('the walk', () => {
  it('names lines that say what is quoted', () => {
    expect(stations().length).toBeGreaterThan(20);
    const wrong = stations().filter(({ code, file, line }) => linesOf(file)[line - 1]?.includes(code) !== true);
    expect(wrong).toEqual([]);
  });

  it('is gone by a guest’s write fault, line after line', () => {
    const printed = execFileSync(process.execPath, ['test/walk-run.mjs', JSON.stringify(stations())], {
      encoding: 'utf8',
    });
    const passed = JSON.parse(printed) as number[];
    // by the first fault, not by several
    const first = passed.slice(0, passed.indexOf(stations().length - 1) + 1);
    let next = 0;
    for (const station of first) if (station === next) next++;
    expect(stations()[next]?.code ?? 'the end').toBe('the end');
  });
});
