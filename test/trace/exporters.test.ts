/** Event files that other programs read: trace.dat by trace-cmd, Chrome trace events by a checker of balance and order. */
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, readdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { EventLog } from '#src/events/record.js';
import { EVENT } from '#src/events/table.js';
import { EVENT_FILE_KINDS, isEventFileName, openEventFile } from '#src/trace/export/event-file.js';
import { FtraceFile } from '#src/trace/export/ftrace-dat.js';
import { PerfettoFile } from '#src/trace/export/perfetto.js';
import { pinfall } from '../cli/run.js';
import { mustHavePrograms } from '../dashboard/programs.js';
import { checkTraceEvents } from './trace-events.js';

const NAMES = ['vcpu0', 'ksmd', 'numa-balancer'];
const folder = mkdtempSync(join(tmpdir(), 'pinfall-trace-'));
const hasTraceCmd = spawnSync('trace-cmd', ['--version']).error === undefined;
/** A developer's machine may lack it; CI installs it. */
const traceCmd = it.skipIf(!hasTraceCmd && !mustHavePrograms());

const report = (...args: string[]): string[] =>
  execFileSync('trace-cmd', ['report', ...args], { encoding: 'utf8', maxBuffer: 1 << 28 })
    .split('\n')
    .filter((line) => /^\s+\S+-\d+\s/.test(line));

describe('trace.dat', () => {
  traceCmd('is printed by trace-cmd: names, times, CPUs and arguments', () => {
    const log = new EventLog();
    log.write(EVENT.stage2_unmap, 2, 7, 0, 0x12, 0x4d, 1);
    log.write(EVENT.notifier_start, 1, 9, 0, 0x10, 0x20, 3);
    log.write(EVENT.fault, 0, 1_000_000_123, 0, 5, 1, -14);
    const file = new FtraceFile(join(folder, 'one.dat'), NAMES);
    file.writeRecords(log.records, 0, log.count);
    file.close();
    const lines = report(join(folder, 'one.dat')).map((line) => line.replace(/\s+/g, ' ').trim());
    expect(lines).toEqual([
      'numa-balancer-3 [002] 0.000007: stage2_unmap: vm=0 gfn=0x12 pfn=0x4d pinned=1',
      'ksmd-2 [001] 0.000009: notifier_start: mm=0 start=0x10 end=0x20 mech=ksm',
      'vcpu0-1 [000] 1000.000123: fault: mm=0 vpn=0x5 flags=0x1 result=-14',
    ]);
  });

  traceCmd('holds every event over many pages, in order, and its filters work', () => {
    const log = new EventLog();
    const count = 20_000;
    // gaps beyond the 27 bits of a delta among them
    for (let i = 0; i < count; i++)
      log.write(i % 2 === 0 ? EVENT.fault : EVENT.zap, i % 3, i * 7 + (i >> 10) * 400_000, i, i, 0, 0);
    const file = new FtraceFile(join(folder, 'many.dat'), NAMES);
    file.writeRecords(log.records, 0, 7000);
    file.writeRecords(log.records, 7000, count - 7000);
    file.close();
    const lines = report(join(folder, 'many.dat'));
    expect(lines).toHaveLength(count);
    lines.forEach((line, i) => expect(line).toMatch(new RegExp(`(mm=${i} vpn|mm=${i} start)`)));
    const filtered = report('-F', 'fault:mm >= 19000', join(folder, 'many.dat'));
    expect(filtered).toHaveLength(500);
    expect(readdirSync(folder).filter((name) => name.endsWith('.tmp'))).toEqual([]);
  });

  it('leaves nothing behind where it cannot be written', () => {
    expect(() => new FtraceFile(join(folder, 'no', 'such.dat'), NAMES)).toThrow(/ENOENT/);
  });
});

describe('Chrome trace events', () => {
  it('are balanced and in order, with slices, locks, flows and counters', () => {
    const log = new EventLog();
    log.write(EVENT.sched_operation, 0, 1, 1, 1, 0, 0);
    log.write(EVENT.lock_acquire, 0, 2, 500, 3, 1, 0);
    log.write(EVENT.notifier_start, 1, 3, 0, 0, 2, 3);
    log.write(EVENT.message, 0, 4, 2, 4, 77, 0);
    log.write(EVENT.hypercall, 2, 5, 4, 77, 0, 0);
    log.write(EVENT.lock_release, 0, 6, 500, 3, 1, 0);
    log.write(EVENT.stage2_unmap, 1, 1500, 0, 1, 2, 1);
    log.write(EVENT.notifier_end, 1, 1501, 0, 0, 2, 3);
    // never ended: cut off by the run's end
    log.write(EVENT.lock_acquire, 2, 1600, 501, 3, 1, 0);
    const path = join(folder, 'one.perfetto.json');
    const file = new PerfettoFile(path, NAMES);
    file.writeRecords(log.records, 0, log.count);
    file.close();
    const counts = checkTraceEvents(readFileSync(path, 'utf8'));
    expect(counts).toMatchObject({ B: 2, E: 2, b: 2, e: 2, s: 1, f: 1, M: 7, i: 1 });
    expect(counts['C']).toBeGreaterThan(1);
  });

  it.each([
    ['a slice that ends without a start', [{ ph: 'E', pid: 1, tid: 1, ts: 1 }], /without a start/],
    ['a slice that does not end', [{ ph: 'B', name: 'x', pid: 1, tid: 1, ts: 1 }], /does not end/],
    [
      'time that goes back',
      [
        { ph: 'i', s: 't', name: 'x', pid: 1, tid: 1, ts: 2 },
        { ph: 'i', s: 't', name: 'x', pid: 1, tid: 1, ts: 1 },
      ],
      /goes back/,
    ],
    ['a flow from nowhere', [{ ph: 'f', bp: 'e', name: 'x', id: 1, pid: 1, tid: 1, ts: 1 }], /flow/],
  ])('the checker sees %s', (_, events, message) => {
    expect(() => checkTraceEvents(JSON.stringify({ traceEvents: events }))).toThrow(message);
  });
});

describe('event files', () => {
  it('are told by their names', () => {
    for (const { suffix } of EVENT_FILE_KINDS) {
      expect(isEventFileName(`a${suffix}`)).toBe(true);
      const file = openEventFile(join(folder, `kind${suffix}`), NAMES);
      file.close();
      expect(existsSync(file.path)).toBe(true);
    }
    expect(isEventFileName('a.json')).toBe(false);
  });

  describe('of a run', () => {
    let written = 0;
    beforeAll(async () => {
      const args = ['stress', 'synthetic-guest', '--policy', 'classic', '--duration', '600ms', '--seed', '5', '--json'];
      const { out } = await pinfall(...args, '--events', join(folder, 'run.dat'));
      ({ written } = (JSON.parse(out) as { events: { written: number } }).events);
      await pinfall(...args, '--events', join(folder, 'run.perfetto.json'));
    });

    traceCmd('trace-cmd prints each of its events, on the lanes of its actors', () => {
      const lines = report(join(folder, 'run.dat'));
      expect(written).toBeGreaterThan(100);
      expect(lines).toHaveLength(written);
      const lanes = new Set(lines.map((line) => /(\S+)-\d+\s+\[(\d+)\]/.exec(line)?.slice(1).join(' ')));
      expect(lanes).toContain('vcpu0 000');
      expect([...lanes].some((lane) => lane?.startsWith('ksmd '))).toBe(true);
    });

    it('its Chrome trace is balanced, and shows who held which lock', () => {
      const counts = checkTraceEvents(readFileSync(join(folder, 'run.perfetto.json'), 'utf8'));
      expect(counts['b']).toBeGreaterThan(100);
      expect(counts['b']).toBe(counts['e']);
      expect(counts['B']).toBeGreaterThan(0);
    });
  });
});
