/**
 * Z32: ksmd takes a page that the NUMA scan has made a hint for no page, and never comes to merge it.
 *
 *     NUMA scan: PTE := PROT_NONE                 ksmd: looks the page up: PROT_NONE, as if nothing were there
 *     nobody touches it                           ksmd: the same at the next scan, and the next
 *
 * Not unsafe: a matter of progress, and of smaps' figures. The pages nobody touches are the ones worth merging.
 */
import type { Context, Coroutine } from '../machine/context.js';
import { reads } from '../machine/effects.js';
import { entryPfn, isProtnone, isTable } from '../machine/entries.js';
import { pmdWord, pteWord } from '../machine/layout.js';
import { folioWalk } from '../mm/ksm/scan.js';
import { readOnce } from '#words';
import type { Bug } from './bug.js';
import { changes, looksAt } from './bug-clash.js';

/** follow_page() (mm/gup.c, v6.1 to v6.5), which nobody's hint faults follow: gup_can_follow_protnone() without FOLL_FORCE says no. */
function* passOverHints(ctx: Context, mm: number, vpn: number): Coroutine {
  const pmdAt = pmdWord(ctx.m, mm, vpn);
  if (--ctx.quantum < 0) yield reads(pmdAt);
  let entry = readOnce(ctx.words, pmdAt);
  if (isTable(entry)) {
    const pteAt = pteWord(ctx.m, entryPfn(entry), vpn);
    if (--ctx.quantum < 0) yield reads(pteAt);
    entry = readOnce(ctx.words, pteAt);
  }
  return isProtnone(entry) ? -1 : yield* folioWalk(ctx, mm, vpn);
}

export const z32: Bug = {
  id: 'Z32',
  title: 'ksmd passes over pages that are NUMA hints, for as long as nobody touches them',
  commit: 'd74943a2f3cd ("mm/gup: reintroduce FOLL_NUMA as FOLL_HONOR_NUMA_FAULT"); introduced by 474098edac26 (v6.1)',
  fixedIn: 'v6.6',
  story:
    'When FOLL_NUMA went, every look-up without FOLL_FORCE came to treat PROT_NONE entries as absent, those of KSM and smaps too. These never ' +
    'take the fault that would bring the page back: KSM stopped merging what the NUMA scan had marked.',
  policy: 'classic',
  replace: { folioWalk: passOverHints },
  expect: ['I-LIVE'],
  litmus: 'z32-ksm-skips-hints.litmus',
  clash: {
    steps: [looksAt('PTE', 'passOverHints'), changes('PTE', 'changePteRange')],
    follows: 'd74943a2f3cd',
  },
};
