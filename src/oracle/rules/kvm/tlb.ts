/**
 * I-TLB: no TLB holds an entry stronger than the tables allow, once the operations that changed them have returned. At rest all
 * have, so each entry is held against the tables as they are; missing or weaker entries are always fine.
 *
 * On one thread three moments are judged besides: a notifier's start has returned, for the guest's entries in its range (unless
 * somebody else holds mmu_lock, or EL2 its lock of the VM: what he is about to flush is his); an operation has ended, for the user pages whose entries it
 * has weakened (unless another actor has weakened the same one since); and mprotect is done, for the pages of its range, whoever
 * has weakened their entries: it promises that nobody can use them otherwise any more (Z19).
 */
import { VM_EXEC, VM_READ, VM_WRITE } from '../../../machine/abi.js';
import type { Context } from '../../../machine/context.js';
import {
  PTE_WRITE,
  S2_WRITE,
  PKVM_NOPAGE,
  entryPfn,
  isHardwareValid,
  isHuge,
  isTable,
} from '../../../machine/entries.js';
import { type Machine, PAGE_HYP, VM_HYP_LOCK, VM_MMU_LOCK, tlbBase, vmWord } from '../../../machine/layout.js';
import { TLB_WRITABLE, tagGuest, tagPage, tagSpace, tlbPfn, tlbSlot, tlbTag } from '../../../machine/tlb.js';
import { look as peek } from '#words';
import { entryAt, gfnOfVpn, isFree, isLiveVmOf, page, pfnOfEntry, pfnOfStage2, stage2At } from '../../view.js';
import type { ViolationLog, ViolationSubject } from '../../violation.js';

/** hyp_page: the host's ownership state (hyp/page-state.ts). */
const HOST_STATE = 3;

const ID = 'I-TLB';

/** What is wrong with the entry (tag, value), or an empty text. */
function judge(m: Machine, tag: number, value: number, el2: boolean): string {
  const at = tagPage(tag);
  const pfn = tlbPfn(value);
  const writable = (value & TLB_WRITABLE) !== 0;
  if (tagGuest(tag)) {
    const leaf = stage2At(m, tagSpace(tag), at);
    if (leaf === 0) return 'TLB entry outlived stage-2 leaf';
    if (pfnOfStage2(m, leaf, at) !== pfn) return 'TLB entry of another frame';
    return writable && (leaf & S2_WRITE) === 0 ? 'TLB entry writable, leaf not' : '';
  }
  const entry = entryAt(m, tagSpace(tag), at);
  if (entry === 0 || !isHardwareValid(entry)) return 'TLB entry outlived its PTE';
  if (pfnOfEntry(m, entry, at) !== pfn) return 'TLB entry of another frame';
  if (writable && (entry & PTE_WRITE) === 0) return 'TLB entry writable, PTE not';
  // the host's state follows the DSB of a donation; its stage-2 entry comes before
  return el2 && (page(m, pfn, PAGE_HYP) & HOST_STATE) === PKVM_NOPAGE ? "TLB entry of another's page" : '';
}

function subjectOf(cpu: number, tag: number, value: number): ViolationSubject {
  const at = tagPage(tag);
  return tagGuest(tag)
    ? { other: cpu, pfn: tlbPfn(value), vm: tagSpace(tag), gfn: at }
    : { other: cpu, pfn: tlbPfn(value), mm: tagSpace(tag), vpn: at };
}

export function auditTlbs(m: Machine, actors: number, el2: boolean, log: ViolationLog): void {
  for (let cpu = 0; cpu < actors; cpu++) {
    const base = tlbBase(m, cpu);
    for (let slot = base, last = base + 2 * m.tlbMask; slot <= last; slot += 2) {
      const tag = peek(m.words, slot);
      if (tag === 0) continue;
      const wrong = judge(m, tag, peek(m.words, slot + 1), el2);
      if (wrong !== '') log.found(ID, wrong, subjectOf(cpu, tag, peek(m.words, slot + 1)));
    }
  }
}

/** User pages whose entries an operation under way has weakened; more are not followed. */
const WEAKENED_MAX = 64;

/** One thread only. */
export class TlbWatch {
  readonly #m: Machine;
  readonly #log: ViolationLog;
  readonly #actors: number;
  readonly #el2: boolean;
  /** Per actor: tags of user pages. */
  readonly #weakened: Int32Array;
  readonly #count: Int32Array;

  constructor(m: Machine, log: ViolationLog, actors: number, el2: boolean) {
    this.#m = m;
    this.#log = log;
    this.#actors = actors;
    this.#el2 = el2;
    this.#weakened = new Int32Array(m.cpus * WEAKENED_MAX);
    this.#count = new Int32Array(m.cpus);
  }

  reset(): void {
    this.#count.fill(0);
  }

  /** The entry at (mm, vpn), a PTE or a huge PMD, changed: it may allow less now. */
  changed(ctx: Context, mm: number, vpn: number, before: number, after: number): void {
    if (isTable(before)) {
      if (!isTable(after)) this.#weaken(ctx.actor, mm, vpn, this.#m.thpPages);
      return;
    }
    if (!isHardwareValid(before)) return;
    const weaker =
      !isHardwareValid(after) || entryPfn(after) !== entryPfn(before) || (before & ~after & PTE_WRITE) !== 0;
    if (weaker) this.#weaken(ctx.actor, mm, vpn, isHuge(before) ? this.#m.thpPages : 1);
  }

  #weaken(actor: number, mm: number, vpn: number, pages: number): void {
    let count = this.#count[actor] as number;
    for (let i = 0; i < pages && count < WEAKENED_MAX; i++) {
      this.#weakened[actor * WEAKENED_MAX + count++] = tlbTag(false, mm, vpn + i);
    }
    this.#count[actor] = count;
  }

  /** The actor's operation has returned: what it weakened is in no TLB any more. */
  operationEnded(ctx: Context): void {
    const count = this.#count[ctx.actor] as number;
    if (count === 0) return;
    this.#count[ctx.actor] = 0;
    const base = ctx.actor * WEAKENED_MAX;
    for (let i = 0; i < count; i++) {
      const tag = this.#weakened[base + i] as number;
      if (!this.#isOthers(ctx.actor, tag)) this.#check(ctx, tag);
    }
  }

  #isOthers(actor: number, tag: number): boolean {
    for (let other = 0; other < this.#actors; other++) {
      const count = this.#count[other] as number;
      if (other === actor || count === 0) continue;
      if (count === WEAKENED_MAX) return true;
      for (let i = 0; i < count; i++) if (this.#weakened[other * WEAKENED_MAX + i] === tag) return true;
    }
    return false;
  }

  /** mprotect() of [start, end) to VM_* `flags`, still under mmap_lock, has flushed what it must: nothing allows more. */
  isProtected(ctx: Context, mm: number, start: number, end: number, flags: number): void {
    const m = this.#m;
    if ((flags & VM_WRITE) !== 0) return;
    const none = (flags & (VM_READ | VM_EXEC)) === 0;
    for (let cpu = 0; cpu < this.#actors; cpu++) {
      for (let vpn = start; vpn < end; vpn++) {
        const tag = tlbTag(false, mm, vpn);
        const slot = tlbSlot(m, cpu, vpn);
        if (peek(m.words, slot) !== tag) continue;
        const value = peek(m.words, slot + 1);
        if (!none && (value & TLB_WRITABLE) === 0) continue;
        this.#log.report(ctx, ID, 'TLB entry outlived mprotect', subjectOf(cpu, tag, value));
      }
    }
  }

  /** invalidate_range_start() of [start, end) of `mm` has returned. */
  started(ctx: Context, mm: number, start: number, end: number): void {
    const m = this.#m;
    for (let vm = 0; vm < m.vms; vm++) {
      // EL2 takes a page from a guest that gives it up under its own lock
      const changing = !isFree(m, vmWord(m, vm, VM_MMU_LOCK)) || !isFree(m, vmWord(m, vm, VM_HYP_LOCK));
      if (changing || !isLiveVmOf(m, vm, mm)) continue;
      for (let vpn = start; vpn < end; vpn++) {
        const gfn = gfnOfVpn(m, vm, vpn);
        if (gfn >= 0) this.#check(ctx, tlbTag(true, vm, gfn));
      }
    }
  }

  #check(ctx: Context, tag: number): void {
    const m = this.#m;
    for (let cpu = 0; cpu < this.#actors; cpu++) {
      const slot = tlbSlot(m, cpu, tagPage(tag));
      if (peek(m.words, slot) !== tag) continue;
      const value = peek(m.words, slot + 1);
      const wrong = judge(m, tag, value, this.#el2);
      if (wrong !== '') this.#log.report(ctx, ID, wrong, subjectOf(cpu, tag, value));
    }
  }
}
