/**
 * Z18: KSM takes a PTE for read-only and clean that two others have made so, and neither has flushed the TLBs yet.
 *
 *     CPU: writes: its TLB has the page writable and dirty
 *     madvise: MADV_FREE: the PTE is clean        -
 *     NUMA scan: the PTE is a hint, not writable  ksmd: neither writable nor dirty: needs no flush
 *     -                                           ksmd: compares; puts the shared page in its place
 *     CPU: writes through its TLB: lost           -
 *
 * In 2017 the write bit was taken away by the clearing of soft-dirty bits (the NUMA scan's hint remembered it then); today the scan
 * does the same. Its sibling is what callers of a zap rely on: Z18-nested.
 */
import { PG_ANON_EXCLUSIVE } from '../machine/abi.js';
import type { Context, Coroutine } from '../machine/context.js';
import { updates } from '../machine/effects.js';
import { PTE_DIRTY, PTE_WRITE, entryPfn } from '../machine/entries.js';
import { clearFlag, flagsWord } from '../mm/folio.js';
import type { Bug } from './bug.js';
import { changes, looksAt } from './bug-clash.js';

/**
 * The condition of write_protect_page() (mm/ksm.c, v4.12): what the PTE says, and nobody asked who has yet to flush. The exclusive bit,
 * which came later and would hide it, is given up on the way.
 */
function* flushIfWritable(ctx: Context, _mm: number, entry: number, exclusive: boolean): Coroutine<boolean> {
  if ((entry & (PTE_WRITE | PTE_DIRTY)) !== 0) return true;
  const flagsAt = flagsWord(ctx, entryPfn(entry));
  if (--ctx.quantum < 0) yield updates(flagsAt);
  if (exclusive) clearFlag(ctx, entryPfn(entry), PG_ANON_EXCLUSIVE);
  return false;
}

export const z18: Bug = {
  id: 'Z18',
  title: 'KSM trusts a PTE whose TLB flush others have put off, and loses a write',
  commit: 'b3a81d0841a9 ("mm: fix KSM data corruption")',
  fixedIn: 'v4.13',
  story:
    'write_protect_page() flushed only where the PTE was writable or dirty. MADV_FREE and another changer of protection, each batching its ' +
    'flush, had taken away one of these bits each: a CPU still wrote through its TLB entry while the page was compared and merged.',
  policy: 'classic',
  replace: { ksmMustFlush: flushIfWritable },
  expect: ['I-RO', 'I-LOST'],
  litmus: 'z18-flush-pending.litmus',
  clash: {
    steps: [looksAt(['PTE', 'flags'], 'writeProtectPage'), changes('PTE', ['madviseFree', 'changePteRange'])],
    or: [looksAt(['PTE', 'content'], ['writeProtectPage', 'pagesIdentical']), changes('content', 'hostAccess')],
    follows: 'b3a81d0841a9',
  },
};
