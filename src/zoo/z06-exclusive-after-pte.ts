/**
 * Z06: ksmd gives up a page's exclusive bit after it has put the PTE back, so that GUP-fast sees the one and not yet the other.
 *
 *     KSM: PTE := none, flush                     GUP-fast: has read the read-only PTE
 *     KSM: no references, no pins                 -
 *     KSM: PTE := read-only again                 pins; reads the PTE again: the same
 *     -                                           exclusive: no unsharing needed, pinned
 *     KSM: exclusive := 0; merges                 the pin holder is left with a page that is not the process's
 *
 * The kernel's code has the right order; what was missing are the barriers that keep it (kernel-model 7.2, point 2). Since GUP-fast
 * takes no interrupt from a flush (generic RCU tables) nothing else kept it either. Schedules are sequentially consistent here,
 * so the two stores stand in the order that they could be seen in.
 */
import { PG_ANON_EXCLUSIVE, PG_DIRTY } from '../machine/abi.js';
import type { Context, Coroutine } from '../machine/context.js';
import { reads, updates, writes } from '../machine/effects.js';
import { PTE_DIRTY, PTE_WRITE } from '../machine/entries.js';
import { clearFlag, flagsWord, folioMaybeDmaPinned, pinsWord, setFlag } from '../mm/folio.js';
import { writeOnce } from '#words';
import type { Bug } from './bug.js';
import { changes, looksAt } from './bug-clash.js';

/** page_try_share_anon_rmap() and set_pte_at() of write_protect_page() (mm/ksm.c, v6.0), as another CPU could see them. */
function* shareAfterStore(
  ctx: Context,
  mm: number,
  vpn: number,
  pfn: number,
  pteAt: number,
  entry: number,
  exclusive: boolean,
): Coroutine<boolean> {
  if (exclusive) {
    if (--ctx.quantum < 0) yield reads(pinsWord(ctx, pfn));
    if (folioMaybeDmaPinned(ctx, pfn)) return false;
  }
  if ((entry & PTE_DIRTY) !== 0) {
    if (--ctx.quantum < 0) yield updates(flagsWord(ctx, pfn));
    setFlag(ctx, pfn, PG_DIRTY);
  }
  const shared = entry & ~(PTE_WRITE | PTE_DIRTY);
  if (--ctx.quantum < 0) yield writes(pteAt);
  writeOnce(ctx.words, pteAt, shared);
  ctx.probe.onEntry(ctx, mm, vpn, pteAt, 0, shared);
  if (exclusive) {
    if (--ctx.quantum < 0) yield updates(flagsWord(ctx, pfn));
    clearFlag(ctx, pfn, PG_ANON_EXCLUSIVE);
  }
  return true;
}

export const z06: Bug = {
  id: 'Z06',
  title: 'GUP-fast sees the PTE that KSM has restored and the exclusive bit that it has not cleared yet',
  commit: '088b8aa537c2 ("mm: fix PageAnonExclusive clearing racing with concurrent RCU GUP-fast")',
  fixedIn: 'v6.1',
  story:
    'To share a page, ksmd clears the PTE, looks at the pins, clears PG_anon_exclusive and restores the PTE read-only. Without barriers ' +
    'another CPU could see the new PTE before the cleared bit: GUP-fast pinned a page as exclusive that was merged in the next moment.',
  policy: 'classic',
  replace: { ksmShare: shareAfterStore },
  expect: ['I-PIN'],
  litmus: 'z06-exclusive-after-pte.litmus',
  clash: {
    steps: [looksAt('flags', 'gupMustUnshare'), changes('flags', 'writeProtectPte')],
    or: [looksAt('refs', 'writeProtectPte'), changes('refs', 'gupFast')],
    follows: '088b8aa537c2',
  },
};
