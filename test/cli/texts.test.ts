/** What is shown to people: within 80 columns, citing nothing that they cannot open, every number explained. */
import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { describe, expect, it } from 'vitest';
import { renderLegend } from '#src/cli/render/legend.js';
import { quoted, startWords } from '#src/cli/render/next.js';
import { table } from '#src/cli/render/table.js';
import { LATENCY_LEGEND, LEGENDS, MECHANISMS_LEGEND, OPS_LEGEND } from '#src/lab/report/legend.js';
import { listEverything } from '#src/lab/report/list.js';
import { shippedLitmus } from '#src/lab/litmus/subject.js';
import { MECHANISMS } from '#src/machine/mechanisms.js';
import { LATENCIES, STATS } from '#src/machine/stats.js';
import { MAIN, ROOT, pinfall } from './run.js';

const long = (text: string): string[] => text.split('\n').filter((line) => line.length > 80);

describe('tables', () => {
  it('fit 80 columns: headings break, then texts, never a word or a number', () => {
    const head = ['mechanism', 'pinned pages hit', 'stage-2 unmaps', 'of pinned pages', 'who it was', 'pages moved'];
    const rows = [
      ['longterm_migrate', 343_161, 198_067, 36_354, 'somebody who has a rather long name, and then another', 16_263],
      ['zap', 0, 0, 1, 'nobody', 1_234_567_890],
    ];
    const text = table(head, rows);
    expect(long(text)).toEqual([]);
    for (const word of ['longterm_migrate', '343,161', '1,234,567,890', 'unmaps', 'another'])
      expect(text).toContain(word);
    expect(table(['a', 'b'], [['x', 1]])).toBe('  a  b\n  x  1');
  });

  it('of list fit too', async () => {
    const { out } = await pinfall('list');
    expect(long(out)).toEqual([]);
  });
});

describe('the legend', () => {
  it('has a line for every counter, and fits 80 columns', () => {
    expect(Object.keys(OPS_LEGEND).toSorted()).toEqual([...STATS].toSorted());
    expect(Object.keys(MECHANISMS_LEGEND).toSorted()).toEqual([...MECHANISMS].toSorted());
    expect(Object.keys(LATENCY_LEGEND).toSorted()).toEqual([...LATENCIES].toSorted());
    for (const legend of Object.values(LEGENDS)) expect(long(renderLegend(legend))).toEqual([]);
  });

  it('stands behind a report that was asked for it', async () => {
    const { out } = await pinfall('explore', 'pin-vs-write-protect', '--schedules', '10', '--legend');
    expect(out).toMatch(/Columns\n {2}name +what it counts\n {2}outcome +how schedules end/);
  });
});

describe('texts', () => {
  it('cite nothing that their reader cannot open', () => {
    const cited = /kernel-model|\btable \d+, row|\bLK\d/i;
    expect(JSON.stringify(listEverything()).match(cited)).toBeNull();
    for (const path of shippedLitmus()) {
      expect([basename(path), cited.exec(readFileSync(path, 'utf8'))?.[0]]).toEqual([basename(path), undefined]);
    }
  });
});

describe('help', () => {
  it.each(['stress', 'compare', 'tune', 'litmus'])('%s has examples, and one form of defaults', async (command) => {
    const { code, out } = await pinfall(command, '--help');
    expect(code).toBe(0);
    expect(out).toMatch(/\nExamples:\n {2}# /);
    expect(out.replaceAll(/\s+/g, ' ')).not.toMatch(
      /default [^)]*\)|; default|\(default: "|\(default: [^)]*\) \(default/,
    );
  });
});

describe('the command to go on with', () => {
  const root = ROOT;
  const started = (env: Record<string, string>, cwd = '/somewhere') =>
    startWords({ env, cwd, program: MAIN, main: MAIN, root });
  it('works where this one was started', () => {
    const npm = { npm_lifecycle_event: 'start', npm_package_name: 'pinfall' };
    expect(started({ ...npm, INIT_CWD: root })).toBe('npm start --silent --');
    expect(started({ ...npm, INIT_CWD: '/elsewhere' })).toBe(
      `npm --prefix ${root.replace(/\/$/, '')} start --silent --`,
    );
    expect(started({ npm_command: 'exec', npm_lifecycle_event: 'npx' })).toBe('npx pinfall');
    expect(started({ npm_lifecycle_event: 'start', npm_package_name: 'mine' })).toBe(`node ${MAIN}`);
    expect(started({}, root)).toBe('node dist/src/cli/main.js');
    expect(quoted("it's here")).toBe(`'it'\\''s here'`);
  });
});
