import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { EventLog, RECORD_WORDS } from '#src/events/record.js';
import { EVENT } from '#src/events/table.js';
import { FOLL_LONGTERM, FOLL_PIN, FOLL_WRITE } from '#src/machine/abi.js';
import { MECH } from '#src/machine/mechanisms.js';
import { LOCK_MMAP, LOCK_PTL } from '#src/locks/classes.js';
import { PTE_PRESENT, PTE_WRITE, mkEntry } from '#src/machine/entries.js';
import { chooseRows, raceDiagram } from '#src/trace/diagram/diagram.js';
import type { DiagramFocus } from '#src/trace/diagram/focus.js';
import { formatMermaid } from '#src/trace/diagram/mermaid.js';
import { eventText } from '#src/trace/text.js';

const PIN = FOLL_PIN | FOLL_LONGTERM | FOLL_WRITE;

/** Writes events at the times given; returns the records. */
function story(...events: [time: number, actor: number, type: number, ...args: number[]][]): Int32Array {
  const log = new EventLog();
  for (const [time, actor, type, a = 0, b = 0, c = 0, d = 0] of events) log.write(type, actor, time, a, b, c, d);
  return log.view();
}

const words = (text: string): string[] => text.split(/\s+/).filter((word) => word !== '');

/** Policy (b): a scan unmaps a pinned page although nothing moves (kernel-model section 5). */
const spe = story(
  [1, 2, EVENT.sched_operation, 3, 1],
  [2, 0, EVENT.page_pin, 0, 0x12, 0x4d, PIN],
  [4, 0, EVENT.stage2_map, 0, 0x12, 0x4d, 1],
  [5, 2, EVENT.page_alloc, 0x99, 0, 1],
  [9, 2, EVENT.notifier_start, 0, 0x10, 0x20, MECH.numa_scan],
  [10, 2, EVENT.stage2_unmap, 0, 0x11, 0x4c, 0],
  [11, 2, EVENT.stage2_unmap, 0, 0x12, 0x4d, 1],
  [12, 2, EVENT.numa_skip_pinned, 0, 0x12, 0x4d],
  [14, 2, EVENT.notifier_end, 0, 0x10, 0x20, MECH.numa_scan],
  [20, 0, EVENT.lost_record, 0, 0x12],
);

describe('the race diagram', () => {
  it('reads like the model: a pinned page loses its stage-2 entry to a scan', () => {
    const text = raceDiagram(spe, ['vcpu0', 'vmm', 'numa-balancer'], {
      violation: { invariant: 'I-PINNED-S2', what: 'pinned page unmapped at stage 2', actor: 2, time: 20, pfn: 0x4d },
      width: 100,
    });
    expect(text).toBe(
      [
        '  cpu0 (vcpu0)                              numa-balancer',
        '  ------------                              -------------',
        '  pin_user_pages(0x12, LONGTERM): pfn 0x4d',
        '  stage2_map(gfn 0x12): pfn 0x4d',
        '                                            change_prot_numa()',
        '                                              invalidate_range_start(0x10-0x20)',
        '                                                stage2_unmap(gfn 0x12)   <-- pinned page unmapped',
        '                                              PTE(0x12): page pinned, skipped',
        '                                              invalidate_range_end(0x10-0x20)',
        '  device write to gfn 0x12 faults',
        '    <-- record dropped',
        '',
        '  *** I-PINNED-S2: pinned page unmapped at stage 2 (numa-balancer, time 20)',
        '',
      ].join('\n'),
    );
  });

  it('puts concurrent steps side by side', () => {
    const text = raceDiagram(
      story(
        [3, 0, EVENT.fault, 0, 5, 1, 0],
        [3, 1, EVENT.zap, 0, 5, 6, 1],
        [4, 1, EVENT.pte_change, 0, 5, mkEntry(0x21, PTE_PRESENT | PTE_WRITE), 0],
      ),
      ['vcpu0', 'vmm'],
    );
    expect(text).toBe(
      [
        '  cpu0 (vcpu0)                 cpu1 (vmm)',
        '  ------------                 ----------',
        '  handle_mm_fault(0x5, write)  zap_page_range(0x5): 1 page',
        '                               PTE(0x5): pfn 0x21 RW -> none',
        '',
      ].join('\n'),
    );
  });

  it('follows a guest page to its frame and its user page, and leaves other pages out', () => {
    const diagram = chooseRows(
      story(
        [1, 0, EVENT.anon_map, 0, 0x30, 0x77, 0],
        [2, 1, EVENT.anon_map, 0, 0x31, 0x78, 0],
        [3, 0, EVENT.stage2_map, 1, 0x8, 0x77, 1],
        [4, 1, EVENT.notifier_start, 0, 0x31, 0x32, MECH.ksm],
        [5, 1, EVENT.notifier_end, 0, 0x31, 0x32, MECH.ksm],
        [6, 1, EVENT.notifier_start, 0, 0x30, 0x31, MECH.zap],
        [7, 1, EVENT.notifier_end, 0, 0x30, 0x31, MECH.zap],
      ),
      ['vcpu0', 'vmm'],
      { focus: { vm: 1, gfn: 0x8 } },
    );
    expect(diagram.rows.map((row) => row.time)).toEqual([1, 3, 6, 7]);
  });

  it('draws what an audit found: nobody was caught, no time is known', () => {
    const text = raceDiagram(spe, ['vcpu0', 'vmm', 'numa-balancer'], {
      violation: { invariant: 'I-REF', what: 'refs differ from ledger', actor: -1, actors: [0], time: 0, pfn: 0x4c },
    });
    expect(text).toContain('stage2_unmap(gfn 0x11)');
    expect(text).toContain('\n  *** I-REF: refs differ from ledger\n');
  });

  it('takes what the culprit did last for the page in question, and says what it held', () => {
    const text = raceDiagram(
      story(
        [1, 0, EVENT.anon_map, 0, 5, 0x21, 0],
        [2, 0, EVENT.fault, 0, 5, 1, 0],
        [3, 0, EVENT.anon_map, 0, 6, 0x22, 0],
        [4, 1, EVENT.notifier_start, 0, 5, 6, MECH.numa_scan],
      ),
      ['vcpu0', 'numa-balancer'],
      {
        violation: {
          invariant: 'I-LOCKORD',
          what: 'LK1 sleeps holding a spinlock',
          actor: 1,
          time: 5,
          held: [LOCK_MMAP, LOCK_PTL].map((lockClass) => ({ lock: 0, lockClass, mode: 2 })),
        },
        width: 100,
      },
    );
    expect(text).toBe(
      [
        '  cpu0 (vcpu0)                      numa-balancer',
        '  ------------                      -------------',
        '  do_anonymous_page(0x5): pfn 0x21',
        '                                    change_prot_numa()',
        '                                      invalidate_range_start(0x5)',
        '',
        '  *** I-LOCKORD: LK1 sleeps holding a spinlock (numa-balancer, time 5, holds mmap_lock, PTL)',
        '',
      ].join('\n'),
    );
  });

  it('counts an event of a whole huge page for each of its pages', () => {
    const records = story(
      [1, 0, EVENT.anon_map, 0, 0x10, 0x40, 3],
      [2, 0, EVENT.stage2_map, 0, 0x20, 0x40, 1],
      [3, 1, EVENT.split_huge_pmd, 0, 0x10, 0x40, 0],
      [4, 1, EVENT.split_huge_pmd, 0, 0x18, 0x48, 0],
      [5, 0, EVENT.stage2_map, 0, 0x23, 0x43, 1],
      [6, 0, EVENT.page_pin, 0, 0x14, 0x44, PIN],
    );
    const times = (focus: DiagramFocus, thpOrder: number): number[] =>
      chooseRows(records, [], { focus, thpOrder }).rows.map((row) => row.time);
    expect(times({ vpn: 0x13 }, 3)).toEqual([1, 2, 3, 5]);
    expect(times({ gfn: 0x24 }, 3)).toEqual([1, 2, 3, 6]);
    expect(times({ pfn: 0x43 }, 0)).toEqual([1, 5]);
  });

  it('keeps what the one did who broke the rule, however much others have done since', () => {
    const events: [number, number, number, ...number[]][] = [
      [1, 0, EVENT.notifier_start, 0, 0x10, 0x20, MECH.numa_scan],
    ];
    // no two rounds alike, or they would be folded
    const kinds = [EVENT.page_pin, EVENT.stage2_retry, EVENT.anon_map, EVENT.wp_copy, EVENT.numa_skip_pinned];
    const order = '01203142301432041034214023104213402143';
    for (let time = 2; time < 40; time++) {
      events.push([time, 1, kinds[Number(order[time - 2])] as number, 0, 0x12, time, PIN]);
    }
    const violation = { invariant: 'I-LOCKORD', what: 'order', actor: 0, time: 40, mm: 0, vpn: 0x12 };
    const { rows, remarks } = chooseRows(story(...events), ['numa-balancer', 'vcpu0'], { violation, maxRows: 8 });
    expect(rows).toHaveLength(8);
    expect(rows[0]?.cells.map(({ actor }) => actor)).toEqual([0]);
    expect(rows.slice(1).every(({ cells }) => cells[0]?.actor === 1)).toBe(true);
    expect(remarks).toEqual([expect.stringMatching(/^\d\d more steps between these are left out$/)]);
  });

  it('keeps the last steps, folds repeats and says what it left out', () => {
    const events: [number, number, number, ...number[]][] = [];
    for (let i = 0; i < 50; i++) events.push([i, 0, EVENT.stage2_retry, 0, 7, 3, 1]);
    for (let i = 0; i < 50; i++) events.push([60 + i, i % 6, EVENT.page_unpin, 0x40 + i, 1]);
    const diagram = chooseRows(story(...events), ['a', 'b', 'c', 'd', 'e', 'f'], { maxRows: 10 });
    expect(diagram.rows.length).toBe(10);
    expect(diagram.actors.length).toBe(4);
    expect(diagram.otherActors.length).toBe(2);
    expect(diagram.earlier).toBeGreaterThan(0);
    const violation = { invariant: 'near-miss', what: 'x', actor: 3, actors: [3, 0] };
    const two = chooseRows(story(...events), ['a', 'b', 'c', 'd', 'e', 'f'], { columns: 2, violation });
    expect(two.actors.map(({ actor }) => actor)).toEqual([0, 3]);
    const folded = raceDiagram(story(...events.slice(0, 50)), ['a']);
    expect(folded).toContain('mmu_invalidate_retry(gfn 0x7): in progress, put, retry (x50)');
  });

  it.each([72, 80, 100])(
    'breaks no word in %d columns: columns that are too narrow begin side by side and overlap',
    (width) => {
      const wide = story(
        [1, 0, EVENT.notifier_start, 0, 0x1000, 0x2000, MECH.zap],
        [2, 1, EVENT.notifier_start, 0, 0x1000, 0x2000, MECH.numa_scan],
        [3, 1, EVENT.stage2_unmap, 0, 0x1000, 0x4d, 1],
        [4, 2, EVENT.split_folio, 0x4d, -11, 1030, 6],
        [5, 3, EVENT.migrate, 0x4d, 0x66, -11, 0],
      );
      const names = ['vcpu0', 'numa-balancer', 'khugepaged', 'ksmd'];
      const text = raceDiagram(wide, names, { width });
      const whole = new Set(words(raceDiagram(wide, names, { width: 400 })));
      expect(words(text).filter((word) => !whole.has(word) && !/^-+$/.test(word))).toEqual([]);
      expect(Math.max(...text.split('\n').map((line) => line.length))).toBeLessThanOrEqual(width);
    },
  );

  it('folds long repetitions, also of several steps, and keeps their first and last round', () => {
    const events: [number, number, number, ...number[]][] = [];
    for (let i = 0; i < 39; i++) {
      events.push(
        [3 * i + 1, 0, EVENT.page_pin, 0, 0x12, 0x40 + i, PIN],
        [3 * i + 2, 0, EVENT.page_unpin, 0x40 + i, 1],
      );
    }
    events.push([200, 1, EVENT.zap, 0, 0x12, 0x13, 1]);
    expect(raceDiagram(story(...events), ['dma', 'vmm'], { width: 100 })).toBe(
      [
        '  cpu0 (dma)                                cpu1 (vmm)',
        '  ----------                                ----------',
        '  pin_user_pages(0x12, LONGTERM): pfn 0x40',
        '  unpin_user_page(pfn 0x40)',
        '  ... 37 more pins and unpins',
        '  pin_user_pages(0x12, LONGTERM): pfn 0x66',
        '  unpin_user_page(pfn 0x66)',
        '                                            zap_page_range(0x12): 1 page',
        '',
      ].join('\n'),
    );
  });

  it('draws an operation where it begins and its result where it ends; one in which nothing happens is a line', () => {
    const records = story(
      [0, 0, EVENT.litmus_call, 0, 1],
      [2, 1, EVENT.zap, 0, 5, 6, 1],
      [4, 0, EVENT.stage2_map, 0, 5, 0x21, 1],
      [6, 0, EVENT.litmus_call, 0, 0, 7],
      [6, 0, EVENT.litmus_call, 1, 1],
      [7, 0, EVENT.litmus_call, 1, 0, -14],
    );
    const operations = [['r = guest_read(5)', 'guest_write(5, 1)'].map((text) => ({ text, result: String }))];
    const text = raceDiagram(records, ['vcpu0', 'vmm'], { operations, choices: [1, 1, 0, 0, 1, 0, 0], width: 100 });
    expect(text).toBe(
      [
        '  cpu0 (vcpu0)                     cpu1 (vmm)',
        '  ------------                     ----------',
        '                                   zap_page_range(0x5): 1 page',
        // its first step is the third
        '  r = guest_read(5)',
        '    stage2_map(gfn 0x5): pfn 0x21',
        '    returns 7',
        '  guest_write(5, 1): -14',
        '',
      ].join('\n'),
    );
  });

  it('has nothing to say about nothing, and says so', () => {
    expect(raceDiagram(new Int32Array(0), [])).toBe('  (no events)\n');
    expect(
      raceDiagram(new Int32Array(0), [], { violation: { invariant: 'I-REF', what: 'refs is 2, ledger says 1' } }),
    ).toBe('  (no events)\n\n  *** I-REF: refs is 2, ledger says 1\n');
  });

  it('exports to Mermaid', () => {
    const mermaid = formatMermaid(chooseRows(spe, ['vcpu0', 'vmm', 'numa-balancer'], { focus: { pfn: 0x4d } }));
    expect(mermaid).toContain('participant a2 as numa-balancer');
    expect(mermaid).toContain('Note over a2: #nbsp;#nbsp;#nbsp;#nbsp;stage2_unmap(gfn 0x12) (pinned page unmapped)');
  });

  // Records that a dead worker left, or a newer table's: whatever stands there, something is printed, within the width.
  it.each([40, 72, 100])('never throws and never exceeds a width of %d, whatever the records hold', (width) => {
    const word = fc.oneof(fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }), fc.integer({ min: -2, max: 70 }));
    fc.assert(
      fc.property(
        fc.array(word, { maxLength: 40 * RECORD_WORDS }),
        fc.array(fc.string({ maxLength: 60 }), { maxLength: 8 }),
        fc.option(fc.record({ pfn: fc.nat(70), gfn: fc.nat(70), vpn: fc.nat(70) }, { requiredKeys: [] })),
        fc.option(fc.nat(5000)),
        (numbers, names, focus, time) => {
          const violation = time === null ? undefined : { invariant: 'I-X', what: 'x'.repeat(150), actor: time, time };
          const text = raceDiagram(Int32Array.from(numbers), names, { focus: focus ?? undefined, violation, width });
          for (const line of text.split('\n')) {
            expect(line.length).toBeLessThanOrEqual(width);
            expect(line).toBe(line.trimEnd());
          }
        },
      ),
      { numRuns: 150 },
    );
  });
});

describe('the text of an event', () => {
  it('is in kernel words', () => {
    const names = ['vcpu0', 'vmm', 'numa-balancer'];
    const lines = Array.from({ length: spe.length / RECORD_WORDS }, (_, i) => eventText(spe, i, names));
    expect(lines[1]).toBe('2 vcpu0: pin_user_pages(0x12, LONGTERM): pfn 0x4d');
    expect(lines[4]).toBe('9 numa-balancer: invalidate_range_start(0x10-0x20) for numa_scan');
    expect(lines[6]).toBe('11 numa-balancer: stage2_unmap(gfn 0x12)  <-- pinned page unmapped');
    expect(eventText(story([1, 0, EVENT.notifier_start, 0, 3, 4, MECH.none]), 0, [])).toBe(
      '1 actor0: invalidate_range_start(0x3) for none',
    );
  });
});
