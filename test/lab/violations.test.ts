/** Violations of real threads on their way into reports: the culprit is in the diagram, or it is said how much is lost. */
import { describe, expect, it } from 'vitest';
import { EVENT } from '#src/events/table.js';
import { RingWriter, ringBuffer } from '#src/events/ring.js';
import { Machine } from '#src/machine/layout.js';
import type { Violation } from '#src/oracle/violation.js';
import type { ReportViolation } from '#src/lab/report/violation.js';
import { reportViolation } from '#src/lab/tell/violations.js';

const machine = new Machine({
  framesPerNode: 16,
  nodes: 1,
  cpus: 2,
  mms: 1,
  mmPages: 8,
  vms: 1,
  vmPages: 8,
  vmasPerMm: 4,
  thpOrder: 1,
  tlbEntries: 4,
  cpuNodes: [0, 0],
  pcpBatch: 1,
  lruBatch: 1,
});
const NAMES = ['vcpu0', 'numa-balancer'];
const found = {
  invariant: 'I-PINNED-S2',
  what: 'pinned page unmapped at stage 2',
  actor: 1,
  actors: [1],
  time: 90_000,
  vm: 0,
  gfn: 3,
  pfn: 5,
};

/** Rings of two workers: the balancer's unmap of gfn 3, and `more` events about another page behind it. */
function rings(more: number): SharedArrayBuffer[] {
  return [0, 1].map((worker) => {
    const buffer = ringBuffer(64);
    const ring = new RingWriter(buffer, false, true);
    if (worker === 0) ring.write(EVENT.stage2_map, 0, 1, 0, 3, 5, 1);
    else {
      ring.write(EVENT.stage2_unmap, 1, 2, 0, 3, 5, 1);
      for (let i = 0; i < more; i++) ring.write(EVENT.stage2_unmap, 1, 3 + i, 0, 6, 7, 0);
    }
    return buffer;
  });
}

const diagram = (more: number, violation: Violation = found): string =>
  String(reportViolation(violation, rings(more), 64, NAMES, machine)['diagram']);

describe('a violation on real threads', () => {
  it('is drawn with what the culprit did', () => {
    const text = diagram(10);
    expect(text).toMatch(/ numa-balancer\n/);
    expect(text).toContain('<-- pinned page unmapped');
    expect(text).not.toContain('lost');
    // another page's events are not its business
    expect(text).not.toContain('gfn 0x6');
  });

  it('is drawn where not many alike were', () => {
    const seen: ReportViolation[] = [];
    for (let i = 0; i < 4; i++) seen.push(reportViolation(found, rings(0), 64, NAMES, machine, { at_s: i }, seen));
    expect(seen.map(({ diagram: drawn }) => drawn !== undefined)).toEqual([true, true, false, false]);
    expect(seen[3]).toMatchObject({ invariant: found.invariant, what: found.what, actor: 'numa-balancer', at_s: 3 });
    const other = reportViolation({ ...found, what: 'another' }, rings(0), 64, NAMES, machine, {}, seen);
    expect(other.diagram).toBeDefined();
  });

  it('is drawn with what stands in the rings then, though another one was drawn before', () => {
    const buffer = ringBuffer(64);
    const ring = new RingWriter(buffer, false, true);
    ring.write(EVENT.stage2_map, 0, 1, 0, 3, 5, 1);
    const draw = (): string => String(reportViolation(found, [buffer], 64, NAMES, machine).diagram);
    const before = draw();
    expect(draw()).toBe(before);
    ring.write(EVENT.stage2_unmap, 1, 2, 0, 3, 5, 1);
    expect(before).not.toContain('stage2_unmap');
    expect(draw()).toContain('stage2_unmap');
  });

  it('says that the events of the culprit are lost, and how many', () => {
    const text = diagram(200).replace(/\n {4}/g, ' ');
    expect(text).not.toContain('<-- pinned page unmapped');
    expect(text).toContain(
      'the events of numa-balancer about this page are lost: those that are left are about other pages, 137 events of its worker are overwritten',
    );
  });

  it.each([
    ['all that it did before is overwritten', 200, 90_001, true],
    ['some of it is left', 200, 89_801, false],
    ['nothing is overwritten', 10, 90_001, false],
  ] as const)('of another whose pin may be missing: %s', (_, count, from, told) => {
    const buffer = ringBuffer(64);
    const ring = new RingWriter(buffer, false, true);
    for (let i = 0; i < count; i++) ring.write(EVENT.page_unpin, 2, from + i, 9, 1, 0, 0);
    const all = [...rings(10), buffer];
    const text = String(reportViolation(found, all, 64, [...NAMES, 'dma'], machine)['diagram']);
    const remark = 'what dma did before it is not known: the events of that time are lost';
    expect(text.replace(/\n {4}/g, ' ').includes(remark)).toBe(told);
  });

  it.each([
    ['written after it: stands where it was met', [[EVENT.page_pin, 90_004, 0, 3, 5, 5]], true],
    ['of another frame', [[EVENT.page_pin, 90_004, 0, 3, 6, 5]], false],
    ['much later', [[EVENT.page_pin, 92_000, 0, 3, 5, 5]], false],
    [
      'of a page that was pinned before: the log has it in its place',
      [
        [EVENT.page_pin, 80_000, 0, 3, 5, 5],
        [EVENT.page_pin, 90_004, 0, 3, 5, 5],
      ],
      false,
    ],
  ] as const)('with the pin that was met, its event %s', (_, pins, told) => {
    const buffer = ringBuffer(64);
    const ring = new RingWriter(buffer, false, true);
    for (const [type, time, a, b, c, d] of pins) ring.write(type, 2, time, a, b, c, d);
    // the unmap that met it
    const unmap = ringBuffer(64);
    new RingWriter(unmap, false, true).write(EVENT.stage2_unmap, 1, 90_000, 0, 3, 5, 1);
    const text = String(reportViolation(found, [unmap, buffer], 64, [...NAMES, 'dma'], machine)['diagram']);
    expect(text.includes('its event was written after')).toBe(told);
    if (told) expect(text).toMatch(/pin_user_pages.*<-- pinned page unmapped/s);
  });

  it('says of an audit that nobody was caught', () => {
    const text = diagram(200, { ...found, actor: -1, actors: [], time: 0 }).replace(/\n {4}/g, ' ');
    expect(text).toContain(
      'found by an audit: the step that broke it may stand long before what is drawn; 137 events before',
    );
  });
});
