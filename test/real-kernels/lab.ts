/**
 * A machine on which the experiments of the observed kernels are repeated: two NUMA nodes, THP order 9, one process with a
 * guest whose memory is that process's, and tasks that run one after the other, each operation to its end.
 */
import { touchUser } from '#actors/user-access.js';
import { resolveKernel } from '#src/engine/machine/kernel.js';
import { kvmCreateVm, kvmSetMemslot } from '#src/kvm/vm.js';
import { vcpuAccess } from '#src/kvm/mmu.js';
import {
  FOLL_GET,
  FOLL_LONGTERM,
  FOLL_WRITE,
  FOLL_PIN,
  MAPPING_KSM,
  VM_MERGEABLE,
  VM_READ,
  VM_WRITE,
  VM_HUGEPAGE,
} from '#src/machine/abi.js';
import { Context, type Coroutine, type Kernel, type KernelRules, Probe } from '#src/machine/context.js';
import { entryPfn, isHuge, isPresent, isProtnone, isS2Leaf, isS2Table, isTable } from '#src/machine/entries.js';
import {
  KSM_SMART_SCAN,
  KSM_USE_ZERO_PAGES,
  Machine,
  THP_ENABLED,
  PAGE_CONTENT,
  PAGE_MAPPING,
  PAGE_REFS,
  globalWord,
  pageWord,
  pmdWord,
  pteWord,
  s2PteWord,
  s2RootWord,
  statsBase,
  type Machine as MachineType,
} from '#src/machine/layout.js';
import {
  MC_NOTIFIER_STARTS,
  MECHANISM_COUNTERS,
  STAT,
  STATS_MECHANISMS_AT,
  type StatName,
} from '#src/machine/stats.js';
import { NO_EVENTS } from '#src/events/ring.js';
import { RW_READERS } from '#src/locks/rw.js';
import { mmapLockWord, mmapReadUnlock } from '#src/locks/vma-lock.js';
import { bootMachine } from '#src/mm/boot.js';
import { getUserPagesUnlocked, pinUserPagesFast } from '#src/mm/gup/gup.js';
import { ksmDoScan } from '#src/mm/ksm/ksm.js';
import { mmapRegion } from '#src/mm/vma/mmap.js';
import { SMALL_MACHINE } from '#src/machine/config.js';

export const THP = 512;

/** Tasks (and their CPUs): even ones stand on node 0, odd ones on node 1. */
export const TASK = 0;
export const TASK_ON_NODE_1 = 1;
export const VCPU = 2;
export const KSMD = 4;
export const KHUGEPAGED = 6;
export const PINNER = 10;

export class Lab {
  readonly m: MachineType;
  readonly kernel: Kernel;
  readonly #contexts: Context[];

  constructor(
    options: { rules?: Partial<KernelRules>; smartScan?: boolean; useZeroPages?: boolean; pages?: number } = {},
  ) {
    const pages = options.pages ?? 4 * THP;
    this.m = new Machine({
      ...SMALL_MACHINE,
      thpOrder: 9,
      framesPerNode: 8 * THP,
      mmPages: pages,
      vmPages: pages,
      cpus: 12,
      mms: 1,
      tlbEntries: 1024,
      vmasPerMm: 40,
    });
    bootMachine(this.m);
    const base = resolveKernel('classic');
    this.kernel = { ...base, rules: { ...base.rules, ...options.rules } };
    this.#contexts = Array.from(
      { length: 12 },
      (_, cpu) => new Context(this.m, this.kernel, new Probe(), NO_EVENTS, cpu, cpu % 2, 1),
    );
    this.m.words[globalWord(this.m, KSM_SMART_SCAN)] = options.smartScan === true ? 1 : 0;
    this.m.words[globalWord(this.m, KSM_USE_ZERO_PAGES)] = options.useZeroPages === true ? 1 : 0;
  }

  ctx(cpu: number): Context {
    return this.#contexts[cpu] as Context;
  }

  /** Runs one operation to its end, alone: it never waits. */
  run<T>(coroutine: Coroutine<T>, ctx: Context): T {
    ctx.quantum = 2 ** 30;
    const step = coroutine.next();
    if (step.done !== true) throw new Error(`an operation that runs alone waits: ${step.value}`);
    return step.value;
  }

  /** Maps the region and makes it a guest's memory from gfn 0. */
  region(pages: number, flags = 0): void {
    const ctx = this.ctx(TASK);
    if (this.run(mmapRegion(ctx, 0, 0, pages, VM_READ | VM_WRITE | flags), ctx) !== 0) throw new Error('mmap');
    this.run(kvmCreateVm(ctx, 0, 0, false), ctx);
    this.run(kvmSetMemslot(ctx, 0, 0, 0, pages, 0, 0), ctx);
  }

  mergeable(pages: number): void {
    this.region(pages, VM_MERGEABLE);
  }

  huge(pages: number, flags = 0): void {
    this.region(pages, VM_HUGEPAGE | flags);
  }

  /** Small pages in [start, end), whatever the VMA wants: written while THP are switched off. */
  smallPages(start: number, end: number): void {
    const knob = globalWord(this.m, THP_ENABLED);
    const enabled = this.m.words[knob] as number;
    this.m.words[knob] = 0;
    for (let vpn = start; vpn < end; vpn++) this.write(vpn, 1000 + vpn);
    this.m.words[knob] = enabled;
  }

  mmapReaders(): number {
    return (this.m.words[mmapLockWord(this.ctx(TASK), 0)] as number) & RW_READERS;
  }

  readUnlock(ctx: Context): void {
    this.run(mmapReadUnlock(ctx, 0), ctx);
  }

  write(vpn: number, content: number, cpu = TASK): void {
    const ctx = this.ctx(cpu);
    const result = this.run(touchUser(ctx, 0, vpn, true, content), ctx);
    if (result !== 0) throw new Error(`write of page ${vpn}: ${result}`);
  }

  read(vpn: number, cpu = TASK): number {
    const ctx = this.ctx(cpu);
    const result = this.run(touchUser(ctx, 0, vpn, false, 0), ctx);
    if (result !== 0) throw new Error(`read of page ${vpn}: ${result}`);
    return ctx.accessValue;
  }

  /** The live guest touches every page of [start, end) by reading it. */
  guestTouches(start: number, end: number): void {
    const ctx = this.ctx(VCPU);
    ctx.cpu.loadedVm = 0;
    ctx.cpu.loadedVcpu = 0;
    for (let gfn = start; gfn < end; gfn++) {
      const result = this.run(vcpuAccess(ctx, 0, 0, gfn, false, 0), ctx);
      if (result !== 0) throw new Error(`guest read of ${gfn}: ${result}`);
    }
  }

  /** An io_uring registered buffer: FOLL_PIN | FOLL_LONGTERM | FOLL_WRITE. Returns the pfns. */
  pin(start: number, end: number): number[] {
    const ctx = this.ctx(PINNER);
    const pfns: number[] = [];
    for (let vpn = start; vpn < end; vpn++) {
      const pfn = this.run(pinUserPagesFast(ctx, 0, vpn, FOLL_PIN | FOLL_LONGTERM | FOLL_WRITE), ctx);
      if (pfn < 0) throw new Error(`pin of page ${vpn}: ${pfn}`);
      pfns.push(pfn);
    }
    return pfns;
  }

  /** vmsplice: FOLL_GET. */
  vmsplice(start: number, end: number): void {
    const ctx = this.ctx(PINNER);
    for (let vpn = start; vpn < end; vpn++) {
      if (this.run(getUserPagesUnlocked(ctx, 0, vpn, FOLL_GET), ctx) < 0) throw new Error(`get of page ${vpn}`);
    }
  }

  /** One full scan of ksmd. */
  ksmScan(): void {
    const ctx = this.ctx(KSMD);
    while (this.run(ksmDoScan(ctx, 1 << 20), ctx) === 0);
  }

  /** Calls of __mmu_notifier_invalidate_range_start by all tasks so far, or of one mechanism. */
  notifierStarts(mechanism?: number): number {
    return this.sum(
      mechanism === undefined
        ? STAT.notifier_starts
        : STATS_MECHANISMS_AT + mechanism * MECHANISM_COUNTERS + MC_NOTIFIER_STARTS,
    );
  }

  mechanism(mechanism: number, counter: number): number {
    return this.sum(STATS_MECHANISMS_AT + mechanism * MECHANISM_COUNTERS + counter);
  }

  stat(name: StatName): number {
    return this.sum(STAT[name]);
  }

  sum(offset: number): number {
    let sum = 0;
    for (let cpu = 0; cpu < this.m.cpus; cpu++) sum += this.m.words[statsBase(this.m, cpu) + offset] as number;
    return sum;
  }

  pmd(vpn: number): number {
    return this.m.words[pmdWord(this.m, 0, vpn)] as number;
  }

  pte(vpn: number): number {
    const pmd = this.pmd(vpn);
    return isTable(pmd) ? (this.m.words[pteWord(this.m, entryPfn(pmd), vpn)] as number) : 0;
  }

  pfn(vpn: number): number {
    const pmd = this.pmd(vpn);
    return isHuge(pmd) ? entryPfn(pmd) + (vpn & (THP - 1)) : entryPfn(this.pte(vpn));
  }

  refs(pfn: number): number {
    return this.m.words[pageWord(this.m, pfn, PAGE_REFS)] as number;
  }

  content(pfn: number): number {
    return this.m.words[pageWord(this.m, pfn, PAGE_CONTENT)] as number;
  }

  isKsm(pfn: number): boolean {
    return ((this.m.words[pageWord(this.m, pfn, PAGE_MAPPING)] as number) & 3) === MAPPING_KSM;
  }

  node(vpn: number): number {
    return (this.pfn(vpn) / this.m.framesPerNode) | 0;
  }

  /** Host entries of [start, end) that are NUMA hints; a huge hint counts its pages. */
  hints(start: number, end: number): number {
    let count = 0;
    for (let vpn = start; vpn < end; vpn++) {
      if (isProtnone(isHuge(this.pmd(vpn)) ? this.pmd(vpn) : this.pte(vpn))) count++;
    }
    return count;
  }

  /** Guest pages of [start, end) that stage 2 maps. */
  stage2Mapped(start: number, end: number): number {
    let count = 0;
    for (let gfn = start; gfn < end; gfn++) {
      let entry = this.m.words[s2RootWord(this.m, 0, gfn)] as number;
      if (isS2Table(entry)) entry = this.m.words[s2PteWord(this.m, entryPfn(entry), gfn)] as number;
      if (isS2Leaf(entry)) count++;
    }
    return count;
  }

  present(vpn: number): boolean {
    return isPresent(isHuge(this.pmd(vpn)) ? this.pmd(vpn) : this.pte(vpn));
  }
}
