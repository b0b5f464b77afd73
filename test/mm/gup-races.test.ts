/**
 * Pins against everything that changes page tables, in orders that seeds decide: a pinned page keeps its content and,
 * unless it is zapped, its place (F2); and when all is over, every count adds up.
 */
import { expect, it } from 'vitest';
import {
  FOLL_GET,
  FOLL_LONGTERM,
  FOLL_WRITE,
  MIGRATE_ASYNC,
  MIGRATE_SYNC,
  VM_HUGEPAGE,
  VM_MERGEABLE,
  VM_READ,
  VM_WRITE,
} from '#src/machine/abi.js';
import { MECH } from '#src/machine/mechanisms.js';
import { type Context, type Coroutine, randomBelow } from '#src/machine/context.js';
import { LOCAL, effectWord } from '#src/machine/effects.js';
import { entryPfn, isPresent, isSpecial, isTable } from '#src/machine/entries.js';
import { pmdWord, pteWord } from '#src/machine/layout.js';
import { MC_PAGES_MOVED } from '#src/machine/stats.js';
import { folioOf } from '#src/mm/folio.js';
import { gupPutFolio } from '#src/mm/gup/grab.js';
import { getUserPagesUnlocked, pinUserPagesFast } from '#src/mm/gup/gup.js';
import { khugepagedScan } from '#src/mm/khugepaged/khugepaged.js';
import { ksmDoScan } from '#src/mm/ksm/ksm.js';
import { madviseDontneed } from '#src/mm/madvise/madvise.js';
import { taskNumaWork } from '#src/mm/mempolicy.js';
import { mprotect } from '#src/mm/mprotect/mprotect.js';
import { folioIsolateLru } from '#src/mm/swap.js';
import { peek } from '#words';
import { audit } from '../helpers/audit.js';
import { Stepped } from '../helpers/drive.js';
import { MmLab, touch } from '../helpers/mm-lab.js';

const PAGES = 8;
const SEEDS = 8;

/** What vpn maps, without a lock: a hint. */
function mappedPfn(ctx: Context, vpn: number): number {
  const pmd = peek(ctx.words, pmdWord(ctx.m, 0, vpn));
  if (!isTable(pmd)) return 0;
  const pte = peek(ctx.words, pteWord(ctx.m, entryPfn(pmd), vpn));
  return isPresent(pte) && !isSpecial(pte) ? entryPfn(pte) : 0;
}

/** Leaves the others some room, so that trylocks work too. */
function* pause(ctx: Context, steps: number): Coroutine<void> {
  for (let n = randomBelow(ctx, steps); n > 0; n--) yield LOCAL;
}

function* pinner(ctx: Context, rounds: number, zaps: boolean): Coroutine<void> {
  for (let i = 0; i < rounds; i++) {
    const vpn = randomBelow(ctx, PAGES);
    const flags = FOLL_WRITE | (randomBelow(ctx, 2) === 0 ? FOLL_LONGTERM : 0);
    const pfn = yield* pinUserPagesFast(ctx, 0, vpn, flags);
    if (pfn < 0) continue;
    yield* pause(ctx, 60);
    const now = mappedPfn(ctx, vpn);
    // writable and exclusive when it was pinned: the process goes on using this page
    if (!zaps && now !== 0) expect(now).toBe(pfn);
    yield* ctx.kernel.unpinUserPage(ctx, pfn, randomBelow(ctx, 2) === 0);
  }
}

function* getter(ctx: Context, rounds: number): Coroutine<void> {
  for (let i = 0; i < rounds; i++) {
    const pfn = yield* getUserPagesUnlocked(ctx, 0, randomBelow(ctx, PAGES), 0);
    if (pfn < 0) continue;
    yield* pause(ctx, 20);
    yield* gupPutFolio(ctx, pfn, FOLL_GET);
  }
}

function* toucher(ctx: Context, rounds: number): Coroutine<void> {
  for (let i = 0; i < rounds; i++)
    yield* touch(ctx, randomBelow(ctx, PAGES), randomBelow(ctx, 3) > 0, 5 + randomBelow(ctx, 2));
}

function* balancer(ctx: Context, rounds: number): Coroutine<void> {
  for (let i = 0; i < rounds; i++) {
    yield* taskNumaWork(ctx, 0, PAGES);
    yield* pause(ctx, 60);
  }
}

/** move_pages(): isolates what is mapped, under mmap_lock, and migrates it. */
function* mover(ctx: Context, rounds: number): Coroutine<void> {
  for (let i = 0; i < rounds; i++) {
    const heads: number[] = [];
    for (let n = 0; n < 3; n++) {
      const vpn = randomBelow(ctx, PAGES);
      const pfn = yield* getUserPagesUnlocked(ctx, 0, vpn, 0);
      // no page, or the zero page
      if (pfn <= 0) continue;
      const head = folioOf(ctx, pfn);
      if (yield* folioIsolateLru(ctx, head)) heads.push(head);
      yield* gupPutFolio(ctx, pfn, FOLL_GET);
    }
    const node = randomBelow(ctx, 2);
    yield* ctx.kernel.migratePages(ctx, heads, node, randomBelow(ctx, 2) === 0 ? MIGRATE_ASYNC : MIGRATE_SYNC);
  }
}

function* protector(ctx: Context, rounds: number): Coroutine<void> {
  for (let i = 0; i < rounds; i++) {
    const start = randomBelow(ctx, PAGES);
    const end = start + 1 + randomBelow(ctx, PAGES - start);
    yield* mprotect(ctx, 0, start, end, VM_READ);
    yield* mprotect(ctx, 0, start, end, VM_READ | VM_WRITE);
    yield* pause(ctx, 400);
  }
}

function* zapper(ctx: Context, rounds: number): Coroutine<void> {
  for (let i = 0; i < rounds; i++) {
    const start = randomBelow(ctx, PAGES);
    yield* madviseDontneed(ctx, 0, start, start + 1 + randomBelow(ctx, PAGES - start));
    yield* pause(ctx, 200);
  }
}

function* ksmd(ctx: Context, rounds: number): Coroutine<void> {
  for (let i = 0; i < rounds; i++) {
    yield* ksmDoScan(ctx, PAGES);
    yield* pause(ctx, 60);
  }
}

function* khugepaged(ctx: Context, rounds: number): Coroutine<void> {
  for (let i = 0; i < rounds; i++) yield* khugepagedScan(ctx, 2 * PAGES);
}

/** Steps everybody in an order that a linear congruential sequence decides. */
function race(tasks: Stepped<unknown>[], seed: number): void {
  let state = seed;
  for (let n = 0; n < 400_000 && tasks.some((task) => !task.done); n++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0;
    const task = tasks[(state >>> 16) % tasks.length] as Stepped<unknown>;
    // a few steps at once, so that some get far while others stand still
    for (let run = (state >>> 8) & 7; run >= 0 && task.step(); run--);
  }
  // then fairly, so that whoever is not done stands still for good
  for (let n = 0; n < 200_000 && tasks.some((task) => !task.done); n++) for (const task of tasks) task.step();
  const stuck = tasks
    .filter((task) => !task.done)
    .map(({ ctx, effect }) => `actor ${ctx.actor}: ${effectWord(effect)}`);
  expect(stuck, `seed ${seed}`).toEqual([]);
}

it.each([
  ['small pages, nothing zapped', VM_MERGEABLE, false],
  ['small pages, zapped', VM_MERGEABLE, true],
  ['huge pages too', VM_HUGEPAGE | VM_MERGEABLE, true],
])('%s', (_what, flags, zaps) => {
  let hints = 0;
  let moved = 0;
  let merged = 0;
  for (let seed = 1; seed <= SEEDS; seed++) {
    const lab = new MmLab({}, { framesPerNode: 64, cpus: 10, lruBatch: seed % 2 === 0 ? 3 : 0 });
    lab.map(0, PAGES, flags);
    const stepped = (cpu: number, main: (ctx: Context, rounds: number) => Coroutine<void>, rounds: number) => {
      lab.ctx(cpu).task.randomState ^= seed * 0x9e3779b1;
      return new Stepped(lab.ctx(cpu), main(lab.ctx(cpu), rounds));
    };
    const tasks: Stepped<unknown>[] = [
      stepped(0, (ctx, rounds) => pinner(ctx, rounds, zaps), 25),
      stepped(1, (ctx, rounds) => pinner(ctx, rounds, zaps), 25),
      stepped(2, toucher, 120),
      stepped(3, toucher, 120),
      stepped(4, getter, 10),
      stepped(5, balancer, 25),
      stepped(6, mover, 10),
      stepped(7, ksmd, 8),
      stepped(8, zaps ? zapper : protector, 12),
      stepped(9, (flags & VM_HUGEPAGE) !== 0 ? khugepaged : protector, 6),
    ];
    race(tasks, seed * 7919);
    // what waits in LRU batches is accounted for by the audit
    expect(audit(lab.m), `seed ${seed}`).toEqual([]);
    expect(lab.probe.warnings).toEqual([]);
    expect(lab.probe.starts.length).toBe(lab.probe.ends);
    for (let cpu = 0; cpu < 10; cpu++) expect(lab.ctx(cpu).task.heldCount).toBe(0);
    hints += lab.stat('numa_hint_faults');
    moved += lab.mechanism(MECH.none, MC_PAGES_MOVED);
    merged += lab.stat('ksm_merged');
  }
  // the race was one: everybody got somewhere
  expect(Math.min(hints, moved, merged)).toBeGreaterThan(0);
});
