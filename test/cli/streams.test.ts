/** Standard output that is read slowly, closed or full; bytes of files and options on their way to a terminal. */
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { oneLine, printable } from '#src/cli/terminal.js';
import { MAIN, pinfall, start } from './run.js';

const dir = mkdtempSync(join(tmpdir(), 'pinfall-streams-'));
afterAll(() => rmSync(dir, { recursive: true }));

const quoted = (word: string): string => `'${word}'`;
/** A line of bash, with `pinfall` for the program. */
const bash = (line: string, cwd = dir) =>
  start('bash', ['-c', `pinfall() { ${quoted(process.execPath)} ${quoted(MAIN)} "$@"; }; ${line}`], {}, cwd).done;

describe('standard output', () => {
  it('is whole, however slowly a pipe is read', async () => {
    // it fills the pipe (64 KiB) before anybody reads
    const { out } = await bash('pinfall list --json | (sleep 1; cat)');
    expect(out.length).toBeGreaterThan(90_000);
    expect(JSON.parse(out)).toMatchObject({ schema: 'pinfall.list/1' });
  });

  it('that is closed keeps the exit code and the files', async () => {
    const line =
      'pinfall explore pin-vs-write-protect-buggy --report r.json --events e.ndjson | true; echo "${PIPESTATUS[0]}"';
    const { out, err } = await bash(line);
    expect([out, err]).toEqual(['1\n', '']);
    expect(JSON.parse(readFileSync(join(dir, 'r.json'), 'utf8'))).toMatchObject({ command: 'explore', ok: false });
    expect(existsSync(join(dir, 'e.ndjson'))).toBe(true);
    expect(existsSync(join(dir, 'pinfall.schedule'))).toBe(true);
  });

  it('that is closed is no full disk, and one that is full is: 3, and the files all the same', async () => {
    const full = await bash('pinfall explore pin-vs-write-protect-buggy --report full.json > /dev/full');
    expect(full.code).toBe(3);
    expect(full.err).toBe('pinfall: standard output: cannot be written (no space left)\n');
    expect(existsSync(join(dir, 'full.json'))).toBe(true);
    const closed = await bash('pinfall list --json | head -c 10; echo " ${PIPESTATUS[0]}"');
    expect(closed.out).toMatch(/^.{10} 0\n$/);
    expect(closed.err).toBe('');
  });

  it('does not advise to replay what could not be written', async () => {
    symlinkSync('/dev/full', join(dir, 'full.schedule'));
    const { code, out, err } = await bash('pinfall explore pin-vs-write-protect-buggy --schedule full.schedule');
    expect(code).toBe(3);
    expect(err).toMatch(/full\.schedule: cannot be written \(no space left\)\n$/);
    expect(out).toMatch(/violation I-/);
    expect(out).not.toMatch(/replay/);
  });
});

describe('a failure that no command has caught', () => {
  it('is 3, with few open files', async () => {
    const { code, out, err } = await bash('ulimit -n 32; pinfall explore --schedules 5');
    expect([code, out]).toEqual([3, '']);
    expect(err).toMatch(/^pinfall: internal failure: too many open files for this process \(ulimit -n\)\n$/);
  });
});

describe('bytes of files and options', () => {
  const evil = 'a\u001b]0;gone\u0007b\u202ec\u009b2J\rd';
  const safe = String.raw`a\u001b]0;gone\u0007b\u202ec\u009b2J\u000dd`;

  it('are shown as escapes, our own colours apart', () => {
    expect(printable(`x\t${evil}\n`)).toBe(`x\t${safe}\n`);
    expect(oneLine('a\nb')).toBe(String.raw`a\nb`);
    expect(JSON.parse(printable(JSON.stringify({ evil })))).toEqual({ evil });
  });

  it.each([
    ['an option', ['stress', '--policy', evil]],
    ['a file name', ['stress', `./${evil}.yaml`]],
    ['a schedule', ['replay', evil]],
    ['a litmus file', ['litmus', `./${evil}`]],
    ['a command', [evil.replace('-', '')]],
    ['an unknown option', [`--${evil}`]],
    ['a bug', ['zoo', 'run', evil]],
  ])('%s', async (_name, args) => {
    const { code, out, err } = await pinfall(...args);
    expect([code, out]).toEqual([2, '']);
    expect(err).toContain(safe);
    expect(err).not.toMatch(/[^\P{Cc}\n]|\p{Cf}/u);
    expect(err.trimEnd().split('\n')).toHaveLength(1);
  });

  it('in a litmus file and a scenario', async () => {
    const litmus = join(dir, 'evil.litmus');
    writeFileSync(
      litmus,
      `litmus e\n"${evil.replace('\r', '')}"\nprocess A { a: anon 1 read }\ncpu0@A ;\nr = read(a) ;\nexists (r == 0)\n`,
    );
    const { out, err } = await pinfall('litmus', litmus);
    expect(out + err).not.toMatch(/[^\P{Cc}\n]|\p{Cf}/u);
    const colours = await start(process.execPath, [MAIN, 'litmus', litmus], { FORCE_COLOR: '1' }).done;
    // the heading is bold, and what the file wanted of the terminal is not done
    expect(colours.out).toContain('\u001b[1me\u001b[22m');
    expect(colours.out).toContain(String.raw`\u001b]0;gone`);
    expect(colours.out).not.toContain('\u001b]');
  });

  it('in a scenario: warnings of its language add no line', async () => {
    const path = join(dir, 'warned.yaml');
    writeFileSync(path, `title: !odd "${evil.replaceAll(/[^ -~]/g, '')}"\n? [a, b]\n: 1\nmachine: { nodes: -3 }\n`);
    const { code, err } = await pinfall('stress', path);
    expect(code).toBe(2);
    for (const line of err.trimEnd().split('\n')) expect(line).toMatch(/^pinfall: .*warned\.yaml:\d+:\d+: /);
  });
});

describe('a disk that fills up in the middle of tune', () => {
  it('costs neither the report nor the other files, and leaves nothing half written', async () => {
    // the state can be begun; from then on its folder takes no more
    const folder = mkdtempSync(join(dir, 'tune-'));
    const state = join(folder, 'state.json');
    const { tune } = await import('#src/lab/tune/index.js');
    const { rmSync: remove, mkdirSync } = await import('node:fs');
    const unwritten: unknown[] = [];
    let runs = 0;
    const report = await tune({
      scenario: 'two-processes',
      base: dir,
      seed: 1,
      metric: 'accesses',
      range: [1, 2],
      repetitions: 1,
      stages: ['placement'],
      seconds: 0.05,
      statePath: state,
      interrupted: new Promise(() => {}),
      onUnwritten: (error) => unwritten.push(error),
      onRun: () => {
        if (runs++ > 0) return;
        remove(state);
        // a folder in its place cannot be replaced by a file
        mkdirSync(join(state, 'in', 'the', 'way'), { recursive: true });
      },
    });
    expect(unwritten).toHaveLength(1);
    // it went on, and every run is told; on a busy machine nothing may be done in one so short, which is no row
    expect(runs).toBeGreaterThan(1);
    expect(report.runs + report.failed_runs.length).toBe(runs);
    expect(readdirSync(folder)).toEqual(['state.json']);
  });
});
