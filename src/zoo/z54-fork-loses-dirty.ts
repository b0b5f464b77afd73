/**
 * Z54: fork write-protects a PTE and drops its dirty bit with the write bit.
 *
 *     process: MADV_FREE, then writes again: the hardware makes the PTE dirty        reclaim: -
 *     process: fork: read-only for parent and child, and clean                       -
 *     -                                                                              nothing is dirty: drops the page
 *     process: reads zeroes
 *
 * On architectures where a clean and writable entry is one thing and a dirty one another, write-protection must carry the dirty state over
 * into a software bit.
 */
import type { Context, Coroutine } from '../machine/context.js';
import { updates } from '../machine/effects.js';
import { PTE_DIRTY, isPresent } from '../machine/entries.js';
import { copyPresentPte } from '../mm/memory/fork.js';
import { vmaMm } from '../mm/vma/vma.js';
import { fetchAnd } from '#words';
import type { Bug } from './bug.js';
import { changes, looksAt } from './bug-clash.js';

/** copy_present_pte() where pte_wrprotect() clears what the hardware has noted, in the parent's entry and in the child's. */
function* forgetsDirty(
  ctx: Context,
  dstVma: number,
  srcVma: number,
  vpn: number,
  dstAt: number,
  srcAt: number,
  pte: number,
  prealloc: number,
): Coroutine {
  const result = yield* copyPresentPte(ctx, dstVma, srcVma, vpn, dstAt, srcAt, pte, prealloc);
  if (result !== 0) return result;
  yield* makeClean(ctx, vmaMm(ctx, srcVma), vpn, srcAt);
  yield* makeClean(ctx, vmaMm(ctx, dstVma), vpn, dstAt);
  return 0;
}

function* makeClean(ctx: Context, mm: number, vpn: number, at: number): Coroutine<void> {
  if (--ctx.quantum < 0) yield updates(at);
  const before = fetchAnd(ctx.words, at, ~PTE_DIRTY);
  if (isPresent(before)) ctx.probe.onEntry(ctx, mm, vpn, at, before, before & ~PTE_DIRTY);
}

export const z54: Bug = {
  id: 'Z54',
  title: 'fork loses the dirty bit, and reclaim drops what was written after MADV_FREE',
  commit: '018e9828eb52 ("LoongArch: Fix missing dirty page tracking in {pte,pmd}_wrprotect()")',
  fixedIn: 'v7.1',
  story:
    'pte_wrprotect() cleared the hardware dirty bit together with the write bit and kept it nowhere. After fork nobody could tell any more that a ' +
    'lazily freed page had been written since, and reclaim discarded it instead of keeping it.',
  policy: 'classic',
  replace: { copyPresentPte: forgetsDirty },
  expect: ['I-LOST'],
  litmus: 'z54-fork-loses-dirty.litmus',
  clash: {
    steps: [
      changes('PTE', ['copyPresentPte', 'forgetsDirty', 'makeClean']),
      looksAt(['PTE', 'flags'], ['tryToUnmapOne', 'unmapPte', 'unmapLazyfreePte']),
    ],
    or: [
      changes('PTE', ['copyPresentPte', 'forgetsDirty', 'makeClean']),
      changes('PTE', ['tryToUnmapOne', 'unmapPte']),
    ],
    follows: '018e9828eb52',
  },
};
