/** mmap() of anonymous memory, or of a driver's (mm/vma.c __mmap_region, v6.18). */
import {
  EEXIST,
  EINVAL,
  ENOMEM,
  VM_FLAGS_MASK,
  VM_HUGEPAGE,
  VM_MAYWRITE,
  VM_MERGEABLE,
  VM_OBJECT_SHIFT,
  VM_PFNMAP,
} from '../../machine/abi.js';
import { glance } from '../../machine/words/extra-accesses.js';
import type { Context, Coroutine } from '../../machine/context.js';
import { writes } from '../../machine/effects.js';
import { MM_KHUGEPAGED_SLOT, MM_KSM_SLOT, MM_USERS, mmWord } from '../../machine/layout.js';
import { emit } from '../../events/emit.js';
import { EVENT } from '../../events/table.js';
import { mmapWriteLock, mmapWriteUnlock } from '../../locks/vma-lock.js';
import { writeOnce } from '#words';
import { remapPfnRange } from '../memory/pfnmap.js';
import { shmemMmap } from '../shmem.js';
import { findVmaFrom, insertVma, vmaMerge, vmaStart } from './vma.js';

/**
 * Maps `pages` anonymous pages at `start`; with VM_PFNMAP a driver's, all of them at once. VM_MERGEABLE and VM_HUGEPAGE
 * also enter the mm into ksmd's and khugepaged's lists, as the madvise calls would.
 * @param wanted VM_* flags; with a shared memory object in them (sharedFlags) a shared mapping of it, from its first page on
 * @returns 0; -EINVAL (range), -EEXIST (MAP_FIXED_NOREPLACE: something is mapped there), -ENOMEM (no VMA left; the driver has no memory)
 */
export function* mmapRegion(ctx: Context, mm: number, start: number, pages: number, wanted: number): Coroutine {
  const flags = wanted & VM_FLAGS_MASK;
  const object = (wanted >>> VM_OBJECT_SHIFT) - 1;
  if (start < 0 || pages <= 0 || start + pages > ctx.m.mmPages || object >= ctx.m.objects) return -EINVAL;
  yield* mmapWriteLock(ctx, mm);
  const next = findVmaFrom(ctx, mm, start);
  let result = next >= 0 && vmaStart(ctx, next) < start + pages ? -EEXIST : 0;
  if (result === 0) {
    // do_mmap(): anonymous memory may always be made writable later
    const vma = yield* insertVma(ctx, mm, start, start + pages, flags | VM_MAYWRITE);
    if (vma < 0) {
      result = -ENOMEM;
    } else {
      if (object >= 0) yield* shmemMmap(ctx, vma, object);
      else if ((flags & VM_PFNMAP) !== 0) result = yield* remapPfnRange(ctx, mm, start, pages, flags);
      else yield* vmaMerge(ctx, mm, vma);
      if ((flags & VM_MERGEABLE) !== 0) yield* enterSlot(ctx, mm, MM_KSM_SLOT);
      if ((flags & VM_HUGEPAGE) !== 0) yield* enterSlot(ctx, mm, MM_KHUGEPAGED_SLOT);
      const users = mmWord(ctx.m, mm, MM_USERS);
      if (glance(ctx.words, users) === 0) {
        if (--ctx.quantum < 0) yield writes(users);
        writeOnce(ctx.words, users, 1);
      }
      emit(ctx, EVENT.mmap, mm, start, start + pages, flags);
    }
  }
  yield* mmapWriteUnlock(ctx, mm);
  return result;
}

/** __ksm_enter(), __khugepaged_enter(): the daemons look at mms whose slot is set. */
export function* enterSlot(ctx: Context, mm: number, slot: number): Coroutine<void> {
  const at = mmWord(ctx.m, mm, slot);
  if (--ctx.quantum < 0) yield writes(at);
  writeOnce(ctx.words, at, 1);
}
