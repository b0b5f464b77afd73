/**
 * struct hyp_page: what EL2 knows of each physical page (arch/arm64/kvm/hyp/include/nvhe/memory.h, v6.18), in one
 * word:
 *
 *   0-3 host state | 4-7 hyp state, complemented | 8-23 host_share_guest_count | 24 PENDING_RECLAIM | 25 NEED_POISON
 *
 * The hyp state is stored complemented so that an all-zero word means: the host owns it, EL2 has no access. The last
 * two are of the teardown as posted in 2022. Guards: host state and flags host_mmu.lock; hyp state pkvm_pgd_lock,
 * which only holders of host_mmu.lock take here. (A table page's refcount stands in its record: TABLE_REFS.)
 */
import { PG_NO_MAP } from '../machine/abi.js';
import type { Context } from '../machine/context.js';
import { PKVM_NOPAGE, annotationOwner } from '../machine/entries.js';
import { PAGE_FLAGS, PAGE_HOST_S2, PAGE_HYP, pageWord } from '../machine/layout.js';
import { get, look, set } from '#words';

const HYP_STATE_SHIFT = 4;
/** HOST_PAGE_PENDING_RECLAIM: a torn-down guest's page, waiting for the host to ask for it. */
export const HYP_PENDING_RECLAIM = 1 << 24;
/** HOST_PAGE_NEED_POISONING: it was the guest's own, so it is wiped first. */
export const HYP_NEED_POISON = 1 << 25;

const wordOf = (ctx: Context, pfn: number): number => pageWord(ctx.m, pfn, PAGE_HYP);

/** get_host_state(): PKVM_PAGE_* or PKVM_NOPAGE. */
export const hostState = (ctx: Context, pfn: number): number => get(ctx.words, wordOf(ctx, pfn)) & 3;
/** set_host_state(). */
export function setHostState(ctx: Context, pfn: number, state: number): void {
  set(ctx.words, wordOf(ctx, pfn), (get(ctx.words, wordOf(ctx, pfn)) & ~3) | state);
}

/** get_hyp_state(). */
export const hypState = (ctx: Context, pfn: number): number =>
  ((get(ctx.words, wordOf(ctx, pfn)) >> HYP_STATE_SHIFT) & 3) ^ PKVM_NOPAGE;
/** set_hyp_state(). */
export function setHypState(ctx: Context, pfn: number, state: number): void {
  const word = get(ctx.words, wordOf(ctx, pfn));
  set(ctx.words, wordOf(ctx, pfn), (word & ~(3 << HYP_STATE_SHIFT)) | ((state ^ PKVM_NOPAGE) << HYP_STATE_SHIFT));
}

const SHARES_SHIFT = 8;
/** The most guest leaves that a page can have (the kernel's count has 32 bits). */
export const SHARES_MAX = 0xffff;

/** host_share_guest_count of a hyp_page word: the guest leaves to a page that the host owns and shares (I-SHARECNT). */
export const sharesOf = (word: number): number => (word >> SHARES_SHIFT) & SHARES_MAX;
export const shareCount = (ctx: Context, pfn: number): number => sharesOf(get(ctx.words, wordOf(ctx, pfn)));
export function setShareCount(ctx: Context, pfn: number, count: number): void {
  const word = get(ctx.words, wordOf(ctx, pfn));
  set(ctx.words, wordOf(ctx, pfn), (word & ~(SHARES_MAX << SHARES_SHIFT)) | (count << SHARES_SHIFT));
}

/** HYP_PENDING_RECLAIM and HYP_NEED_POISON of a page. */
export const hypFlags = (ctx: Context, pfn: number): number =>
  get(ctx.words, wordOf(ctx, pfn)) & (HYP_PENDING_RECLAIM | HYP_NEED_POISON);
export function setHypFlags(ctx: Context, pfn: number, flags: number): void {
  const word = get(ctx.words, wordOf(ctx, pfn));
  set(ctx.words, wordOf(ctx, pfn), (word & ~(HYP_PENDING_RECLAIM | HYP_NEED_POISON)) | flags);
}

/** addr_is_allowed_memory(): real memory, and no carve-out (a bit that never changes) that the host must not map or give away (Z37, Z38). */
export const isAllowedMemory = (ctx: Context, pfn: number): boolean =>
  pfn > 0 && pfn < ctx.m.frames && (look(ctx.words, pageWord(ctx.m, pfn, PAGE_FLAGS)) & PG_NO_MAP) === 0;

/** Who owns the page by the host's stage 2: PKVM_ID_*. An absent entry is the host's. host_mmu.lock held. */
export const hostS2Owner = (ctx: Context, pfn: number): number =>
  annotationOwner(get(ctx.words, pageWord(ctx.m, pfn, PAGE_HOST_S2)));
