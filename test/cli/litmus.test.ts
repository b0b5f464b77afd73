import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { litmusSubject, readLitmus } from '#src/lab/litmus/subject.js';
import { LitmusError } from '#src/errors/errors.js';
import { ROOT, start } from './run.js';
import { PINS, source } from '../lab/litmus-texts.js';
import { temporaryFolder } from '../lab/recordings.js';

describe('pinfall litmus', () => {
  /** In the folder of the files. */
  const cli = (...args: string[]) =>
    start(process.execPath, [join(ROOT, 'dist/src/cli/main.js'), ...args], { INIT_CWD: folder }, folder).done;
  const folder = temporaryFolder();
  const write = (name: string, text: string | Buffer): string => {
    writeFileSync(join(folder, name), text);
    return name;
  };

  it('checks files for editors', async () => {
    write('good.litmus', PINS);
    write('wrong.litmus', PINS.replace('pin(a', 'pni(a').replace('exists', 'exist'));
    write('binary.litmus', Buffer.from([0, 1, 2, 255]));
    const both = await cli('litmus', '--check', 'good.litmus', 'wrong.litmus', 'binary.litmus', 'none.litmus');
    expect(both).toMatchObject({ code: 2, out: 'good.litmus: ok\n' });
    expect(both.err.trim().split('\n')).toEqual([
      "wrong.litmus:9:1: expected a question or the end of the file, got 'exist'",
      'binary.litmus:1:1: expected a litmus file, got binary data',
      'none.litmus:1:1: no such file',
    ]);
    const json = await cli('litmus', '--check', '--json', 'wrong.litmus');
    expect(JSON.parse(json.out)).toEqual([
      {
        file: 'wrong.litmus',
        line: 9,
        column: 1,
        end_line: 9,
        end_column: 6,
        severity: 'error',
        message: expect.any(String),
      },
    ]);
    expect(await cli('litmus', '--check', 'good.litmus')).toMatchObject({ code: 0, err: '' });
  });

  it('runs a file: 0 as expected, 1 if not, 2 with all mistakes', async () => {
    write('good.litmus', PINS);
    const good = await cli('litmus', 'good.litmus', '--schedules', '300', '--strategy', 'random');
    expect(good.code).toBe(0);
    expect(good.out).toMatch(/ stage2\(G, 0\)=rw +\d+ +\d+\.\d% +ok/);
    expect(good.out).toMatch(
      /1\. exists \(p > 0 \/\\ stage2\(G, 0\) == none\) {2}Sometimes: \d+ of \d+ schedules, first in schedule \d+/,
    );
    expect(good.out).toContain('expect violation I-PINNED-S2  found');
    expect(good.out).toContain('replay bad_pins.schedule');
    expect(readLitmus('bad_pins.schedule', folder)).toContain('litmus:\nlitmus bad_pins');
    expect(await cli('replay', 'bad_pins.schedule')).toMatchObject({
      code: 1,
      out: expect.stringContaining('The same end'),
    });
    const other = await cli('litmus', 'good.litmus', '--policy', 'classic', '--schedules', '50', '--json');
    expect(other.code).toBe(1);
    expect(JSON.parse(other.out)).toMatchObject({ command: 'litmus', policy: 'classic', ok: false, violations: [] });
    write('wrong.litmus', PINS.replaceAll('(a', '(b'));
    const wrong = await cli('litmus', 'wrong.litmus');
    expect(wrong).toMatchObject({ code: 2, out: '' });
    expect(wrong.err).toContain("wrong.litmus:8:9: no mapping of process A 'b'");
    expect(() => litmusSubject(source(PINS.replaceAll('(a', '(b')))).toThrow(LitmusError);
  });
});
