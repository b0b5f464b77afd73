/** What a running simulation shows, part by part, on machines and events made by hand. */
import { Subject } from 'rxjs';
import { describe, expect, it } from 'vitest';
import { EVENT, type EventName } from '#src/events/table.js';
import { RECORD_WORDS, putRecord } from '#src/events/record.js';
import { eventsOfPage, pageEvents, EventHistory } from '#src/lab/live/history.js';
import { MemoryMaps } from '#src/lab/live/memory-map.js';
import { PageNames } from '#src/lab/live/page-names.js';
import { schemePlacement } from '#src/lab/live/placements.js';
import { RaceMeter } from '#src/lab/live/races.js';
import { type NearMiss, PAGE_STATES } from '#src/lab/live/types.js';
import { EventWatch } from '#src/lab/live/watch.js';
import { loadScenario } from '#src/lab/scenario/scenario.js';
import { makePlan } from '#src/lab/scenario/plan.js';
import { COMPOUND_HEAD, COMPOUND_TAIL, GUP_PIN_COUNTING_BIAS, MAPPING_KSM } from '#src/machine/abi.js';
import { MECH } from '#src/machine/mechanisms.js';
import {
  PMD_HUGE,
  PTE_PRESENT,
  PTE_PROTNONE,
  PTE_WRITE,
  S2_VALID,
  SWP_MIGRATION_WRITE,
  SWP_SWAP,
  mkEntry,
  mkS2Table,
  mkSwapEntry,
  mkTable,
} from '#src/machine/entries.js';
import {
  KSM_NODE_COUNT,
  type Machine,
  PAGE_COMPOUND,
  PAGE_MAPPING,
  PAGE_MAPS,
  PAGE_PINCOUNT,
  PAGE_REFS,
  ksmNodeWord,
  pageWord,
  pmdWord,
  pteWord,
  s2PteWord,
  s2RootWord,
} from '#src/machine/layout.js';
import { prepareMachine } from '#src/engine/machine/setup.js';
import { EventBatch } from '#src/trace/batch.js';
import { actor } from '../engine/threads-plan.js';
import { TINY, scenarioFile } from './tiny.js';

const tiny = (): Machine => prepareMachine(makePlan(loadScenario(scenarioFile(TINY)), { policy: 'classic', seed: 1 }));

describe('the memory map', () => {
  const m = tiny();
  const set = (word: number, value: number): void => void (m.words[word] = value);
  const frame = (pfn: number, field: number, value: number): void => set(pageWord(m, pfn, field), value);
  const TABLE = 3;
  const pte = (vpn: number, entry: number): void => set(pteWord(m, TABLE, vpn), entry);
  const maps = new MemoryMaps(m);
  const states = (): string[] => Array.from(maps.map(0), (state) => PAGE_STATES[state] as string);

  it('names the state of each page', () => {
    set(pmdWord(m, 0, 0), mkTable(TABLE));
    set(s2RootWord(m, 0, 0), mkS2Table(TABLE));
    pte(0, mkEntry(100, PTE_PRESENT | PTE_WRITE));
    pte(1, mkEntry(101, PTE_PROTNONE));
    pte(2, mkEntry(102, PTE_PRESENT));
    frame(102, PAGE_MAPPING, (5 << 2) | MAPPING_KSM);
    pte(3, mkEntry(103, PTE_PRESENT));
    frame(103, PAGE_REFS, 2 * GUP_PIN_COUNTING_BIAS + 2);
    frame(103, PAGE_MAPS, 1);
    pte(4, mkSwapEntry(SWP_MIGRATION_WRITE, 104, 0));
    pte(5, mkSwapEntry(SWP_SWAP, 7, 0));
    set(s2PteWord(m, TABLE, 3), mkEntry(103, S2_VALID));
    set(pmdWord(m, 0, 8), mkEntry(200, PTE_PRESENT | PMD_HUGE));
    frame(200, PAGE_COMPOUND, COMPOUND_HEAD | (3 << 24));
    for (let n = 1; n < 8; n++) frame(200 + n, PAGE_COMPOUND, COMPOUND_TAIL | 200);
    expect(states().slice(0, 10)).toEqual([
      'mapped',
      'prot_none',
      'ksm',
      'pinned',
      'migrating',
      'swapped',
      'none',
      'none',
      'huge',
      'huge',
    ]);
    frame(200, PAGE_PINCOUNT, 1);
    expect(states().slice(8, 16)).toEqual(Array.from({ length: 8 }, () => 'pinned'));
    expect(states().length).toBe(256);
  });

  it('tells a pinned page that stage 2 has lost from one that it never had', () => {
    set(s2PteWord(m, TABLE, 3), 0);
    expect(states()[3]).toBe('unmapped_pinned');
    // another frame than the one that was mapped
    frame(105, PAGE_REFS, GUP_PIN_COUNTING_BIAS + 1);
    pte(3, mkEntry(105, PTE_PRESENT));
    expect(states()[3]).toBe('pinned');
    pte(3, mkEntry(103, PTE_PRESENT));
  });

  it('shows one page', () => {
    set(s2PteWord(m, TABLE, 3), mkEntry(103, S2_VALID));
    expect(maps.page(0, 3)).toMatchObject({
      state: 'pinned',
      mm: 0,
      vpn: 3,
      pfn: 103,
      refs: 2 * GUP_PIN_COUNTING_BIAS + 2,
      pins: 2,
      mappings: 1,
      host: { text: 'pfn 0x67 RO' },
      stage2: { text: 'pfn 0x67' },
      order: 0,
      head: 103,
    });
    set(ksmNodeWord(m, 5, KSM_NODE_COUNT), 4);
    expect(maps.page(0, 2).ksmSharers).toBe(4);
    expect(maps.page(0, 11)).toMatchObject({ state: 'pinned', pfn: 203, head: 200, order: 3, pins: 1 });
    expect(maps.page(0, 6)).toMatchObject({ state: 'none', pfn: -1, refs: 0, host: { text: 'none' } });
    expect(() => maps.page(0, 256)).toThrow('VM 0: no page 256; expected 0 to 255');
    expect(() => maps.map(1)).toThrow('no VM 1; there are 1');
  });
});

/** Records made by hand: time counts them. */
class Records {
  readonly #rows: number[][] = [];

  add(name: EventName, by: number, a = 0, b = 0, c = 0, d = 0): this {
    this.#rows.push([EVENT[name], by, a, b, c, d]);
    return this;
  }

  get words(): Int32Array {
    const words = new Int32Array(this.#rows.length * RECORD_WORDS);
    this.#rows.forEach(([type = 0, by = 0, a = 0, b = 0, c = 0, d = 0], n) =>
      putRecord(words, n, type, by, n + 1, a, b, c, d, n),
    );
    return words;
  }

  batch(names: readonly string[]): EventBatch {
    return new EventBatch(this.words, 0, this.#rows.length, names);
  }
}

const NAMES = ['vcpu0', 'dma', 'ksmd', 'numa-balancer'];

const told = (events: Int32Array): string[] => pageEvents(events, NAMES, 100).map((event) => event.type);

describe('the history of a page', () => {
  const m = tiny();
  const records = new Records()
    .add('page_pin', 1, 0, 17, 117, 0)
    .add('notifier_start', 3, 0, 16, 24, MECH.numa_scan)
    .add('stage2_unmap', 3, 0, 17, 117, 1)
    .add('notifier_start', 3, 0, 40, 48, MECH.numa_scan)
    .add('split_huge_pmd', 2, 0, 16, 116, 1)
    .add('pte_change', 2, 0, 16, 0, 0)
    .add('migrate', 3, 117, 130, 0, 0)
    .add('page_unpin', 1, 130, 1)
    .add('page_unpin', 1, 140, 1).words;

  it('holds what names it, its frame, its range or its huge page, in order', () => {
    const history = new EventHistory(m);
    const names = new PageNames(m);
    for (let i = 0; i < records.length / RECORD_WORDS; i++)
      history.push(records, i, names.read(records, i) ? names : null);
    expect(told(history.find(17))).toEqual([
      'page_pin',
      'notifier_start',
      'stage2_unmap',
      'split_huge_pmd',
      'migrate',
      'page_unpin',
    ]);
    expect(told(history.find(99))).toEqual([]);
    expect(told(history.last()).length).toBe(9);
    const [first] = pageEvents(history.find(17), NAMES, 100);
    expect(first).toMatchObject({ time: 1, actor: 'dma', text: 'get_user_pages(0x11): pfn 0x75' });
  });

  it('keeps the newest of each page, however much happens to others', () => {
    const history = new EventHistory(m);
    const names = new PageNames(m);
    const push = (words: Int32Array): void => {
      for (let i = 0; i < words.length / RECORD_WORDS; i++) history.push(words, i, names.read(words, i) ? names : null);
    };
    push(new Records().add('stage2_map', 0, 0, 5, 105, 1).words);
    for (let n = 0; n < 100; n++) push(new Records().add('stage2_map', 0, 0, 6, 200 + n, 1).words);
    expect(told(history.find(5))).toEqual(['stage2_map']);
    expect(told(history.find(6)).length).toBe(history.perPage);
    expect(pageEvents(history.find(6), NAMES, 2).map(({ text }) => text)).toEqual([
      'stage2_map(gfn 0x6): pfn 0x12a',
      'stage2_map(gfn 0x6): pfn 0x12b',
    ]);
  });

  it('is found in records alone, where nobody watched', () => {
    expect(told(eventsOfPage(m, records, 17, 130))).toEqual([
      'page_pin',
      'notifier_start',
      'stage2_unmap',
      'migrate',
      'page_unpin',
    ]);
  });
});

const watch = (): { take: (records: Records) => void; seen: NearMiss[]; watch: EventWatch; at: { ms: number } } => {
  const merged$ = new Subject<EventBatch>();
  const at = { ms: 0 };
  const made = new EventWatch({ machine: tiny(), actorNames: NAMES, merged$, elapsedMs: () => at.ms });
  const seen: NearMiss[] = [];
  made.nearMisses$.subscribe((miss) => seen.push(miss));
  return { take: (records) => merged$.next(records.batch(NAMES)), seen, watch: made, at };
};
const pinnedUnmap = (): Records =>
  new Records()
    .add('page_pin', 1, 0, 17, 117, 0)
    .add('notifier_start', 3, 0, 16, 24, MECH.numa_scan)
    .add('stage2_unmap', 3, 0, 17, 117, 1)
    .add('notifier_end', 3, 0, 16, 24, MECH.numa_scan);

describe('near-misses', () => {
  it('a pinned page unmapped: by whom, for what, whose pin', () => {
    const { take, seen } = watch();
    take(pinnedUnmap());
    expect(seen).toMatchObject([
      {
        kind: 'pinned_unmap',
        mechanism: 'numa_scan',
        actors: ['numa-balancer', 'dma'],
        vm: 0,
        gfn: 17,
        pfn: 117,
        time: 3,
        count: 1,
      },
    ]);
    expect(seen[0]?.diagram).toContain('<-- pinned page');
    expect(seen[0]?.diagram).toContain('numa-balancer');
  });

  it('a retry saves whose page is being taken away, and nobody else', () => {
    const { take, seen, watch: made } = watch();
    take(
      new Records()
        .add('notifier_start', 2, 0, 30, 31, MECH.ksm)
        .add('stage2_retry', 0, 0, 30, 1, 1)
        .add('stage2_retry', 0, 0, 77, 1, 0)
        .add('notifier_start', 0, 0, 40, 41, MECH.ksm)
        .add('stage2_retry', 0, 0, 40, 1, 1),
    );
    expect(seen.map(({ kind, mechanism, actors, gfn }) => [kind, mechanism, actors, gfn])).toEqual([
      ['retry_saved', 'ksm', ['ksmd', 'vcpu0'], 30],
    ]);
    expect(made.counts()).toMatchObject({ total: 1, distinct: 1, nearMisses: { 'retry_saved ksm': 1 } });
  });

  it('a back-out counts when it found a pin, and late', () => {
    const { take, seen } = watch();
    take(
      new Records()
        .add('ksm_write_protect', 2, 0, 17, 117, -14)
        .add('page_pin', 1, 0, 17, 117, 0)
        .add('ksm_write_protect', 2, 0, 17, 117, -14)
        .add('migrate', 3, 117, 0, -11)
        .add('migrate', 3, 117, 200, -11)
        .add('split_folio', 3, 117, -11, 9, 8)
        .add('page_unpin', 1, 117)
        .add('ksm_write_protect', 2, 0, 17, 117, -14),
    );
    expect(seen.map(({ kind, mechanism, actors, time }) => [kind, mechanism, actors, time])).toEqual([
      ['back_out', 'ksm', ['ksmd', 'dma'], 3],
      ['back_out', 'numa_migrate', ['numa-balancer', 'dma'], 5],
    ]);
  });

  it('come one of a kind a second, and are all counted', () => {
    const { take, seen, watch: made, at } = watch();
    for (let n = 0; n < 5; n++) take(pinnedUnmap());
    expect(seen.length).toBe(1);
    at.ms = 1000;
    take(pinnedUnmap());
    expect(seen.map(({ count }) => count)).toEqual([1, 6]);
    expect(made.counts()).toMatchObject({ total: 6, distinct: 1, withoutDiagram: 4, distinctPerSecond: 1 });
  });

  it('stop being looked for when nobody wants them', () => {
    const merged$ = new Subject<EventBatch>();
    const made = new EventWatch({ machine: tiny(), actorNames: NAMES, merged$, elapsedMs: () => 0 });
    const first = made.nearMisses$.subscribe();
    const second = made.nearMisses$.subscribe();
    const release = made.use();
    expect(made.history).not.toBeNull();
    first.unsubscribe();
    release();
    release();
    expect(merged$.observed).toBe(true);
    second.unsubscribe();
    expect(merged$.observed).toBe(false);
    expect(made.history).toBeNull();
  });
});

describe('races', () => {
  it('a pair counts once both orders were seen, on any page', () => {
    const meter = new RaceMeter();
    const unmap = EVENT.stage2_unmap;
    const pin = EVENT.page_pin;
    meter.step(7, 0, unmap);
    meter.step(7, 1, pin);
    expect([meter.pairs, meter.pairsBothOrders]).toEqual([1, 0]);
    meter.step(9, 1, pin);
    meter.step(9, 0, unmap);
    expect([meter.pairs, meter.pairsBothOrders]).toEqual([1, 1]);
    meter.step(9, 1, pin);
    expect([meter.pairs, meter.pairsBothOrders]).toEqual([1, 1]);
  });

  it('steps of one actor, of different pages, and two looks are no pair', () => {
    const meter = new RaceMeter();
    meter.step(7, 0, EVENT.stage2_unmap);
    meter.step(7, 0, EVENT.page_pin);
    meter.step(8, 1, EVENT.page_pin);
    meter.step(5, 0, EVENT.fault);
    meter.step(5, 1, EVENT.stage2_fault);
    meter.step(5, 2, EVENT.access);
    expect(meter.pairs).toBe(0);
    meter.step(5, 2, EVENT.stage2_map);
    expect(meter.pairs).toBe(1);
  });
});

describe('placements', () => {
  const specs = [
    actor('vcpu0', ''),
    actor('vcpu1', ''),
    actor('vmm', ''),
    actor('dma', ''),
    actor('ksmd', '', {}, 'daemon'),
    actor('numa', '', {}, 'daemon'),
    actor('el2-0', '', {}, 'server'),
    actor('el2-1', '', {}, 'server'),
  ];
  it('keep groups apart as far as the workers go', () => {
    expect(schemePlacement(specs, 1, 'apart')).toEqual([0, 0, 0, 0, 0, 0, 0, 0]);
    expect(schemePlacement(specs, 2, 'apart')).toEqual([0, 0, 0, 0, 1, 1, 1, 1]);
    expect(schemePlacement(specs, 3, 'apart')).toEqual([0, 0, 0, 0, 1, 1, 2, 2]);
    expect(schemePlacement(specs, 4, 'apart')).toEqual([0, 1, 0, 1, 2, 2, 3, 3]);
    expect(schemePlacement(specs, 2, 'el2-apart')).toEqual([0, 0, 0, 0, 0, 0, 1, 1]);
    for (const scheme of ['balanced', 'apart', 'el2-apart'] as const) {
      for (let workers = 1; workers <= 9; workers++) {
        const used = new Set(schemePlacement(specs, workers, scheme));
        expect([...used].toSorted((x, y) => x - y)).toEqual(Array.from({ length: Math.min(8, workers) }, (_, n) => n));
      }
    }
  });
});
