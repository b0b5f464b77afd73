/**
 * The shipped litmus files: named for their verdict, with the output that stands beside them, on real threads too.
 *
 *   UPDATE_EXPECTED=1   writes the expected-output files anew
 *   PINFALL_LONG=1      searches each file to its end, and runs each on real threads
 */
import { existsSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { runLitmusThreads } from '#src/lab/litmus/threads/report.js';
import {
  completeText,
  isKnown,
  outcomeLines,
  outcomesOf,
  partialText,
  sample,
  search,
  statesIn,
  subjectOf,
} from './litmus-expected.js';

const FOLDER = fileURLToPath(new URL('../../src/lab/litmus/tests/', import.meta.url));
const NAMES = readdirSync(FOLDER)
  .filter((name) => name.endsWith('.litmus'))
  .map((name) => name.slice(0, -'.litmus'.length));
const LONG = process.env['PINFALL_LONG'] === '1';
const UPDATE = process.env['UPDATE_EXPECTED'] === '1';

/** Seconds for a search, and of how many files one is searched a day; schedules of the portfolio. */
const SECONDS = UPDATE ? 10 : LONG ? 60 : 0.4;
const SEARCHED = UPDATE || LONG ? 1 : 6;
const SCHEDULES = UPDATE || LONG ? 2000 : 24;
/** Of files that have something to be found. */
const SCHEDULES_BAD = UPDATE || LONG ? 2000 : 150;
/** On real threads: one of so many files a day, and seconds for each. */
const THREADED = LONG ? 1 : 16;
const THREAD_SECONDS = LONG ? 1 : 0.2;
const TIMEOUT = 120_000;

const pathOf = (name: string): string => `${FOLDER}${name}.litmus`;
const expectedPath = (name: string): string => `${FOLDER}${name}.expected`;
const expectedOf = (name: string): string => readFileSync(expectedPath(name), 'utf8');

/** Whether a file is among the one of `every` that the short form takes: always the same ones, so that no day breaks a build. */
const isTaken = (name: string, every: number): boolean => NAMES.indexOf(name) % every === 0;

describe('shipped litmus files', () => {
  it('are many, and each has its expected output', () => {
    expect(NAMES.length).toBeGreaterThanOrEqual(40);
    if (!UPDATE) expect(NAMES.filter((name) => !existsSync(expectedPath(name)))).toEqual([]);
    expect(NAMES.filter((name) => !/^(good|bad)_[a-z0-9_]+$/.test(name))).toEqual([]);
    const told = ['1', '2', '3', '4', '5'].map((n) => NAMES.filter((name) => name.includes(`_thread_${n}_`)).length);
    expect(told).toEqual([1, 1, 1, 1, 1]);
  });

  it.each(NAMES)('%s', { timeout: TIMEOUT }, async (name) => {
    const subject = subjectOf(pathOf(name));
    const { test } = subject;
    expect(test.name).toBe(name);
    expect(test.expect !== null).toBe(name.startsWith('bad_'));
    const sampled = await sample(subject, test.expect === null ? SCHEDULES : SCHEDULES_BAD);
    const found = isTaken(name, SEARCHED) ? await search(subject, SECONDS) : null;
    const reports = found === null ? [sampled] : [found.report, sampled];
    const complete = found?.complete === true ? found.report : null;
    if (UPDATE) writeFileSync(expectedPath(name), complete === null ? partialText(reports) : completeText(complete));
    const text = expectedOf(name);
    const known = outcomeLines(text);
    // whatever a search that did not end, or any other strategy, has seen
    for (const report of reports) {
      expect(outcomesOf(report).filter((line) => !isKnown(line, known))).toEqual([]);
    }
    expect(outcomesOf(sampled).filter((line) => line.startsWith('outcome forbidden'))).toEqual([]);
    if (name.startsWith('good_')) expect(reports.flatMap(({ violations }) => violations)).toEqual([]);
    else expect(sampled.expect?.found).toBe(true);
    // what took too long when the file was made may end on a better day
    if (complete === null || text.startsWith('search partial')) return;
    expect(completeText(complete)).toBe(text);
    expect(complete.ok).toBe(true);
  });
});

describe('on real threads', () => {
  const proved = NAMES.filter(
    (name) => existsSync(expectedPath(name)) && expectedOf(name).startsWith('search exhaustive'),
  );

  it.skipIf(UPDATE).each(proved.filter((name) => isTaken(name, THREADED)))(
    '%s ends as the search has found',
    { timeout: TIMEOUT },
    async (name) => {
      const subject = subjectOf(pathOf(name));
      const { outcomes, violations } = await runLitmusThreads({ subject, seconds: THREAD_SECONDS });
      const known = statesIn(expectedOf(name));
      expect(outcomes.map(({ state }) => state).filter((state) => !known.has(state))).toEqual([]);
      if (name.startsWith('good_')) expect(violations).toEqual([]);
    },
  );
});
