/**
 * Z10: Huge Dirty COW. A look makes the huge zero page dirty, and dirty is what a forced write takes for "the copy is made".
 *
 *     GUP (FORCE, WRITE): write fault: a copy     -
 *     remembers that there was one (FOLL_COW)     madvise: MADV_DONTNEED: the copy is gone
 *     -                                           GUP for reading: the huge zero page, its PMD marked dirty
 *     FOLL_COW and dirty: returns the zero page: written to
 *
 * CVE-2017-1000405, in the repair of Z09.
 */
import { FOLL_FORCE, FOLL_WRITE } from '../machine/abi.js';
import type { Context, Coroutine } from '../machine/context.js';
import { reads, releases, updates } from '../machine/effects.js';
import { PTE_DIRTY, PTE_WRITE, PTE_YOUNG, entryPfn, isTransHuge } from '../machine/entries.js';
import { pmdWord } from '../machine/layout.js';
import { LOCK_PMD } from '../locks/classes.js';
import { spinUnlock } from '../locks/exclusive.js';
import { ZERO_PFN } from '../mm/folio.js';
import { NO_PAGE, followPagePte } from '../mm/gup/follow.js';
import { thpStart } from '../mm/huge_memory/huge-memory.js';
import { pmdLock } from '../mm/pgtable.js';
import { fetchOr, readOnce } from '#words';
import type { Bug } from './bug.js';
import { changes, looksAt } from './bug-clash.js';
import { pinForced } from './force-loop.js';

/** The write fault of a forced write has succeeded. */
const FOLL_COW = 1 << 20;

/** faultin_page() (mm/gup.c, v4.14): FOLL_COW where a write fault succeeded in a mapping that is not writable. */
const pinRememberingCow = (ctx: Context, mm: number, vpn: number, flags: number): Coroutine =>
  pinForced(ctx, mm, vpn, flags, (wanted) => wanted | FOLL_COW);

/** follow_trans_huge_pmd(), can_follow_write_pmd() and touch_pmd() (mm/huge_memory.c, v4.14), of the huge zero page. */
function* followTouchingDirty(ctx: Context, mm: number, vma: number, vpn: number, flags: number): Coroutine {
  const pmdAt = pmdWord(ctx.m, mm, vpn);
  const lock = yield* pmdLock(ctx, mm, vpn);
  if (--ctx.quantum < 0) yield reads(pmdAt);
  const pmd = readOnce(ctx.words, pmdAt);
  const zero = isTransHuge(pmd) && entryPfn(pmd) === ZERO_PFN;
  const proved = (flags & (FOLL_FORCE | FOLL_COW)) === (FOLL_FORCE | FOLL_COW) && (pmd & PTE_DIRTY) !== 0;
  const follows = zero && ((flags & FOLL_WRITE) === 0 || (pmd & PTE_WRITE) !== 0 || proved);
  if (follows) {
    // touch_pmd(): whatever is wanted
    if (--ctx.quantum < 0) yield updates(pmdAt);
    const before = fetchOr(ctx.words, pmdAt, PTE_DIRTY | PTE_YOUNG);
    ctx.probe.onEntry(ctx, mm, thpStart(ctx, vpn), pmdAt, before, before | PTE_DIRTY | PTE_YOUNG);
  }
  if (--ctx.quantum < 0) yield releases(lock);
  spinUnlock(ctx, lock, LOCK_PMD);
  if (follows) return ZERO_PFN;
  return zero ? NO_PAGE : yield* followPagePte(ctx, mm, vma, vpn, flags & ~FOLL_COW);
}

export const z10: Bug = {
  id: 'Z10',
  title: 'Huge Dirty COW: a read marks the huge zero page dirty, and a forced write takes that for a copy',
  commit: 'a8f97366452e ("mm, thp: Do not make page table dirty unconditionally in touch_p[mu]d()"); CVE-2017-1000405',
  fixedIn: 'v4.15',
  story:
    'The repair of Dirty COW let a forced write through a read-only entry if it was dirty: the copy that the write fault had made. But ' +
    'get_user_pages() marked huge PMDs dirty whenever it touched them, those of the huge zero page too.',
  policy: 'classic',
  replace: { pinUserPages: pinRememberingCow, followPagePte: followTouchingDirty },
  expect: ['I-RO'],
  litmus: 'z10-huge-zero-dirty.litmus',
  clash: {
    steps: [looksAt('PMD', ['followTouchingDirty', 'faultinPage']), changes('PMD', 'followTouchingDirty')],
    or: [looksAt('PMD', 'faultinPage'), changes('PMD', 'zapPageRange')],
    follows: 'a8f97366452e',
  },
};
