/** The page that strangers write litmus files from says what the reader reads. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { LITMUS_OPERATIONS, LITMUS_WORDS } from '#actors/litmus/operations.js';
import { FLAG_NAMES, TERMS } from '#src/lab/litmus/language/terms.js';
import { mistakesOf } from './litmus-texts.js';

const PAGE = readFileSync(fileURLToPath(new URL('../../src/lab/litmus/README.md', import.meta.url)), 'utf8');
const section = (title: string): string => PAGE.split(/^## /m).find((part) => part.startsWith(title)) ?? '';
/** Names that stand before a parenthesis in the first column of a section's tables. */
const named = (title: string): string[] => {
  const cells = section(title)
    .split('\n')
    .filter((line) => line.startsWith('| `'))
    .map((line) => line.split('|')[1] ?? '');
  return [
    ...new Set(cells.flatMap((cell) => [...cell.matchAll(/`(\w+)\(/g)].map(([, name]) => name as string))),
  ].toSorted();
};

describe('the page of litmus files', () => {
  it('begins with a file that is right', () => {
    const [, example = ''] = /```\n(litmus [\s\S]*?)```/.exec(PAGE) ?? [];
    expect(mistakesOf(example)).toEqual([]);
  });

  it('names every operation, and no other', () => {
    expect(named('Operations')).toEqual(LITMUS_OPERATIONS.map(({ name }) => name).toSorted());
  });

  it('names every term, and no other', () => {
    expect(named('What questions can ask')).toEqual([...new Set(TERMS.map(({ name }) => name))].toSorted());
  });

  it('names every flag, advice and state', () => {
    for (const name of Object.values(LITMUS_WORDS)
      .flatMap((words) => Object.keys(words))
      .filter((word) => word !== 'GET')) {
      expect(section('Operations')).toMatch(new RegExp(`\\b${name}\\b`));
    }
    for (const name of [...FLAG_NAMES, ...TERMS.flatMap(({ words }) => words)]) {
      expect(section('What questions can ask')).toMatch(new RegExp(`\\b${name}\\b`));
    }
  });
});
