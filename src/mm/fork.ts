/**
 * fork(): a process's memory for its child (kernel/fork.c dup_mm, mm/mmap.c dup_mmap, v6.18; kernel-model 3.19). The child
 * is one of the machine's processes that has no VMA: it was never used, or it has exited.
 *
 * Pages are shared read-only, but those that the parent may have pinned are copied for the child now: whoever writes first
 * gets the copy, and a pin must not become the child's (70e806e4e645, v5.9). What copies VMAs stands in memory-fork.ts.
 */
import { EBUSY, EINTR, EINVAL, ENOMEM, VM_DONTCOPY, VM_LOCKED, VM_PFNMAP } from '../machine/abi.js';
import { MECH } from '../machine/mechanisms.js';
import type { Context, Coroutine } from '../machine/context.js';
import { reads, updates, writes } from '../machine/effects.js';
import {
  MMF_EXITED,
  MMF_EXITING,
  MM_FLAGS,
  MM_FORKS,
  MM_KHUGEPAGED_SLOT,
  MM_KSM_SLOT,
  MM_USERS,
  MM_VMA_COUNT,
  mmWord,
} from '../machine/layout.js';
import { MC_ATTEMPTS, MC_BACKED_OUT, countMechanism } from '../machine/stats.js';
import { wake } from '../machine/wait.js';
import { emit } from '../events/emit.js';
import { EVENT } from '../events/table.js';
import {
  mmapWriteLock,
  mmapWriteLockNested,
  mmapWriteUnlock,
  mmapWriteUnlockNested,
  vmaStartWrite,
} from '../locks/vma-lock.js';
import { fetchAdd, get, peek, readOnce, writeOnce } from '#words';
import { anonVmaFork } from './rmap/anon-vma.js';
import { exitMmap } from './exit.js';
import { vmaLinkFile, vmaObject, vmaPgoff } from './filemap.js';
import { enterSlot } from './vma/mmap.js';
import { mmHasNotifiers } from './mmu-notifier.js';
import { flushTlbRange } from './tlb-flush.js';
import { findVmaFrom, insertVma, vmaAnonVma, vmaEnd, vmaFlags, vmaStart } from './vma/vma.js';

/**
 * dup_mm(): gives `child` a copy of `parent`'s memory. Takes both mmap_locks.
 * @returns 0; -EINVAL (the same process); -EBUSY (the child has memory already, or is still dying); -EINTR; -ENOMEM: the
 *   child was torn down again
 */
export function* dupMm(ctx: Context, parent: number, child: number): Coroutine {
  if (parent === child || child < 0 || child >= ctx.m.mms) return -EINVAL;
  const outer = ctx.task.mechanism;
  ctx.task.mechanism = MECH.fork;
  countMechanism(ctx.m, ctx.actor, MECH.fork, MC_ATTEMPTS, 1);
  const result = yield* ctx.kernel.dupMmap(ctx, parent, child);
  if (result !== 0) countMechanism(ctx.m, ctx.actor, MECH.fork, MC_BACKED_OUT, 1);
  emit(ctx, EVENT.fork, parent, child, result);
  ctx.task.mechanism = outer;
  // mmput()
  if (result !== 0 && result !== -EBUSY) yield* exitMmap(ctx, child);
  // wake_up_new_task(); who waits for a child that could not be made goes on without memory
  const forks = mmWord(ctx.m, child, MM_FORKS);
  if (--ctx.quantum < 0) yield updates(forks);
  fetchAdd(ctx.words, forks, 1);
  wake(ctx.m, forks);
  return result;
}

/**
 * dup_mmap(): every VMA of the parent, its anon_vmas and its page tables.
 * @returns 0, -EBUSY, -EINTR or -ENOMEM; after the last two the child holds what was copied until then
 */
export function* dupMmap(ctx: Context, parent: number, child: number): Coroutine {
  const { m } = ctx;
  yield* mmapWriteLock(ctx, parent);
  yield* mmapWriteLockNested(ctx, child);
  let result = (yield* isUnused(ctx, child)) ? 0 : -EBUSY;
  if (result === 0) {
    yield* mmInit(ctx, child);
    let vma = findVmaFrom(ctx, parent, 0);
    while (vma >= 0 && result === 0) {
      result = yield* dupVma(ctx, parent, child, vma);
      vma = vmaEnd(ctx, vma) < m.mmPages ? findVmaFrom(ctx, parent, vmaEnd(ctx, vma)) : -1;
    }
    if (result === 0) {
      yield* slotFork(ctx, parent, child, MM_KSM_SLOT);
      yield* slotFork(ctx, parent, child, MM_KHUGEPAGED_SLOT);
    }
  }
  yield* mmapWriteUnlockNested(ctx, child);
  // all that was write-protected, at once: until here the parent's threads may still write what the child will see
  yield* flushTlbRange(ctx, false, parent, 0, m.mmPages);
  if (result === 0) ctx.probe.onForked(ctx, parent, child);
  yield* mmapWriteUnlock(ctx, parent);
  return result;
}

/** Whether `mm`, whose mmap_lock is held for writing, is no process's: it never was, or exit_mmap() is through with it. */
function* isUnused(ctx: Context, mm: number): Coroutine<boolean> {
  if (get(ctx.words, mmWord(ctx.m, mm, MM_VMA_COUNT)) !== 0 || mmHasNotifiers(ctx, mm)) return false;
  const flags = mmWord(ctx.m, mm, MM_FLAGS);
  if (--ctx.quantum < 0) yield reads(flags);
  return (readOnce(ctx.words, flags) & (MMF_EXITING | MMF_EXITED)) !== MMF_EXITING;
}

/** mm_init(): neither pinned nor exiting; its tasks may have been counted already. */
function* mmInit(ctx: Context, mm: number): Coroutine<void> {
  const { m, words } = ctx;
  const flags = mmWord(m, mm, MM_FLAGS);
  if (--ctx.quantum < 0) yield writes(flags);
  writeOnce(words, flags, 0);
  const users = mmWord(m, mm, MM_USERS);
  if (get(words, users) !== 0) return;
  if (--ctx.quantum < 0) yield writes(users);
  writeOnce(words, users, 1);
}

/** One VMA of the parent: vm_area_dup(), anon_vma_fork(), copy_page_range(). */
function* dupVma(ctx: Context, parent: number, child: number, src: number): Coroutine {
  yield* vmaStartWrite(ctx, parent, src);
  const flags = vmaFlags(ctx, src);
  if ((flags & VM_DONTCOPY) !== 0) return 0;
  if (ctx.task.fatalSignal) return -EINTR;
  const dst = yield* insertVma(ctx, child, vmaStart(ctx, src), vmaEnd(ctx, src), flags & ~VM_LOCKED);
  if (dst < 0) return -ENOMEM;
  if ((yield* anonVmaFork(ctx, dst, src)) !== 0) return -ENOMEM;
  const object = vmaObject(ctx, src);
  if (object >= 0) yield* vmaLinkFile(ctx, dst, object, vmaPgoff(ctx, src));
  // vma_needs_copy(): what a fault will bring back is not copied
  const copied = vmaAnonVma(ctx, src) !== 0 || (flags & VM_PFNMAP) !== 0;
  return copied ? yield* ctx.kernel.copyPageRange(ctx, dst, src) : 0;
}

/** ksm_fork(), khugepaged_fork(): the daemons look at the child as they do at the parent. */
function* slotFork(ctx: Context, parent: number, child: number, slot: number): Coroutine<void> {
  if (peek(ctx.words, mmWord(ctx.m, parent, slot)) !== 0) yield* enterSlot(ctx, child, slot);
}
