/**
 * A guest's stage 2 as EL2 owns it (arch/arm64/kvm/hyp/pgtable.c, A14): page entries only, with the ownership state
 * in their software bits. Everything here runs under hyp_vm.lock, so loads are plain; stores are marked, since the
 * hardware walks the tables of a running guest.
 *
 * A table page is a page that the host donated; what it holds stands in a table record of the machine (TABLE_PFN ties
 * the two), taken from a chain of free records that the VM got when it was created.
 */
import type { Context, Coroutine } from '../machine/context.js';
import { writes } from '../machine/effects.js';
import {
  PKVM_NOPAGE,
  S2_AF,
  S2_EXEC,
  S2_STATE_SHIFT,
  S2_VALID,
  S2_WRITE,
  entryPfn,
  isS2Leaf,
  isS2Table,
  mkEntry,
  mkS2Table,
} from '../machine/entries.js';
import {
  TABLE_PFN,
  TABLE_POOL_NEXT,
  TABLE_REFS,
  VM_HYP_TABLES,
  s2PteWord,
  s2RootWord,
  s2TableWord,
  vmWord,
} from '../machine/layout.js';
import { countStage2Map } from '../machine/stats.js';
import { emit } from '../events/emit.js';
import { EVENT } from '../events/table.js';
import { get, set, writeOnce, xchg } from '#words';
import { canAllocateTable, freeTablePage, zallocTablePage } from './memcache.js';

const LEAF_RX = S2_VALID | S2_EXEC | S2_AF;
const LEAF_RWX = LEAF_RX | S2_WRITE;

/** kvm_pgtable_get_leaf(): the entry of `gfn`, 0 when there is none. */
export function guestLeaf(ctx: Context, vm: number, gfn: number): number {
  const root = get(ctx.words, s2RootWord(ctx.m, vm, gfn));
  return isS2Table(root) ? get(ctx.words, s2PteWord(ctx.m, entryPfn(root), gfn)) : 0;
}

/** guest_get_page_state(): PKVM_PAGE_* or PKVM_NOPAGE of an entry. */
export const guestPageState = (entry: number): number =>
  isS2Leaf(entry) ? (entry >> S2_STATE_SHIFT) & 3 : PKVM_NOPAGE;

/** Whether `gfn` can be mapped without running out of table pages half-way (Z35). */
export const canMapGuest = (ctx: Context, vm: number, vcpu: number, gfn: number): boolean =>
  isS2Table(get(ctx.words, s2RootWord(ctx.m, vm, gfn))) || canAllocateTable(ctx, vm, vcpu);

/**
 * kvm_pgtable_stage2_map() of one page, RWX or RX, with `state` (PKVM_PAGE_*). The entry is empty.
 * @returns whether it was mapped: false when no table page was left, which canMapGuest excludes
 */
export function* mapGuest(
  ctx: Context,
  vm: number,
  vcpu: number,
  gfn: number,
  pfn: number,
  state: number,
  writable = true,
): Coroutine<boolean> {
  const { m, words } = ctx;
  const root = s2RootWord(m, vm, gfn);
  if (!isS2Table(get(words, root))) {
    const page = yield* zallocTablePage(ctx, vm, vcpu);
    if (page === 0) return false;
    const record = takeRecord(ctx, vm, page);
    if (--ctx.quantum < 0) yield writes(root);
    writeOnce(words, root, mkS2Table(record));
  }
  const table = entryPfn(get(words, root));
  const leaf = s2PteWord(m, table, gfn);
  if (--ctx.quantum < 0) yield writes(leaf);
  writeOnce(words, leaf, mkEntry(pfn, (writable ? LEAF_RWX : LEAF_RX) | (state << S2_STATE_SHIFT)));
  set(words, s2TableWord(m, table, TABLE_REFS), get(words, s2TableWord(m, table, TABLE_REFS)) + 1);
  countStage2Map(ctx, vm, gfn, 1);
  ctx.probe.onStage2Map(ctx, vm, gfn, pfn, 1, writable);
  emit(ctx, EVENT.stage2_map, vm, gfn, pfn, writable ? 1 : 0);
  return true;
}

/**
 * kvm_pgtable_stage2_unmap() of one page: entry cleared, TLBs clean when it returns, an empty table given to the
 * pool.
 */
export function* unmapGuest(ctx: Context, vm: number, gfn: number): Coroutine<void> {
  if (!isS2Leaf(guestLeaf(ctx, vm, gfn))) return;
  yield* clearGuestLeaf(ctx, vm, gfn);
  yield* ctx.kernel.tlbFlushGuest(ctx, vm, gfn, gfn + 1);
  yield* freeTableIfEmpty(ctx, vm, gfn);
}

/** Clears the entry of `gfn`, which is a leaf; the TLBs still hold it. */
export function* clearGuestLeaf(ctx: Context, vm: number, gfn: number): Coroutine<void> {
  const { m, words } = ctx;
  const table = entryPfn(get(words, s2RootWord(m, vm, gfn)));
  const leaf = s2PteWord(m, table, gfn);
  if (--ctx.quantum < 0) yield writes(leaf);
  const pfn = entryPfn(xchg(words, leaf, 0));
  set(words, s2TableWord(m, table, TABLE_REFS), get(words, s2TableWord(m, table, TABLE_REFS)) - 1);
  // at the VM's end only: a page given back, no unmapping of a page that is in use, so no mechanism counts it
  ctx.probe.onStage2Unmap(ctx, vm, gfn, pfn, 1);
  emit(ctx, EVENT.stage2_unmap, vm, gfn, pfn, 0);
}

/** Takes the table that covers `gfn` out of the tree if no entry is left in it, and frees its page. */
export function* freeTableIfEmpty(ctx: Context, vm: number, gfn: number): Coroutine<void> {
  const { m, words } = ctx;
  const root = s2RootWord(m, vm, gfn);
  const entry = get(words, root);
  if (!isS2Table(entry) || get(words, s2TableWord(m, entryPfn(entry), TABLE_REFS)) !== 1) return;
  if (--ctx.quantum < 0) yield writes(root);
  writeOnce(words, root, 0);
  // a walker may stand between the root and the table: it is out when this returns
  yield* ctx.kernel.tlbFlushGuest(ctx, vm, gfn, gfn + 1);
  const record = entryPfn(entry);
  const page = get(words, s2TableWord(m, record, TABLE_PFN));
  giveRecord(ctx, vm, record);
  yield* freeTablePage(ctx, vm, page);
}

/** A record for table page `page`; all in the chain are empty. The VM has one for each block, so the chain never runs out. */
function takeRecord(ctx: Context, vm: number, page: number): number {
  const { m, words } = ctx;
  const head = vmWord(m, vm, VM_HYP_TABLES);
  const record = get(words, head) - 1;
  if (record < 0) throw new Error(`vm ${vm} has more stage-2 tables at EL2 than blocks`);
  set(words, head, get(words, s2TableWord(m, record, TABLE_POOL_NEXT)));
  set(words, s2TableWord(m, record, TABLE_PFN), page);
  set(words, s2TableWord(m, record, TABLE_REFS), 1);
  return record;
}

function giveRecord(ctx: Context, vm: number, record: number): void {
  const head = vmWord(ctx.m, vm, VM_HYP_TABLES);
  set(ctx.words, s2TableWord(ctx.m, record, TABLE_PFN), 0);
  set(ctx.words, s2TableWord(ctx.m, record, TABLE_POOL_NEXT), get(ctx.words, head));
  set(ctx.words, head, record + 1);
}
