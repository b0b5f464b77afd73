/** A small guest for these tests: one process with one VM whose memory is the process's, page for page. */
import { resolveKernel } from '#src/engine/machine/kernel.js';
import { kvmCreateVm, kvmSetMemslot } from '#src/kvm/vm.js';
import { vcpuAccess } from '#src/kvm/vcpu.js';
import { PG_ANON_EXCLUSIVE, VM_MAYWRITE, VM_READ, VM_WRITE } from '#src/machine/abi.js';
import type { MachineConfig } from '#src/machine/config.js';
import { type Context, type Kernel, type KernelRules, Probe } from '#src/machine/context.js';
import { S2_WRITE, entryPfn, isHuge, isS2Table } from '#src/machine/entries.js';
import {
  type Machine,
  PAGE_CONTENT,
  PAGE_FLAGS,
  PAGE_MAPS,
  PAGE_REFS,
  S2_POOL_FREE,
  VM_MMU_LOCK,
  globalWord,
  pageWord,
  pmdWord,
  s2PteWord,
  s2RootWord,
  vmWord,
} from '#src/machine/layout.js';
import { TLB_WRITABLE, tlbPfn, tlbSlot, tlbTag } from '#src/machine/tlb.js';
import { countDivergences, stage2Pfn } from '#src/kvm/divergence.js';
import { touchUser } from '#actors/user-access.js';
import { mmapRegion } from '#src/mm/vma/mmap.js';
import { makeContext, makeMachine, runToEnd } from '../helpers/drive.js';

export const READ_WRITE = VM_READ | VM_WRITE | VM_MAYWRITE;

export interface GuestOptions {
  readonly policy?: string;
  readonly replace?: Partial<Kernel>;
  readonly rules?: Partial<KernelRules>;
  readonly machine?: Partial<MachineConfig>;
  readonly flags?: number;
  readonly isProtected?: boolean;
  readonly probe?: Probe;
}

export class Guest {
  readonly m: Machine;
  readonly kernel: Kernel;
  readonly probe: Probe;
  readonly pages: number;
  readonly #contexts: Context[] = [];

  constructor(options: GuestOptions = {}) {
    this.m = makeMachine(options.machine);
    const base = resolveKernel(options.policy ?? 'classic');
    this.kernel = { ...base, ...options.replace, rules: { ...base.rules, ...options.rules } };
    this.probe = options.probe ?? new Probe();
    for (let cpu = 0; cpu < this.m.cpus; cpu++) this.#contexts.push(makeContext(this.m, cpu, this.kernel, this.probe));
    const ctx = this.ctx(0);
    this.pages = this.m.vmPages;
    const flags = READ_WRITE | (options.flags ?? 0);
    if (runToEnd(mmapRegion(ctx, 0, 0, this.pages, flags), ctx) !== 0) throw new Error('mmap');
    if (runToEnd(kvmCreateVm(ctx, 0, 0, options.isProtected ?? false), ctx) !== 0) throw new Error('KVM_CREATE_VM');
    if (runToEnd(kvmSetMemslot(ctx, 0, 0, 0, this.pages, 0, 0), ctx) !== 0) throw new Error('memslot');
  }

  ctx(cpu: number): Context {
    return this.#contexts[cpu] as Context;
  }

  /** A guest access by vCPU = CPU `cpu`, alone to its end: its result. */
  access(gfn: number, write: boolean, value = 0, cpu = 0): number {
    return runToEnd(vcpuAccess(this.ctx(cpu), 0, cpu, gfn, write, value), this.ctx(cpu));
  }

  /** A guest load that must work: what it read. */
  load(gfn: number, cpu = 0): number {
    const result = this.access(gfn, false, 0, cpu);
    if (result !== 0) throw new Error(`guest load of gfn ${gfn}: ${result}`);
    return this.ctx(cpu).accessValue;
  }

  store(gfn: number, value: number, cpu = 0): void {
    const result = this.access(gfn, true, value, cpu);
    if (result !== 0) throw new Error(`guest store to gfn ${gfn}: ${result}`);
  }

  /** A load or store of the VMM itself: its result. */
  touch(vpn: number, write: boolean, value = 0, cpu = 7): number {
    return runToEnd(touchUser(this.ctx(cpu), 0, vpn, write, value), this.ctx(cpu));
  }

  /** The page-level stage-2 entry of `gfn`, or the root entry where there is no table. */
  leaf(gfn: number): number {
    const root = this.word(s2RootWord(this.m, 0, gfn));
    return isS2Table(root) ? this.word(s2PteWord(this.m, entryPfn(root), gfn)) : root;
  }

  word(at: number): number {
    return this.m.words[at] as number;
  }

  refs(pfn: number): number {
    return this.word(pageWord(this.m, pfn, PAGE_REFS));
  }

  maps(pfn: number): number {
    return this.word(pageWord(this.m, pfn, PAGE_MAPS));
  }

  content(pfn: number): number {
    return this.word(pageWord(this.m, pfn, PAGE_CONTENT));
  }

  vm(field: number): number {
    return this.word(vmWord(this.m, 0, field));
  }

  get freeTables(): number {
    return this.word(globalWord(this.m, S2_POOL_FREE));
  }

  get mmuLockFree(): boolean {
    return this.vm(VM_MMU_LOCK) === 0;
  }

  /**
   * What is stale in a machine where nothing is under way, a line each: stage-2 entries against the process's page
   * table (I-STALE, I-PERM), and TLB entries against the stage-2 entry that they came from (I-TLB).
   */
  stale(): string[] {
    const wrong: string[] = [];
    countDivergences(this.m, 0, (gfn, stage2, host) => wrong.push(`gfn ${gfn}: stage 2 ${stage2}, host ${host}`));
    for (let gfn = 0; gfn < this.m.vmPages; gfn++) {
      const pfn = stage2Pfn(this.m, 0, gfn);
      const writable = pfn >= 0 && (this.leaf(gfn) & S2_WRITE) !== 0;
      // a huge page that is mapped as one has the bit on its head
      const huge = isHuge(this.word(pmdWord(this.m, 0, gfn)));
      const judged = huge ? pfn & ~(this.m.thpPages - 1) : pfn;
      if (writable && (this.word(pageWord(this.m, judged, PAGE_FLAGS)) & PG_ANON_EXCLUSIVE) === 0) {
        wrong.push(`gfn ${gfn}: writable, but pfn ${pfn} is not exclusive`);
      }
      for (let cpu = 0; cpu < this.m.cpus; cpu++) {
        const slot = tlbSlot(this.m, cpu, gfn);
        if (this.word(slot) !== tlbTag(true, 0, gfn)) continue;
        const value = this.word(slot + 1);
        if (tlbPfn(value) !== pfn) wrong.push(`gfn ${gfn}: TLB of CPU ${cpu} says ${tlbPfn(value)}, stage 2 ${pfn}`);
        else if ((value & TLB_WRITABLE) !== 0 && !writable)
          wrong.push(`gfn ${gfn}: writable in the TLB of CPU ${cpu} only`);
      }
    }
    return wrong;
  }
}
