/** Exit codes, and what bad input gets: code 2, one line on standard error, nothing on standard output. */
import { mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { MAIN, pinfall, start } from './run.js';

const dir = mkdtempSync(join(tmpdir(), 'pinfall-cli-'));
afterAll(() => rmSync(dir, { recursive: true }));
const file = (name: string, text: string): string => {
  writeFileSync(join(dir, name), text);
  return join(dir, name);
};

describe('bad input', () => {
  const noise = Array.from({ length: 4096 }, (_, i) => String.fromCharCode((i * 2654435761) >>> 24)).join('');
  const cases: [string, string[], RegExp][] = [
    ['no workers', ['stress', '--workers', '0'], /--workers: expected a whole number from 1 to 64, got '0'/],
    ['workers by word', ['stress', '--workers', 'many'], /--workers/],
    ['a duration without a time', ['stress', '--duration', 'soon'], /--duration: expected a time/],
    ['an unknown policy', ['stress', '--policy', 'nosuch'], /--policy: no 'nosuch'; expected one of classic/],
    ['an unknown scenario', ['stress', 'nosuch-scenario'], /nosuch-scenario/],
    ['a scenario cut short', ['stress', file('s.json', '{"nodes": -3')], /s\.json:\d+:\d+/],
    ['a scenario with a wrong value', ['stress', file('t.yaml', 'title: x\nmachine: { nodes: -3 }\n')], /t\.yaml:2/],
    ['no such file', ['stress', join(dir, 'missing.yaml')], /no such file/],
    ['a binary scenario', ['stress', file('r.bin', noise)], /r\.bin/],
    ['a seed that is none', ['stress', '--seed', 'x'], /--seed/],
    ['an unknown command', ['nosuchcommand'], /no command 'nosuchcommand'/],
    ['a misspelt command', ['exlpore'], /no command 'exlpore'; .*; did you mean 'explore'\?$/m],
    ['a misspelt option', ['stress', '--polcy', 'classic'], /unknown option '--polcy'; did you mean --policy\?$/m],
    ['a misspelt policy', ['stress', '--policy', 'clasic'], /; did you mean 'classic'\?$/m],
    ['a misspelt scenario', ['stress', 'redis-gest'], /; did you mean 'redis-guest'\?$/m],
    ['a misspelt program', ['explore', 'pin-vs-write-protct'], /; did you mean 'pin-vs-write-protect'\?$/m],
    ['a misspelt strategy', ['explore', '--strategy', 'rnadom'], /; did you mean 'random'\?$/m],
    [
      'a misspelt litmus file',
      ['litmus', 'bad_check_then_notify_ksn'],
      /no such file; did you mean 'bad_check_then_notify_ksm'\?$/m,
    ],
    ['a misspelt file', ['stress', file('mine.yaml', '').replace('mine', 'mien')], /; did you mean 'mine\.yaml'\?$/m],
    [
      'a misspelt schedule',
      ['replay', file('mine.schedule', '').replace('mine', 'mien')],
      /; did you mean 'mine\.schedule'\?$/m,
    ],
    ['a misspelt bug', ['litmus', 'x', '--bug', 'Z04-numa-pined'], /--bug: no 'Z04-numa-pined'/],
    ['a litmus file to replay', ['replay', 'x.litmus'], /a litmus file, not a schedule; 'litmus x\.litmus' writes/],
    ['an unknown option', ['stress', '--bogus'], /--bogus/],
    [
      'a misspelt option beside a missing one',
      ['explain', 'x', '--otcome', 'y'],
      /'--otcome'; did you mean --outcome\?$/m,
    ],
    ['a misspelt command of zoo', ['zoo', 'rum'], /no command 'rum'; .* did you mean 'run'\?$/m],
    ['help for a misspelt command', ['help', 'strss'], /no command 'strss'; .* did you mean 'stress'\?$/m],
    [
      'a misspelt scenario to compare',
      ['compare', 'pin-rase'],
      /^pinfall: no scenario pin-rase; .* did you mean 'pin-race'\?\n$/,
    ],
    ['too many CPUs', ['stress', '--cpus', '100000'], /--cpus/],
    ['a binary schedule', ['replay', file('q.bin', noise)], /q\.bin/],
    ['no schedule', ['replay', join(dir, 'missing')], /no such file/],
    ['an unknown strategy', ['explore', '--strategy', 'luck'], /--strategy/],
    ['a number of workers that is none', ['explore', '--workers', 'many'], /--workers/],
    ['a time without a unit', ['explore', '--duration', '30'], /--duration/],
    ['schedules without end', ['explore', '--schedules', '1e99'], /--schedules/],
    ['an empty policy', ['compare', '--policies', 'a,,b'], /--policies/],
    ['a report in no folder', ['stress', '--report', join(dir, 'no', 'r.json')], /--report .*no such folder/],
    ['events in no folder', ['explore', '--events', join(dir, 'no', 'e.ndjson')], /--events .*no such folder/],
    ['a schedule that is a folder', ['explore', '--schedule', dir], /--schedule .*a folder, not a file/],
    ['a picture in no folder', ['replay', 'x', '--out', join(dir, 'no', 'x.svg')], /--out .*no such folder/],
    ['an event file of no known kind', ['stress', '--events', join(dir, 'e.xyz')], /\.ndjson/],
  ];
  it.each(cases)('%s', async (_name, args, message) => {
    const before = readdirSync(dir).length;
    const { code, out, err } = await pinfall(...args);
    expect(code).toBe(2);
    expect(out).toBe('');
    expect(err).toMatch(message);
    // a line for each mistake
    for (const line of err.trimEnd().split('\n')) expect(line).toMatch(/^pinfall: \S/);
    expect(readdirSync(dir)).toHaveLength(before);
  });
});

describe('a full disk', () => {
  it('3: the report is on standard output, and one line says what could not be written', async () => {
    const full = await pinfall(
      'explore',
      'pin-vs-write-protect',
      '--schedules',
      '50',
      '--json',
      '--report',
      '/dev/full',
    );
    expect(full.code).toBe(3);
    expect(JSON.parse(full.out)).toMatchObject({ command: 'explore', ok: true });
    expect(full.err).toBe('pinfall: /dev/full: cannot be written (no space left)\n');
  });

  it('3: events that did not fit do not cost the report', async () => {
    const events = join(dir, 'full.ndjson');
    symlinkSync('/dev/full', events);
    const full = await pinfall('stress', 'two-processes', '--duration', '300ms', '--events', events, '--json');
    expect(full.code).toBe(3);
    expect(JSON.parse(full.out)).toMatchObject({ command: 'stress', end: { kind: 'finished' } });
    expect(full.err).toMatch(/full\.ndjson: cannot be written \(no space left\)\n$/);
  });

  it('3: standard output itself', async () => {
    const { code, err } = await start('sh', ['-c', `exec "${process.execPath}" "${MAIN}" list > /dev/full`]).done;
    expect([code, err]).toEqual([3, 'pinfall: standard output: cannot be written (no space left)\n']);
  });
});

describe('exit codes', () => {
  it('0: list, help, and an exploration without a violation', async () => {
    const lists = JSON.parse((await pinfall('list', '--json')).out) as Record<string, unknown[]>;
    for (const key of ['scenarios', 'programs', 'policies', 'invariants', 'events'])
      expect(lists[key]?.length).toBeGreaterThan(0);
    expect((await pinfall('--help')).code).toBe(0);
    expect((await pinfall('explore', 'pin-vs-write-protect', '--schedules', '200', '--json')).code).toBe(0);
  });

  it('1: a violation, with its diagram; its schedule replays to the same end and the same events', async () => {
    const schedule = join(dir, 'd1.schedule');
    const found = await pinfall(
      'explore',
      '--policy',
      'check-then-notify',
      '--seed',
      '3',
      '--schedule',
      schedule,
      '--events',
      join(dir, 'a.ndjson'),
    );
    expect(found.code).toBe(1);
    expect(found.out).toMatch(/<-- pinned page\s+unmapped/);
    const again = await pinfall('replay', schedule, '--events', join(dir, 'b.ndjson'));
    expect(again.code).toBe(1);
    const { readFileSync } = await import('node:fs');
    expect(readFileSync(join(dir, 'b.ndjson'), 'utf8')).toBe(readFileSync(join(dir, 'a.ndjson'), 'utf8'));
  });

  it('0: a short run on real threads, whose report is one JSON object and a file', async () => {
    const path = join(dir, 'report.json');
    const { code, out } = await pinfall(
      'stress',
      'two-processes',
      '--duration',
      '500ms',
      '--seed',
      '5',
      '--json',
      '--report',
      path,
    );
    expect(code).toBe(0);
    const report = JSON.parse(out) as { schema: string; ok: boolean; seed: number; threads: unknown[] };
    expect(report).toMatchObject({ schema: 'pinfall.report/1', ok: true, seed: 5 });
    expect(report.threads.length).toBeGreaterThan(1);
    const { readFileSync } = await import('node:fs');
    expect(JSON.parse(readFileSync(path, 'utf8'))).toEqual(report);
  });
});
