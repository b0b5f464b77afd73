/**
 * Where EL2 gets pages for a guest's tables (arch/arm64/kvm/hyp/nvhe/mm.c, pkvm.c; A14): the host fills a memcache of
 * its own, a hypercall moves its pages to the vCPU's memcache at EL2, and a VM's pool takes back what its tables give
 * up.
 *
 * A memcache is a list, last in first out, linked through the pages themselves: a page's content is the number of the
 * next. The host's list is memory that the host may write at any time: EL2 takes a copy of its head, makes the page
 * its own, and only then reads the link in it (Z36).
 */
import { glance, setBeside } from '../machine/words/extra-accesses.js';
import { ENOMEM, EPERM } from '../machine/abi.js';
import type { Context, Coroutine } from '../machine/context.js';
import { reads, writes } from '../machine/effects.js';
import {
  PAGE_CONTENT,
  VCPU_HOST_MC_COUNT,
  VCPU_HOST_MC_HEAD,
  VCPU_HYP_MC_COUNT,
  VCPU_HYP_MC_HEAD,
  VM_HYP_POOL_COUNT,
  VM_HYP_POOL_HEAD,
  VM_HYP_TEARDOWN_HEAD,
  pageWord,
  vcpuWord,
  vmWord,
} from '../machine/layout.js';
import { emit } from '../events/emit.js';
import { EVENT } from '../events/table.js';
import { get, readOnce, writeOnce } from '#words';
import { lockPool, unlockPool } from './locks.js';

/** Where a page is (I-HYPMC: in one place at a time). */
export const MC_PLACE_HOST = 0;
export const MC_PLACE_HOST_MC = 1;
export const MC_PLACE_HYP_MC = 2;
export const MC_PLACE_POOL = 3;
export const MC_PLACE_TABLE = 4;
export const MC_PLACE_TEARDOWN_MC = 5;
/** EL2's own records of a VM. */
export const MC_PLACE_META = 6;
export const MC_PLACES = ['host', 'host memcache', 'vCPU memcache', 'pool', 'table', 'teardown memcache', 'metadata'];

/** Says that a page changed its place; in the step that does it. */
export function moved(ctx: Context, pfn: number, from: number, to: number): void {
  ctx.probe.onMemcache(ctx, pfn, from, to);
  emit(ctx, EVENT.memcache, pfn, from, to);
}

/**
 * push_hyp_memcache(): links `pfn`, which the caller owns, before the list's head. `headAt` and the count behind it
 * are the caller's own, or those of a VM that nobody else handles; or else, as hypercalls by hand may, which
 * take from the memcache of a vCPU that is loaded elsewhere, every access is told.
 */
export function* pushMemcache(ctx: Context, headAt: number, pfn: number): Coroutine<void> {
  const link = pageWord(ctx.m, pfn, PAGE_CONTENT);
  if (--ctx.quantum < 0) yield writes(link);
  writeOnce(ctx.words, link, glance(ctx.words, headAt));
  setBeside(ctx.words, headAt, pfn);
  setBeside(ctx.words, headAt + 1, glance(ctx.words, headAt + 1) + 1);
}

/** pop_hyp_memcache(): the list's first page, or 0. */
export function* popMemcache(ctx: Context, headAt: number): Coroutine {
  if (glance(ctx.words, headAt + 1) === 0) return 0;
  const pfn = glance(ctx.words, headAt);
  const link = pageWord(ctx.m, pfn, PAGE_CONTENT);
  if (--ctx.quantum < 0) yield reads(link);
  setBeside(ctx.words, headAt, readOnce(ctx.words, link));
  setBeside(ctx.words, headAt + 1, glance(ctx.words, headAt + 1) - 1);
  return pfn;
}

/**
 * pkvm_refill_memcache(): brings the vCPU's memcache at EL2 up to as many pages as the host's holds.
 * @returns 0; -EPERM when the host does not own a page that it offers; -ENOMEM when its list is shorter than it says.
 *   What was moved before stays
 */
export function* pkvmRefillMemcache(ctx: Context, vm: number, vcpu: number): Coroutine {
  const { m, words } = ctx;
  const hostHead = vcpuWord(m, vm, vcpu, VCPU_HOST_MC_HEAD);
  const hostCount = vcpuWord(m, vm, vcpu, VCPU_HOST_MC_COUNT);
  const hypHead = vcpuWord(m, vm, vcpu, VCPU_HYP_MC_HEAD);
  const hypCount = vcpuWord(m, vm, vcpu, VCPU_HYP_MC_COUNT);
  if (--ctx.quantum < 0) yield reads(hostHead);
  let head = readOnce(words, hostHead);
  if (--ctx.quantum < 0) yield reads(hostCount);
  let pages = readOnce(words, hostCount);
  const wanted = pages;
  let result = 0;
  while (glance(words, hypCount) < wanted) {
    if (pages === 0) {
      result = -ENOMEM;
      break;
    }
    // the page becomes ours first: what it says can no longer change under us
    if ((yield* ctx.kernel.hostDonateHyp(ctx, head, 1)) !== 0) {
      result = -EPERM;
      break;
    }
    const link = pageWord(m, head, PAGE_CONTENT);
    if (--ctx.quantum < 0) yield reads(link);
    const next = readOnce(words, link);
    yield* pushMemcache(ctx, hypHead, head);
    moved(ctx, head, MC_PLACE_HOST_MC, MC_PLACE_HYP_MC);
    head = next;
    pages--;
  }
  if (--ctx.quantum < 0) yield writes(hostHead);
  writeOnce(words, hostHead, head);
  if (--ctx.quantum < 0) yield writes(hostCount);
  writeOnce(words, hostCount, pages);
  return result;
}

/**
 * Whether a table page can be had for the vCPU without asking the host: to be sure of before a do phase (Z35). Under
 * hyp_vm.lock, without which nobody takes from this VM's pool.
 */
export const canAllocateTable = (ctx: Context, vm: number, vcpu: number): boolean =>
  get(ctx.words, vmWord(ctx.m, vm, VM_HYP_POOL_COUNT)) > 0 ||
  glance(ctx.words, vcpuWord(ctx.m, vm, vcpu, VCPU_HYP_MC_COUNT)) > 0;

/** guest_s2_zalloc_page(): a zeroed page from the VM's pool, else from the vCPU's memcache; 0 when both are empty. */
export function* zallocTablePage(ctx: Context, vm: number, vcpu: number): Coroutine {
  yield* lockPool(ctx);
  let pfn = yield* popMemcache(ctx, vmWord(ctx.m, vm, VM_HYP_POOL_HEAD));
  let from = MC_PLACE_POOL;
  yield* unlockPool(ctx);
  if (pfn === 0) {
    pfn = yield* popMemcache(ctx, vcpuWord(ctx.m, vm, vcpu, VCPU_HYP_MC_HEAD));
    from = MC_PLACE_HYP_MC;
    if (pfn === 0) return 0;
  }
  const content = pageWord(ctx.m, pfn, PAGE_CONTENT);
  if (--ctx.quantum < 0) yield writes(content);
  writeOnce(ctx.words, content, 0);
  moved(ctx, pfn, from, MC_PLACE_TABLE);
  return pfn;
}

/** guest_s2_put_page(): a table page that is no longer used goes to the VM's pool. */
export function* freeTablePage(ctx: Context, vm: number, pfn: number): Coroutine<void> {
  yield* lockPool(ctx);
  yield* pushMemcache(ctx, vmWord(ctx.m, vm, VM_HYP_POOL_HEAD), pfn);
  moved(ctx, pfn, MC_PLACE_TABLE, MC_PLACE_POOL);
  yield* unlockPool(ctx);
}

/** Where a VM's teardown memcache begins: pages that EL2 gives back; the host frees them. */
export const teardownMemcache = (ctx: Context, vm: number): number => vmWord(ctx.m, vm, VM_HYP_TEARDOWN_HEAD);
