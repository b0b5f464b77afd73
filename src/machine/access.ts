/**
 * What a CPU does in hardware: translated accesses to the memory of a process (stage 1, and the host's stage 2 under
 * pKVM) or of a guest (stage 2). A TLB hit is one step, as a load or store instruction is; a miss walks the tables with a
 * schedule point before each entry it reads, inside the in-use window that a DSB waits for.
 */
import { touches } from './words/extra-accesses.js';
import { type Context, type Coroutine } from './context.js';
import { reads, updates, writes } from './effects.js';
import {
  PTE_DIRTY,
  PTE_WRITE,
  PTE_YOUNG,
  PMD_HUGE,
  S2_BLOCK,
  S2_WRITE,
  annotationOwner,
  entryPfn,
  isHardwareValid,
  isHuge,
  isS2Leaf,
  isS2Table,
  isTable,
} from './entries.js';
import {
  CPU_IN_USE,
  MM_CPUMASK,
  PAGE_CONTENT,
  PAGE_HOST_S2,
  VM_CPUMASK,
  mmWord,
  pageWord,
  pmdWord,
  pteWord,
  s2PteWord,
  s2RootWord,
  vmWord,
} from './layout.js';
import { STAT } from './stats.js';
import { TLB_DIRTY, TLB_WRITABLE, enterAccess, leaveAccess, tlbInsert, tlbLookup, tlbTag } from './tlb.js';
import { cmpxchg, fetchOr, rawLoad, rawXchg, readOnce } from '#words';

export const ACCESS_DONE = 0;
/** Stage-1 or stage-2 translation fault. */
const ACCESS_TRANSLATION = 1;
export const ACCESS_PERMISSION = 2;
/** The host's stage 2 refuses (pKVM): the page is not mapped there yet, or not the host's. */
export const ACCESS_HOST_STAGE2 = 3;

/**
 * One translated load or store that hits the TLB. False: walk. `ctx.accessValue` holds what was read or replaced.
 */
export function accessHit(
  ctx: Context,
  guest: boolean,
  space: number,
  page: number,
  write: boolean,
  value: number,
): boolean {
  const hit = beginAccess(ctx, guest, space, page, write, value);
  if (!hit) leaveAccess(ctx);
  return hit;
}

/** As {@link accessHit}; on a miss the CPU stays inside the access, which goes on with the walk. */
function beginAccess(
  ctx: Context,
  guest: boolean,
  space: number,
  page: number,
  write: boolean,
  value: number,
): boolean {
  enterAccess(ctx);
  const hit = tlbLookup(ctx, tlbTag(guest, space, page)) - 1;
  if (hit < 0 || (write && (hit & TLB_WRITABLE) === 0)) return false;
  touch(ctx, guest, space, page, hit >>> 2, write, value);
  leaveAccess(ctx);
  return true;
}

function touch(
  ctx: Context,
  guest: boolean,
  space: number,
  page: number,
  pfn: number,
  write: boolean,
  value: number,
): void {
  const at = pageWord(ctx.m, pfn, PAGE_CONTENT);
  if (write) {
    const replaced = rawXchg(ctx.words, at, value);
    ctx.accessValue = replaced;
    touches(writes(at), replaced);
    ctx.probe.onWrite(ctx, guest, space, page, pfn, value);
  } else {
    const content = rawLoad(ctx.words, at);
    ctx.accessValue = content;
    touches(reads(at), content);
    ctx.probe.onRead(ctx, guest, space, page, pfn, content);
  }
}

/**
 * A host access: user-mode load or store of `mm` at `vpn`.
 * @param hostStage2 whether the host runs under pKVM, so that its own stage 2 is walked too
 * @returns ACCESS_*; `ctx.accessValue` holds what was read or replaced
 */
export function* hostAccess(
  ctx: Context,
  mm: number,
  vpn: number,
  write: boolean,
  value: number,
  hostStage2: boolean,
): Coroutine {
  const { m, words } = ctx;
  if (--ctx.quantum < 0) yield updates(ctx.cpuAt + CPU_IN_USE);
  if (beginAccess(ctx, false, mm, vpn, write, value)) return ACCESS_DONE;
  ctx.words[ctx.statsAt + STAT.tlb_misses] = (words[ctx.statsAt + STAT.tlb_misses] as number) + 1;
  // its own bit, which nobody else sets or clears
  const mask = mmWord(m, mm, MM_CPUMASK) + (ctx.actor >> 5);
  if ((rawLoad(words, mask) & (1 << (ctx.actor & 31))) === 0) {
    leaveAccess(ctx);
    if (--ctx.quantum < 0) yield updates(mask);
    fetchOr(words, mask, 1 << (ctx.actor & 31));
    enterAccess(ctx);
  }
  const pmdAt = pmdWord(m, mm, vpn);
  for (;;) {
    if (--ctx.quantum < 0) yield reads(pmdAt);
    let at = pmdAt;
    let entry = readOnce(words, pmdAt);
    if (isTable(entry)) {
      at = pteWord(m, entryPfn(entry), vpn);
      if (--ctx.quantum < 0) yield reads(at);
      entry = readOnce(words, at);
    } else if (!isHuge(entry)) {
      leaveAccess(ctx);
      return ACCESS_TRANSLATION;
    }
    if (!isHardwareValid(entry)) {
      leaveAccess(ctx);
      return ACCESS_TRANSLATION;
    }
    if (write && (entry & PTE_WRITE) === 0) {
      leaveAccess(ctx);
      return ACCESS_PERMISSION;
    }
    // hardware management of the access flag and the dirty state: the only writer beside PTL holders
    const used = entry | PTE_YOUNG | (write ? PTE_DIRTY : 0);
    if (used !== entry) {
      if (--ctx.quantum < 0) yield updates(at);
      if (cmpxchg(words, at, entry, used) !== entry) continue;
    }
    let pfn = entryPfn(entry);
    if ((entry & PMD_HUGE) !== 0 && pfn !== 0) pfn += vpn & (m.thpPages - 1);
    if (hostStage2) {
      const s2 = pageWord(m, pfn, PAGE_HOST_S2);
      if (--ctx.quantum < 0) yield reads(s2);
      const owner = readOnce(words, s2);
      if (owner === 0 || annotationOwner(owner) !== 0) {
        leaveAccess(ctx);
        ctx.out.abortPfn = pfn;
        return ACCESS_HOST_STAGE2;
      }
    }
    tlbInsert(
      ctx,
      tlbTag(false, mm, vpn),
      pfn,
      (used & PTE_DIRTY) !== 0 && (used & PTE_WRITE) !== 0 ? TLB_WRITABLE | TLB_DIRTY : 0,
    );
    const contentAt = pageWord(m, pfn, PAGE_CONTENT);
    if (--ctx.quantum < 0) yield write ? writes(contentAt) : reads(contentAt);
    touch(ctx, false, mm, vpn, pfn, write, value);
    leaveAccess(ctx);
    return ACCESS_DONE;
  }
}

/**
 * A guest access that missed the TLB: the hardware's stage-2 walk.
 * @returns ACCESS_*; `ctx.accessValue` holds what was read or replaced
 */
export function* guestAccess(ctx: Context, vm: number, gfn: number, write: boolean, value: number): Coroutine {
  const { m, words } = ctx;
  if (--ctx.quantum < 0) yield updates(ctx.cpuAt + CPU_IN_USE);
  if (beginAccess(ctx, true, vm, gfn, write, value)) return ACCESS_DONE;
  words[ctx.statsAt + STAT.tlb_misses] = (words[ctx.statsAt + STAT.tlb_misses] as number) + 1;
  const mask = vmWord(m, vm, VM_CPUMASK) + (ctx.actor >> 5);
  if ((rawLoad(words, mask) & (1 << (ctx.actor & 31))) === 0) {
    leaveAccess(ctx);
    if (--ctx.quantum < 0) yield updates(mask);
    fetchOr(words, mask, 1 << (ctx.actor & 31));
    enterAccess(ctx);
  }
  const rootAt = s2RootWord(m, vm, gfn);
  if (--ctx.quantum < 0) yield reads(rootAt);
  let entry = readOnce(words, rootAt);
  if (isS2Table(entry)) {
    const at = s2PteWord(m, entryPfn(entry), gfn);
    if (--ctx.quantum < 0) yield reads(at);
    entry = readOnce(words, at);
  }
  if (!isS2Leaf(entry)) {
    leaveAccess(ctx);
    return ACCESS_TRANSLATION;
  }
  if (write && (entry & S2_WRITE) === 0) {
    leaveAccess(ctx);
    return ACCESS_PERMISSION;
  }
  let pfn = entryPfn(entry);
  if ((entry & S2_BLOCK) !== 0) pfn += gfn & (m.thpPages - 1);
  tlbInsert(ctx, tlbTag(true, vm, gfn), pfn, (entry & S2_WRITE) !== 0 ? TLB_WRITABLE : 0);
  const contentAt = pageWord(m, pfn, PAGE_CONTENT);
  if (--ctx.quantum < 0) yield write ? writes(contentAt) : reads(contentAt);
  touch(ctx, true, vm, gfn, pfn, write, value);
  leaveAccess(ctx);
  return ACCESS_DONE;
}
