/** The checking build on a machine of its own: what it accuses, and what it lets pass. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { PG_DIRTY, VM_STATE_LIVE } from '#src/machine/abi.js';
import { SMALL_MACHINE } from '#src/machine/config.js';
import { Context, Probe } from '#src/machine/context.js';
import { LOCAL, acquires, reads, updates, writes } from '#src/machine/effects.js';
import { PTE_PRESENT, S2_VALID, mkEntry, mkS2Table, mkTable } from '#src/machine/entries.js';
import {
  ANON_VMA_HEAD,
  ANON_VMA_REFS,
  ANON_VMA_RWSEM,
  GLOBAL_KSM_THREAD_MUTEX,
  GLOBAL_TABLE_POOL_LOCK,
  KSM_SCAN_ADDRESS,
  MM_FLAGS,
  MM_MMAP_LOCK,
  MM_VMA_COUNT,
  Machine,
  PAGE_COMPOUND,
  PAGE_CONTENT,
  PAGE_FLAGS,
  PAGE_LRU_NEXT,
  PAGE_MAPPING,
  PAGE_REFS,
  TABLE_FREE,
  TABLE_LIVE,
  TABLE_MM,
  TABLE_PMD,
  TABLE_POOL_HEAD,
  TABLE_STATE,
  VMA_REFCNT,
  VMA_START,
  VM_INVALIDATE_SEQ,
  VM_MMU_LOCK,
  VM_STATE,
  anonVmaWord,
  cpuWord,
  globalLock,
  globalWord,
  mmWord,
  pageWord,
  pmdLockOf,
  pmdWord,
  ptlOf,
  pteWord,
  s2PteWord,
  s2RootWord,
  statsBase,
  tableWord,
  vmWord,
  vmaWord,
} from '#src/machine/layout.js';
import {
  beginStep,
  clearViolations,
  cmpxchg,
  endStep,
  fetchAdd,
  fetchAnd,
  fetchOr,
  get,
  peek,
  readOnce,
  resetMachine,
  set,
  setMachine,
  violations,
  writeOnce,
  xchg,
} from '#src/machine/words/words-checked.js';
import { NO_EVENTS } from '#src/events/ring.js';
import {
  LOCK_ANON_VMA,
  LOCK_KSM_THREAD_MUTEX,
  LOCK_MMAP,
  LOCK_MMU,
  LOCK_PMD,
  LOCK_POOL,
  LOCK_PTL,
  LOCK_VMA,
} from '#src/locks/classes.js';
import { pushHeld } from '#src/locks/held.js';
import { BASE_KERNEL } from '#src/engine/machine/kernel.js';

const READ = 0;
const WRITE = 1;
const ACTOR = 1;
let m: Machine;
let w: Int32Array;
let ctx: Context;

beforeEach(() => {
  m = new Machine({ ...SMALL_MACHINE });
  w = m.words;
  ctx = new Context(m, BASE_KERNEL, new Probe(), NO_EVENTS, ACTOR, 0, 1);
  setMachine(m);
  clearViolations();
});
afterEach(() => setMachine(null));

const found = (): string[] => violations().map(({ what }) => what);
const hold = (lock: number, lockClass: number, mode: number): void => pushHeld(ctx, lock, lockClass, mode, false);

describe('marked accesses', () => {
  it('pass at the word that the point declared, however many', () => {
    const flags = mmWord(m, 0, MM_FLAGS);
    beginStep(updates(flags), ACTOR);
    expect([
      readOnce(w, flags),
      fetchOr(w, flags, 6),
      fetchAnd(w, flags, 2),
      fetchAdd(w, flags, 1),
      xchg(w, flags, 9),
    ]).toEqual([0, 0, 6, 2, 3]);
    expect(cmpxchg(w, flags, 9, 1)).toBe(9);
    writeOnce(w, flags, 5);
    expect([peek(w, flags), found()]).toEqual([5, []]);
  });

  it('are accused at any other word, with the line that made them', () => {
    beginStep(reads(mmWord(m, 0, MM_FLAGS)), ACTOR);
    readOnce(w, mmWord(m, 0, MM_FLAGS));
    w[pageWord(m, 3, PAGE_REFS)] = 1;
    fetchAdd(w, pageWord(m, 3, PAGE_REFS), 1);
    expect(violations()).toEqual([
      expect.objectContaining({
        what: 'touches another word than declared',
        actor: ACTOR,
        word: pageWord(m, 3, PAGE_REFS),
      }),
    ]);
    expect(violations()[0]?.site).toMatch(/words-checked\.test\.ts/);
  });

  it('are accused where the point declared no word, or a read', () => {
    const flags = mmWord(m, 0, MM_FLAGS);
    beginStep(LOCAL, ACTOR);
    readOnce(w, flags);
    beginStep(reads(flags), ACTOR);
    writeOnce(w, flags, 1);
    expect(found()).toEqual(['touches a word where none is declared', 'stores to a word declared as read']);
  });

  it("are nobody else's business between two steps, and on other arrays", () => {
    beginStep(LOCAL, ACTOR);
    readOnce(new Int32Array(4), 1);
    endStep();
    readOnce(w, mmWord(m, 0, MM_FLAGS));
    expect(found()).toEqual([]);
  });

  it('need no point at a frame that nobody else can reach', () => {
    const at = (field: number): number => pageWord(m, 5, field);
    beginStep(LOCAL, ACTOR);
    // free; taken by prep_new_page(); ours
    set(w, at(PAGE_COMPOUND), 0);
    set(w, at(PAGE_REFS), 1);
    set(w, at(PAGE_CONTENT), 7);
    fetchOr(w, at(PAGE_FLAGS), PG_DIRTY);
    expect(found()).toEqual([]);
    // published by an entry: any actor's from here on
    beginStep(writes(pteWord(m, 2, 4)), ACTOR);
    writeOnce(w, pteWord(m, 2, 4), mkEntry(5, PTE_PRESENT));
    set(w, at(PAGE_CONTENT), 8);
    expect(found()).toEqual(['plain store: a word that others may touch']);
  });

  it('need a point at a frame of another actor', () => {
    beginStep(LOCAL, 0);
    set(w, pageWord(m, 5, PAGE_REFS), 1);
    beginStep(LOCAL, ACTOR);
    readOnce(w, pageWord(m, 5, PAGE_FLAGS));
    get(w, pageWord(m, 5, PAGE_LRU_NEXT));
    expect(found()).toEqual(['touches a word where none is declared']);
  });

  it('find a freed page table (LK10)', () => {
    w[tableWord(m, 3, TABLE_STATE)] = TABLE_FREE;
    w[tableWord(m, 3, TABLE_PMD)] = pmdWord(m, 0, 0);
    beginStep(reads(pteWord(m, 3, 1)), ACTOR);
    readOnce(w, pteWord(m, 3, 1));
    expect(found()).toEqual(['LK10 entry of a freed table']);
  });
});

/** A field that a lock guards: load and store without it, with it for reading, and with it for writing. */
const GUARDED: readonly (readonly [
  what: string,
  word: (m: Machine) => number,
  lock: (m: Machine) => number,
  lockClass: number,
  shared: boolean,
])[] = [
  [
    'KSM cursor',
    (m) => globalWord(m, KSM_SCAN_ADDRESS),
    (m) => globalLock(m, GLOBAL_KSM_THREAD_MUTEX),
    LOCK_KSM_THREAD_MUTEX,
    false,
  ],
  [
    'pool of tables',
    (m) => globalWord(m, TABLE_POOL_HEAD),
    (m) => globalLock(m, GLOBAL_TABLE_POOL_LOCK),
    LOCK_POOL,
    false,
  ],
  ['list of VMAs', (m) => mmWord(m, 0, MM_VMA_COUNT), (m) => mmWord(m, 0, MM_MMAP_LOCK), LOCK_MMAP, true],
  ['bounds of a VMA', (m) => vmaWord(m, 1, VMA_START), (m) => mmWord(m, 0, MM_MMAP_LOCK), LOCK_MMAP, true],
  [
    'list of an anon_vma',
    (m) => anonVmaWord(m, 2, ANON_VMA_HEAD),
    (m) => anonVmaWord(m, 2, ANON_VMA_RWSEM),
    LOCK_ANON_VMA,
    true,
  ],
  [
    'sequence of invalidations',
    (m) => vmWord(m, 0, VM_INVALIDATE_SEQ),
    (m) => vmWord(m, 0, VM_MMU_LOCK),
    LOCK_MMU,
    true,
  ],
];

describe('plain accesses', () => {
  it.each(GUARDED)('of a %s need its lock', (_what, word, lock, lockClass, shared) => {
    w[vmWord(m, 0, VM_STATE)] = VM_STATE_LIVE;
    w[anonVmaWord(m, 2, ANON_VMA_REFS)] = 1;
    beginStep(LOCAL, ACTOR);
    get(w, word(m));
    set(w, word(m), 1);
    expect(found()).toEqual([
      expect.stringMatching(/^plain load: .*not held/),
      expect.stringMatching(/^plain store: .*not held/),
    ]);
    clearViolations();
    hold(lock(m), lockClass, READ);
    get(w, word(m));
    expect(found()).toEqual([]);
    set(w, word(m), 1);
    expect(found()).toHaveLength(1);
    clearViolations();
    ctx.task.heldCount = 0;
    hold(lock(m), lockClass, WRITE);
    get(w, word(m));
    set(w, word(m), 2);
    expect(found()).toEqual([]);
    expect(typeof shared).toBe('boolean');
  });

  it('of a VMA may also rest on its own lock, held for reading', () => {
    hold(vmaWord(m, 1, VMA_REFCNT), LOCK_VMA, READ);
    beginStep(LOCAL, ACTOR);
    get(w, vmaWord(m, 1, VMA_START));
    get(w, vmaWord(m, 2, VMA_START));
    expect(found()).toEqual([expect.stringMatching(/^plain load: mmap_lock, VMA lock/)]);
  });

  it('of a PTE: under the PTL only what the hardware leaves alone, and anything in a table that no PMD points to', () => {
    const pmd = pmdWord(m, 0, 0);
    w[tableWord(m, 3, TABLE_STATE)] = TABLE_LIVE;
    w[tableWord(m, 3, TABLE_MM)] = 0;
    w[tableWord(m, 3, TABLE_PMD)] = pmd;
    beginStep(LOCAL, ACTOR);
    set(w, pteWord(m, 3, 1), mkEntry(4, PTE_PRESENT));
    expect(found()).toEqual([]);
    w[pmd] = mkTable(3);
    get(w, pteWord(m, 3, 2));
    expect(found()).toEqual(['plain load: PTL is not held']);
    clearViolations();
    hold(ptlOf(m, 3), LOCK_PTL, WRITE);
    get(w, pteWord(m, 3, 2));
    expect(found()).toEqual([]);
    get(w, pteWord(m, 3, 1));
    set(w, pteWord(m, 3, 2), 0);
    expect(found()).toEqual(['plain load: a word that others may touch', 'plain store: a word that others may touch']);
  });

  it('of a PMD that is no huge page rest on the PMD lock', () => {
    beginStep(LOCAL, ACTOR);
    get(w, pmdWord(m, 0, 0));
    hold(pmdLockOf(m, 0, 0), LOCK_PMD, WRITE);
    readOnce(w, pmdWord(m, 0, 0));
    expect(found()).toEqual(['plain load: PMD lock is not held']);
  });

  it('of a stage-2 table: free while no root points to it', () => {
    w[vmWord(m, 0, VM_STATE)] = VM_STATE_LIVE;
    beginStep(LOCAL, ACTOR);
    set(w, s2PteWord(m, 1, 2), 0);
    expect(found()).toEqual([]);
    beginStep(writes(s2RootWord(m, 0, 0)), ACTOR);
    writeOnce(w, s2RootWord(m, 0, 0), mkS2Table(1));
    set(w, s2PteWord(m, 1, 2), S2_VALID);
    expect(found()).toEqual(['plain store: a word that others may touch']);
    clearViolations();
    resetMachine();
    get(w, s2PteWord(m, 1, 2));
    expect(found()).toHaveLength(1);
  });

  it("of counters and CPU words are the actor's own", () => {
    beginStep(acquires(mmWord(m, 0, MM_MMAP_LOCK)), ACTOR);
    set(w, statsBase(m, ACTOR), 1);
    expect(found()).toEqual([]);
    set(w, statsBase(m, 2), 1);
    set(w, cpuWord(m, 2, 80), 1);
    get(w, pageWord(m, 5, PAGE_MAPPING));
    expect(found()).toEqual(["plain store: another actor's word", "plain store: another CPU's word"]);
  });
});
