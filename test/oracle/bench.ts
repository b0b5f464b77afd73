/**
 * A small machine with a process, a guest on its memory and a probe that watches, on which operations run one after the other; and
 * a hand to break things with, word by word.
 */
import { touchUser } from '#actors/user-access.js';
import { claimsOf, resolveKernel } from '#src/engine/machine/kernel.js';
import { NO_EVENTS } from '#src/events/ring.js';
import { vcpuAccess } from '#src/kvm/vcpu.js';
import { kvmCreateVm, kvmSetMemslot } from '#src/kvm/vm.js';
import { FOLL_LONGTERM, FOLL_PIN, FOLL_WRITE, VM_HUGEPAGE, VM_MERGEABLE, VM_READ, VM_WRITE } from '#src/machine/abi.js';
import { type MachineConfig, SMALL_MACHINE } from '#src/machine/config.js';
import { Context, type Coroutine, type Kernel } from '#src/machine/context.js';
import { entryPfn, isHuge } from '#src/machine/entries.js';
import {
  KSM_SMART_SCAN,
  Machine,
  globalWord,
  pageWord,
  pmdWord,
  pteWord,
  s2PteWord,
  s2RootWord,
} from '#src/machine/layout.js';
import { bootMachine } from '#src/mm/boot.js';
import { pinUserPagesFast } from '#src/mm/gup/gup.js';
import { ksmDoScan } from '#src/mm/ksm/ksm.js';
import { madviseDontneed } from '#src/mm/madvise/madvise.js';
import { mmapRegion } from '#src/mm/vma/mmap.js';
import { type OracleOptions, type OracleProbe, type Violation, auditAll, createProbe } from '#src/oracle/index.js';

export const PAGES = 8;
/** Tasks, each on a CPU of its own. */
export const VMM = 0;
export const VCPU = 1;
export const PINNER = 2;
export const KSMD = 3;

export class Bench {
  readonly m: Machine;
  readonly kernel: Kernel;
  readonly options: OracleOptions;
  readonly probe: OracleProbe;
  readonly #contexts: Context[];

  constructor(
    options: Partial<OracleOptions> & {
      policy?: string;
      machine?: Partial<MachineConfig>;
      flags?: number;
      isProtected?: boolean;
    } = {},
  ) {
    const { policy = 'classic', machine = {}, flags = 0, isProtected = false, ...rest } = options;
    this.m = new Machine({ ...SMALL_MACHINE, cpus: 4, mms: 1, vms: 1, mmPages: PAGES, vmPages: PAGES, ...machine });
    bootMachine(this.m);
    this.m.words[globalWord(this.m, KSM_SMART_SCAN)] = 0;
    this.kernel = resolveKernel(policy);
    this.options = { level: 'all', mode: 'one', actors: 4, claims: claimsOf(policy), ...rest };
    this.probe = createProbe(this.m, this.options, null);
    this.#contexts = Array.from(
      { length: this.m.cpus },
      (_, cpu) => new Context(this.m, this.kernel, this.probe, NO_EVENTS, cpu, cpu % 2, 1),
    );
    const ctx = this.ctx(VMM);
    this.run(mmapRegion(ctx, 0, 0, PAGES, VM_READ | VM_WRITE | VM_MERGEABLE | flags), ctx);
    this.run(kvmCreateVm(ctx, 0, 0, isProtected), ctx);
    this.run(kvmSetMemslot(ctx, 0, 0, 0, PAGES, 0, 0), ctx);
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

  write(vpn: number, content: number): void {
    const result = this.run(touchUser(this.ctx(VMM), 0, vpn, true, content), this.ctx(VMM));
    if (result !== 0) throw new Error(`write of page ${vpn}: ${result}`);
  }

  read(vpn: number): number {
    const result = this.run(touchUser(this.ctx(VMM), 0, vpn, false, 0), this.ctx(VMM));
    if (result !== 0) throw new Error(`read of page ${vpn}: ${result}`);
    return this.ctx(VMM).accessValue;
  }

  guestWrite(gfn: number, content: number): void {
    this.#guest(gfn, true, content);
  }

  guestRead(gfn: number): number {
    this.#guest(gfn, false, 0);
    return this.ctx(VCPU).accessValue;
  }

  #guest(gfn: number, write: boolean, content: number): void {
    const ctx = this.ctx(VCPU);
    ctx.cpu.loadedVm = 0;
    ctx.cpu.loadedVcpu = 0;
    const result = this.run(vcpuAccess(ctx, 0, 0, gfn, write, content), ctx);
    if (result !== 0) throw new Error(`guest access to ${gfn}: ${result}`);
  }

  /** FOLL_PIN | FOLL_LONGTERM | FOLL_WRITE of one page; returns its frame. */
  pin(vpn: number): number {
    const ctx = this.ctx(PINNER);
    const pfn = this.run(pinUserPagesFast(ctx, 0, vpn, FOLL_PIN | FOLL_LONGTERM | FOLL_WRITE), ctx);
    if (pfn < 0) throw new Error(`pin of page ${vpn}`);
    return pfn;
  }

  unpin(pfn: number): void {
    this.run(this.kernel.unpinUserPage(this.ctx(PINNER), pfn, true), this.ctx(PINNER));
  }

  zap(start: number, end: number): void {
    this.run(madviseDontneed(this.ctx(VMM), 0, start, end), this.ctx(VMM));
  }

  /** Full scans of ksmd. */
  merge(scans = 3): void {
    for (let i = 0; i < scans; i++) while (this.run(ksmDoScan(this.ctx(KSMD), 1000), this.ctx(KSMD)) === 0);
  }

  /** The PTE or the huge PMD of `vpn`: its word. */
  entryWord(vpn: number): number {
    const at = pmdWord(this.m, 0, vpn);
    const pmd = this.word(at);
    return isHuge(pmd) ? at : pteWord(this.m, entryPfn(pmd), vpn);
  }

  pfn(vpn: number): number {
    const entry = this.word(this.entryWord(vpn));
    return entryPfn(entry) + (isHuge(entry) ? vpn & (this.m.thpPages - 1) : 0);
  }

  /** The stage-2 PTE of `gfn`: its word. */
  leafWord(gfn: number): number {
    return s2PteWord(this.m, entryPfn(this.word(s2RootWord(this.m, 0, gfn))), gfn);
  }

  word(at: number): number {
    return this.m.words[at] as number;
  }

  poke(at: number, value: number): void {
    this.m.words[at] = value;
  }

  /** A field PAGE_* of a frame: its word. */
  page(pfn: number, field: number): number {
    return pageWord(this.m, pfn, field);
  }

  audit(): Violation[] {
    return auditAll(this.m, this.options, [], [this.probe]);
  }
}

/** `I-REF reference nobody holds` and so on, each once. */
export const kinds = (violations: readonly Violation[]): string[] => [
  ...new Set(violations.map(({ invariant, what }) => `${invariant} ${what}`)),
];
export const ids = (violations: readonly Violation[]): string[] => [
  ...new Set(violations.map(({ invariant }) => invariant)),
];
export const HUGE = VM_HUGEPAGE;
