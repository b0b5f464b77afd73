/**
 * I-UAFNODE for page tables: who walks without the PTL (GUP-fast, interrupts off; rmap walks, under the anon_vma's lock: Z05) reads only
 * from a table that is in use where its PMD pointed. One that has been freed, taken into use elsewhere, deposited under a huge PMD, or that a collapse regards as its
 * own is none: whoever did that had to wait for such walkers first, or keep them out (LK10).
 */
import type { Context } from '../../../machine/context.js';
import {
  TABLE_DETACHED,
  TABLE_FREE,
  TABLE_LIVE,
  TABLE_PMD,
  TABLE_STATE,
  pmdWord,
  tableWord,
} from '../../../machine/layout.js';
import { look as peek } from '#words';
import type { ViolationLog } from '../../violation.js';

const ID = 'I-UAFNODE';

/** The PTE of (mm, vpn) in `table` is about to be read by a lockless walker. */
export function tableWalked(ctx: Context, log: ViolationLog, mm: number, vpn: number, table: number): void {
  const { m, words } = ctx;
  const state = peek(words, tableWord(m, table, TABLE_STATE));
  if (state === TABLE_LIVE && peek(words, tableWord(m, table, TABLE_PMD)) === pmdWord(m, mm, vpn)) return;
  let what = 'walked page table is freed';
  if (state === TABLE_LIVE) what = "walked page table is another's";
  else if (state === TABLE_DETACHED) what = 'walked page table is detached';
  else if (state !== TABLE_FREE) what = 'walked page table is deposited';
  log.report(ctx, ID, what, { mm, vpn });
}
