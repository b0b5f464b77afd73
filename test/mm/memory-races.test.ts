/**
 * Faults, zaps, splits, hint changes and unmaps of one small process by four actors, in random interleavings: after each
 * run everything must add up (I-REF, I-MAP, I-FREE, I-EXCL), and no lock, notifier or gather may be left.
 */
import { describe, expect, it } from 'vitest';
import { FAULT_FLAG_WRITE, VM_HUGEPAGE, VM_MERGEABLE } from '#src/machine/abi.js';
import { type Context, type Coroutine, random, randomBelow } from '#src/machine/context.js';
import { isHuge } from '#src/machine/entries.js';
import { ACTOR_HELD_COUNT, PAGE_CONTENT, type Machine, actorWord, pageWord, pmdWord } from '#src/machine/layout.js';
import { hostAccess } from '#src/machine/access.js';
import { changeHugePmd } from '#src/mm/huge_memory/huge-memory.js';
import { ksmDoScan } from '#src/mm/ksm/ksm.js';
import { madviseDontneed } from '#src/mm/madvise/madvise.js';
import { doUserAddrFault } from '#src/mm/memory/memory.js';
import { exitMmap } from '#src/mm/exit.js';
import { mmapRegion } from '#src/mm/vma/mmap.js';
import { munmap } from '#src/mm/vma/munmap.js';
import { findVma } from '#src/mm/vma/vma.js';
import { mmapReadLock, mmapReadUnlock } from '#src/locks/vma-lock.js';
import { audit } from '../helpers/audit.js';
import { Stepped, makeContext, makeMachine, runToEnd } from '../helpers/drive.js';
import { ANON, recordingKernel } from './kernel.js';

const PAGES = 8;
const FLAGS = ANON | VM_HUGEPAGE | VM_MERGEABLE;

/** A user access: translate, fault, again. A failing fault (nothing mapped) ends it. */
function* access(ctx: Context, vpn: number, write: boolean): Coroutine<void> {
  for (let tries = 0; tries < 50; tries++) {
    if ((yield* hostAccess(ctx, 0, vpn, write, randomBelow(ctx, 3), false)) === 0) return;
    if ((yield* doUserAddrFault(ctx, 0, vpn, write ? FAULT_FLAG_WRITE : 0)) !== 0) return;
  }
}

function* underMmapLock(ctx: Context, vpn: number, numa: boolean): Coroutine<void> {
  yield* mmapReadLock(ctx, 0);
  const vma = findVma(ctx, 0, vpn);
  if (vma >= 0 && isHuge(ctx.words[pmdWord(ctx.m, 0, vpn)] as number)) {
    if (numa) yield* changeHugePmd(ctx, 0, vma, vpn, 0, true);
    else yield* ctx.kernel.splitHugePmd(ctx, 0, vma, vpn);
  }
  yield* mmapReadUnlock(ctx, 0);
}

function* operations(ctx: Context, count: number): Coroutine<void> {
  for (let i = 0; i < count; i++) {
    const vpn = randomBelow(ctx, PAGES);
    const end = vpn + 1 + randomBelow(ctx, PAGES - vpn);
    switch (randomBelow(ctx, 10)) {
      case 0:
        yield* madviseDontneed(ctx, 0, vpn, end);
        break;
      case 1:
        yield* madviseDontneed(ctx, 0, vpn & ~3, (vpn & ~3) + 4);
        break;
      case 2:
        yield* munmap(ctx, 0, vpn, end);
        yield* mmapRegion(ctx, 0, vpn, end - vpn, FLAGS);
        break;
      case 3:
        yield* underMmapLock(ctx, vpn, true);
        break;
      case 4:
        yield* underMmapLock(ctx, vpn, false);
        break;
      case 5:
        yield* ksmDoScan(ctx, 4);
        break;
      default:
        yield* access(ctx, vpn, randomBelow(ctx, 3) > 0);
    }
  }
}

function totalContent(m: Machine): number {
  let sum = 0;
  for (let pfn = 0; pfn < m.frames; pfn++) sum += m.words[pageWord(m, pfn, PAGE_CONTENT)] as number;
  return sum;
}

describe.each([
  ['pages at once', { lruBatch: 0, pcpBatch: 1 }],
  ['batches and per-CPU lists', { lruBatch: 3, pcpBatch: 2 }],
])('random interleavings, %s', (_name, sizes) => {
  it('add up after each run', () => {
    for (let seed = 1; seed <= 60; seed++) {
      const m = makeMachine({ ...sizes, mmPages: PAGES, framesPerNode: 24, vmasPerMm: 12, tlbEntries: 8 });
      const { kernel, open } = recordingKernel();
      const actors = [0, 1, 2, 3].map((actor) => {
        const ctx = makeContext(m, actor, kernel);
        ctx.task.randomState = (seed * 7919 + actor * 104729) | 1;
        return ctx;
      });
      const first = actors[0] as Context;
      runToEnd(mmapRegion(first, 0, 0, PAGES, FLAGS), first);
      const running = actors.map((ctx) => new Stepped(ctx, operations(ctx, 12)));
      const pick = makeContext(m, 4, kernel);
      pick.task.randomState = seed;
      let idle = 0;
      while (running.some((one) => !one.done)) {
        const one = running[random(pick) % running.length] as Stepped<void>;
        // one actor runs on for a while, so that whole operations fall into the gaps of others
        let moved = false;
        for (let burst = randomBelow(pick, 4) === 0 ? 60 : 3; burst > 0 && one.step(); burst--) moved = true;
        idle = moved ? 0 : idle + 1;
        if (idle > 1000)
          throw new Error(`seed ${seed}: deadlock: ${running.map((r) => `${r.done} ${r.effect}`).join(', ')}`);
      }
      for (const ctx of actors) expect(m.words[actorWord(m, ctx.actor, ACTOR_HELD_COUNT)], `seed ${seed}`).toBe(0);
      expect(open(), `seed ${seed}`).toBe(0);
      expect(audit(m), `seed ${seed}`).toEqual([]);
      runToEnd(exitMmap(first, 0), first);
      for (const ctx of actors) expect(ctx.cpu.preemptCount).toBe(0);
      expect(audit(m), `seed ${seed} after exit`).toEqual([]);
      expect(Number.isFinite(totalContent(m))).toBe(true);
    }
  });
});
