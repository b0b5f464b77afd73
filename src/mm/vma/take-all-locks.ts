/**
 * The rmap half of mm_take_all_locks() (mm/vma.c, v6.18): the i_mmap and anon_vma locks of everything that a process maps, each once, in
 * vm_lock_mapping() and vm_lock_anon_vma(). Migration, reclaim and memory_failure() open and close notifier windows under these alone, so a
 * subscriber that comes while it holds them all is told of no end whose start it has missed.
 */
import type { Context, Coroutine } from '../../machine/context.js';
import {
  AVC_ANON_VMA,
  AVC_VMA_NEXT,
  MM_VMA_COUNT,
  MM_VMA_LIST,
  OBJECT_I_MMAP_RWSEM,
  VMA_AVC,
  avcWord,
  mmWord,
  objectWord,
  vmaWord,
} from '../../machine/layout.js';
import { holds } from '../../locks/held.js';
import { get } from '#words';
import { anonVmaLockWord, anonVmaLockWrite, anonVmaUnlockWrite } from '../rmap/anon-vma.js';
import { iMmapLockWrite, iMmapUnlockWrite, vmaObject } from '../filemap.js';

const vmaCount = (ctx: Context, mm: number): number => get(ctx.words, mmWord(ctx.m, mm, MM_VMA_COUNT));
const vmaAt = (ctx: Context, mm: number, i: number): number => get(ctx.words, mmWord(ctx.m, mm, MM_VMA_LIST) + i);
const iMmapHeld = (ctx: Context, object: number): boolean => holds(ctx, objectWord(ctx.m, object, OBJECT_I_MMAP_RWSEM));

/** Takes them; mmap_lock and every VMA are held for writing. */
export function* takeAllRmapLocks(ctx: Context, mm: number): Coroutine<void> {
  const { m, words } = ctx;
  const count = vmaCount(ctx, mm);
  for (let i = 0; i < count; i++) {
    const object = vmaObject(ctx, vmaAt(ctx, mm, i));
    if (object >= 0 && !iMmapHeld(ctx, object)) yield* iMmapLockWrite(ctx, object);
  }
  for (let i = 0; i < count; i++) {
    for (
      let avc = get(words, vmaWord(m, vmaAt(ctx, mm, i), VMA_AVC));
      avc !== 0;
      avc = get(words, avcWord(m, avc - 1, AVC_VMA_NEXT))
    ) {
      const anonVma = get(words, avcWord(m, avc - 1, AVC_ANON_VMA));
      if (!holds(ctx, anonVmaLockWord(ctx, anonVma))) yield* anonVmaLockWrite(ctx, anonVma);
    }
  }
}

/** Drops them: the rmap half of mm_drop_all_locks(). */
export function* dropAllRmapLocks(ctx: Context, mm: number): Coroutine<void> {
  const { m, words } = ctx;
  const count = vmaCount(ctx, mm);
  for (let i = 0; i < count; i++) {
    for (
      let avc = get(words, vmaWord(m, vmaAt(ctx, mm, i), VMA_AVC));
      avc !== 0;
      avc = get(words, avcWord(m, avc - 1, AVC_VMA_NEXT))
    ) {
      const anonVma = get(words, avcWord(m, avc - 1, AVC_ANON_VMA));
      if (holds(ctx, anonVmaLockWord(ctx, anonVma))) yield* anonVmaUnlockWrite(ctx, anonVma);
    }
    const object = vmaObject(ctx, vmaAt(ctx, mm, i));
    if (object >= 0 && iMmapHeld(ctx, object)) yield* iMmapUnlockWrite(ctx, object);
  }
}
