import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { EventLog } from '#src/events/record.js';
import { EVENT, EVENT_TABLE } from '#src/events/table.js';
import { MECH } from '#src/machine/mechanisms.js';
import { EventBatch } from '#src/trace/batch.js';
import { decodeEvent } from '#src/trace/event.js';
import { NdjsonFile, formatNdjson } from '#src/trace/export/ndjson.js';

const NAMES = ['vcpu0', 'numa-"balancer"'];

describe('NDJSON', () => {
  it('has a line per event, keys in order', () => {
    const log = new EventLog();
    log.write(EVENT.stage2_unmap, 0, 812, 0, 18, 77, 1);
    log.write(EVENT.notifier_start, 1, 2 ** 40, 0, 16, 32, MECH.numa_scan);
    log.write(EVENT.fault, 0, 5, 0, 3, -1, -14);
    log.write(EVENT.page_free, 0, 6, 9, 0, 0, 0);
    log.write(255, 9, 7, 1, 2, 3, 4);
    expect(formatNdjson(log.records, log.count, NAMES)).toBe(
      [
        '{"time":812,"actor":"vcpu0","event":"stage2_unmap","vm":0,"gfn":18,"pfn":77,"pinned":true}',
        '{"time":1099511627776,"actor":"numa-\\"balancer\\"","event":"notifier_start","mm":0,"start":16,"end":32,"mech":"numa_scan"}',
        '{"time":5,"actor":"vcpu0","event":"fault","mm":0,"vpn":3,"flags":4294967295,"result":-14}',
        '{"time":6,"actor":"vcpu0","event":"page_free","pfn":9,"order":0}',
        '{"time":7,"actor":"actor9","event":"event_255"}',
        '',
      ].join('\n'),
    );
  });

  // Whatever stands in a record, each line is JSON and holds what the typed event holds.
  it('says the same as the typed events', () => {
    const int = fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 });
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.integer({ min: 1, max: EVENT_TABLE.length }), fc.maxSafeNat(), int, int, int, int)),
        (events) => {
          const log = new EventLog();
          for (const [type, time, a, b, c, d] of events) log.write(type, 0, time, a, b, c, d);
          const lines = formatNdjson(log.records, log.count, NAMES).split('\n').slice(0, -1);
          expect(lines.length).toBe(events.length);
          lines.forEach((line, i) => {
            const { event, actor, ...rest } = JSON.parse(line) as Record<string, unknown>;
            expect(actor).toBe('vcpu0');
            const { type, actor: number, ...typed } = decodeEvent(log.records, i) as unknown as Record<string, unknown>;
            expect([event, 0]).toEqual([type, number]);
            expect(typed).toMatchObject(rest);
          });
        },
      ),
    );
  });

  it('goes to a file as it comes', () => {
    const folder = mkdtempSync(join(tmpdir(), 'pinfall-'));
    try {
      const log = new EventLog();
      for (let i = 0; i < 20_000; i++) log.write(EVENT.fault, 0, i, 0, i, 0, 0);
      const file = new NdjsonFile(join(folder, 'events.ndjson'));
      file.write(new EventBatch(log.records, 0, 5, NAMES));
      file.write(new EventBatch(log.records, 5, log.count - 5, NAMES));
      file.close();
      expect(file.events).toBe(20_000);
      expect(readFileSync(file.path, 'utf8')).toBe(formatNdjson(log.records, log.count, NAMES));
    } finally {
      rmSync(folder, { recursive: true });
    }
    expect(() => new NdjsonFile(join(folder, 'gone', 'events.ndjson'))).toThrow(/ENOENT/);
  });

  it('keeps a failure for close', () => {
    const file = new NdjsonFile('/dev/full');
    const log = new EventLog();
    log.write(EVENT.fault, 0, 1, 0, 1, 0, 0);
    file.write(new EventBatch(log.records, 0, 1, NAMES));
    expect(file.events).toBe(0);
    expect(() => file.close()).toThrow(/ENOSPC/);
  });
});
