/**
 * I-STALE: a stage-2 leaf maps the frame that the host entry behind it maps, and that entry is present and no hint; the converse
 * never holds. I-PERM: a writable leaf means an exclusive page, never KSM, never the zero page. Both are judged only where
 * notifiers reach stage 2 (pkvm-2022 gives that up), while mmu_lock and the entry's lock are free, no invalidation is open, and
 * the guest page lies in an active memslot: at rest, or on one thread as soon as the last of these becomes true.
 */
import { MAPPING_KSM, PG_ANON_EXCLUSIVE, VM_STATE_LIVE } from '../../../machine/abi.js';
import type { Context } from '../../../machine/context.js';
import {
  PTE_WRITE,
  S2_WRITE,
  entryPfn,
  isHuge,
  isPresent,
  isProtnone,
  isSpecial,
  isTable,
} from '../../../machine/entries.js';
import {
  type Machine,
  PAGE_FLAGS,
  PAGE_MAPPING,
  VM_INVALIDATE_IN_PROGRESS,
  VM_MM,
  VM_MMU_LOCK,
  VM_STATE,
  pmdLockOf,
  pmdWord,
  ptlOf,
  s2RootWord,
  vmWord,
} from '../../../machine/layout.js';
import { RW_READERS } from '../../../locks/rw.js';
import { vpnOfGfn } from '../../../kvm/memslots.js';
import type { Claims } from '../../../policies/policy.js';
import { ZERO_PFN } from '../../../mm/folio.js';
import { look as peek } from '#words';
import { claimsOfVm } from './claims.js';
import { entryAt, gfnOfVpn, headOf, isFree, isLiveVmOf, page, pfnOfEntry, pfnOfStage2, stage2At } from '../../view.js';
import type { ViolationLog, ViolationSubject } from '../../violation.js';

/** What is wrong with a leaf, for either log. */
interface Finding {
  readonly invariant: string;
  readonly what: string;
  readonly subject: ViolationSubject;
}

/** Judges the leaf of `gfn`, whatever moment it is. Null: nothing is wrong, or there is no leaf or no slot. */
function judge(m: Machine, vm: number, gfn: number, bitMatters: boolean): Finding | null {
  const leaf = stage2At(m, vm, gfn);
  if (leaf === 0) return null;
  const vpn = vpnOfGfn(m, vm, gfn);
  if (vpn < 0) return null;
  const mm = peek(m.words, vmWord(m, vm, VM_MM));
  const pfn = pfnOfStage2(m, leaf, gfn);
  const entry = entryAt(m, mm, vpn);
  const subject = { vm, gfn, mm, vpn, pfn };
  const stale = (received: string): Finding => ({
    invariant: 'I-STALE',
    what: 'stage 2 maps a stale page',
    subject: { ...subject, expected: `host entry of pfn ${pfn}`, received },
  });
  if (!isPresent(entry)) return stale(entry === 0 ? 'no entry' : 'a swap-type entry');
  if (isProtnone(entry)) return stale('a PROT_NONE entry');
  if (pfnOfEntry(m, entry, vpn) !== pfn) return stale(`pfn ${pfnOfEntry(m, entry, vpn)}`);
  if ((leaf & S2_WRITE) === 0) return null;
  const perm = (what: string): Finding => ({ invariant: 'I-PERM', what, subject });
  if (pfn === ZERO_PFN) return perm('zero page writable for guest');
  // a driver's memory: nothing to be shared
  if (isSpecial(entry)) return null;
  const mapping = page(m, headOf(m, pfn), PAGE_MAPPING);
  if ((mapping & 3) === MAPPING_KSM) return perm('KSM page writable for guest');
  if (mapping !== 0 && (mapping & 3) === 0)
    return (entry & PTE_WRITE) === 0 ? perm('file page writable for guest') : null;
  // the bit of a page that a huge PMD maps is its head's
  const bitOf = isHuge(entry) ? headOf(m, pfn) : pfn;
  if (bitMatters && (page(m, bitOf, PAGE_FLAGS) & PG_ANON_EXCLUSIVE) === 0)
    return perm('shared page writable for guest');
  return null;
}

/** A writable leaf was installed, under mmu_lock and after the sequence check: no KSM merge is under way on the page. */
export function writableMapped(ctx: Context, log: ViolationLog, vm: number, gfn: number, pfn: number): void {
  if (pfn !== ZERO_PFN && (page(ctx.m, headOf(ctx.m, pfn), PAGE_MAPPING) & 3) !== MAPPING_KSM) return;
  log.report(ctx, 'I-PERM', pfn === ZERO_PFN ? 'zero page writable for guest' : 'KSM page writable for guest', {
    vm,
    gfn,
    pfn,
  });
}

export function auditStale(m: Machine, claims: Claims, bitMatters: boolean, log: ViolationLog): void {
  for (let vm = 0; vm < m.vms; vm++) {
    if (peek(m.words, vmWord(m, vm, VM_STATE)) !== VM_STATE_LIVE) continue;
    if (!claimsOfVm(m, claims, vm).stage2FollowsHost) continue;
    for (let gfn = 0; gfn < m.vmPages; gfn++) {
      if (peek(m.words, s2RootWord(m, vm, gfn)) === 0) {
        gfn |= m.thpPages - 1;
        continue;
      }
      const finding = judge(m, vm, gfn, bitMatters);
      if (finding !== null) log.found(finding.invariant, finding.what, finding.subject);
    }
  }
}

/** Judges guest pages whose leaf or host entry changed, as soon as that is allowed. One thread only. */
export class StaleWatch {
  readonly #m: Machine;
  readonly #log: ViolationLog;
  readonly #claims: Claims;
  /** Guest pages to be judged, vm * vmPages + gfn; each once. */
  readonly #pending: Int32Array;
  readonly #isPending: Uint8Array;
  #count = 0;

  constructor(m: Machine, log: ViolationLog, claims: Claims) {
    this.#m = m;
    this.#log = log;
    this.#claims = claims;
    this.#pending = new Int32Array(m.vms * m.vmPages);
    this.#isPending = new Uint8Array(m.vms * m.vmPages);
  }

  reset(): void {
    this.#count = 0;
    this.#isPending.fill(0);
  }

  guestChanged(vm: number, gfn: number, pages: number): void {
    for (let i = 0; i < pages; i++) this.#add(vm * this.#m.vmPages + gfn + i);
  }

  /** The entry at (mm, vpn) changed: a PTE, or a PMD (`word` tells) with all its pages. */
  hostChanged(mm: number, vpn: number, word: number): void {
    const m = this.#m;
    const huge = word === pmdWord(m, mm, vpn);
    const first = huge ? vpn & ~(m.thpPages - 1) : vpn;
    for (let vm = 0; vm < m.vms; vm++) {
      if (!isLiveVmOf(m, vm, mm)) continue;
      for (let i = 0; i < (huge ? m.thpPages : 1); i++) {
        const gfn = gfnOfVpn(m, vm, first + i);
        if (gfn >= 0) this.#add(vm * m.vmPages + gfn);
      }
    }
  }

  #add(page: number): void {
    if (this.#isPending[page] === 1) return;
    this.#isPending[page] = 1;
    this.#pending[this.#count++] = page;
  }

  /** `lock` is about to be released: what only it held up is judged now. */
  released(ctx: Context, lock: number): void {
    let kept = 0;
    for (let i = 0; i < this.#count; i++) {
      const at = this.#pending[i] as number;
      if (this.#judge(ctx, at, lock)) this.#isPending[at] = 0;
      else this.#pending[kept++] = at;
    }
    this.#count = kept;
  }

  get isIdle(): boolean {
    return this.#count === 0;
  }

  /** False: not yet. */
  #judge(ctx: Context, at: number, released: number): boolean {
    const m = this.#m;
    const vm = (at / m.vmPages) | 0;
    const gfn = at - vm * m.vmPages;
    if (peek(m.words, vmWord(m, vm, VM_STATE)) !== VM_STATE_LIVE || stage2At(m, vm, gfn) === 0) return true;
    if (!claimsOfVm(m, this.#claims, vm).stage2FollowsHost) return true;
    const mmuLock = vmWord(m, vm, VM_MMU_LOCK);
    if (mmuLock === released ? !isSole(m, released) : !isFree(m, mmuLock)) return false;
    if (peek(m.words, vmWord(m, vm, VM_INVALIDATE_IN_PROGRESS)) !== 0) return false;
    const mm = peek(m.words, vmWord(m, vm, VM_MM));
    const vpn = vpnOfGfn(m, vm, gfn);
    if (vpn < 0) return true;
    const pmdLock = pmdLockOf(m, mm, vpn);
    if (pmdLock !== released && !isFree(m, pmdLock)) return false;
    const pmd = peek(m.words, pmdWord(m, mm, vpn));
    if (isTable(pmd)) {
      const ptl = ptlOf(m, entryPfn(pmd));
      if (ptl !== released && !isFree(m, ptl)) return false;
    }
    const finding = judge(m, vm, gfn, ctx.kernel.rules.wpReuse === 'v5.19');
    if (finding !== null) this.#log.report(ctx, finding.invariant, finding.what, finding.subject);
    return true;
  }
}

/** Whether the rwlock is about to be free: held for writing, or by one reader. */
const isSole = (m: Machine, lock: number): boolean => (peek(m.words, lock) & RW_READERS) <= 1;
