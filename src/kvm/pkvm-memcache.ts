/** The host's end of a vCPU's memcache: pages that it hands to EL2 for tables (arch/arm64/kvm/mmu.c, v6.18). */
import { ENOMEM } from '../machine/abi.js';
import { type Context, type Coroutine, REF_ALLOC } from '../machine/context.js';
import { reads, writes } from '../machine/effects.js';
import { PAGE_CONTENT, VCPU_HOST_MC_COUNT, VCPU_HOST_MC_HEAD, pageWord, vcpuWord } from '../machine/layout.js';
import { MC_PLACE_HOST, MC_PLACE_HOST_MC, moved } from '../hyp/memcache.js';
import { mightSleep } from '../locks/held.js';
import { folioPut } from '../mm/folio.js';
import { allocPages } from '../mm/page-alloc.js';
import { get, readOnce, set, writeOnce } from '#words';

/** kvm_mmu_cache_min_pages(): what one map can need, a table page. */
const MEMCACHE_MIN_PAGES = 1;

/** topup_hyp_memcache(): fills the host's memcache of the vCPU. May sleep. 0 or -ENOMEM. */
export function* topupHypMemcache(ctx: Context, vm: number, vcpu: number): Coroutine {
  mightSleep(ctx, 'topup_hyp_memcache');
  const { m, words } = ctx;
  const head = vcpuWord(m, vm, vcpu, VCPU_HOST_MC_HEAD);
  const count = vcpuWord(m, vm, vcpu, VCPU_HOST_MC_COUNT);
  if (--ctx.quantum < 0) yield reads(count);
  while (readOnce(words, count) < MEMCACHE_MIN_PAGES) {
    const pfn = yield* allocPages(ctx, 0, ctx.node, 0);
    if (pfn < 0) return -ENOMEM;
    const link = pageWord(m, pfn, PAGE_CONTENT);
    if (--ctx.quantum < 0) yield reads(head);
    const next = readOnce(words, head);
    if (--ctx.quantum < 0) yield writes(link);
    writeOnce(words, link, next);
    if (--ctx.quantum < 0) yield writes(head);
    writeOnce(words, head, pfn);
    moved(ctx, pfn, MC_PLACE_HOST, MC_PLACE_HOST_MC);
    if (--ctx.quantum < 0) yield writes(count);
    writeOnce(words, count, readOnce(words, count) + 1);
  }
  return 0;
}

/** free_hyp_memcache(): frees the pages of a list that the host owns again; `place` is where they stood. */
export function* freeHypMemcache(ctx: Context, headAt: number, place: number): Coroutine<void> {
  const { m, words } = ctx;
  while (get(words, headAt + 1) > 0) {
    const pfn = get(words, headAt);
    const link = pageWord(m, pfn, PAGE_CONTENT);
    if (--ctx.quantum < 0) yield reads(link);
    set(words, headAt, readOnce(words, link));
    set(words, headAt + 1, get(words, headAt + 1) - 1);
    moved(ctx, pfn, place, MC_PLACE_HOST);
    yield* folioPut(ctx, pfn, REF_ALLOC);
  }
}
