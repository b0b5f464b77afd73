/**
 * A process to try mm operations on, with a probe that notes what tests ask for: notifier calls, pins, entry changes,
 * warnings. Every actor yields at each schedule point; `run` drives one operation to its end.
 */
import { resolveKernel } from '#src/engine/machine/kernel.js';
import { FAULT_FLAG_WRITE, VM_HUGEPAGE, VM_READ, VM_WRITE } from '#src/machine/abi.js';
import { ACCESS_DONE, hostAccess } from '#src/machine/access.js';
import type { MachineConfig } from '#src/machine/config.js';
import { type Context, type Coroutine, type Kernel, type KernelRules, Probe } from '#src/machine/context.js';
import { entryPfn, isHuge, isTable } from '#src/machine/entries.js';
import {
  type Machine,
  PAGE_CONTENT,
  PAGE_FLAGS,
  PAGE_MAPPING,
  PAGE_MAPS,
  PAGE_PINCOUNT,
  PAGE_REFS,
  THP_ENABLED,
  globalWord,
  pageWord,
  pmdWord,
  pteWord,
  statsBase,
} from '#src/machine/layout.js';
import { MECHANISM_COUNTERS, STAT, STATS_MECHANISMS_AT, type StatName } from '#src/machine/stats.js';
import { doUserAddrFault } from '#src/mm/memory/memory.js';
import { mmapRegion } from '#src/mm/vma/mmap.js';
import { makeContext, makeMachine, runToEnd } from './drive.js';

/** Notes events of interest, all of them. */
export class NotingProbe extends Probe {
  /** [mm, start, end, event] of each notifier start. */
  readonly starts: [number, number, number, number][] = [];
  ends = 0;
  readonly pinned: [number, number, number][] = [];
  readonly unpinned: number[] = [];
  /** [vpn, before, after]. */
  readonly entries: [number, number, number][] = [];
  readonly warnings: string[] = [];
  readonly slept: string[] = [];
  override onNotifierStart(_ctx: Context, mm: number, start: number, end: number, event: number): void {
    this.starts.push([mm, start, end, event]);
  }
  override onNotifierEnd(): void {
    this.ends++;
  }
  override onPinned(_ctx: Context, mm: number, vpn: number, pfn: number): void {
    this.pinned.push([mm, vpn, pfn]);
  }
  override onUnpin(_ctx: Context, pfn: number): void {
    this.unpinned.push(pfn);
  }
  override onEntry(_ctx: Context, _mm: number, vpn: number, _word: number, before: number, after: number): void {
    this.entries.push([vpn, before, after]);
  }
  override onWarn(_ctx: Context, invariant: string, what: string): void {
    this.warnings.push(`${invariant}: ${what}`);
  }
  override onMightSleep(_ctx: Context, what: string): void {
    this.slept.push(what);
  }
}

type Changes = Partial<Omit<Kernel, 'rules'>> & { readonly rules?: Partial<KernelRules> };

/** One process (mm 0) on a small machine: THPs of 4 pages, CPUs 0, 2, .. on node 0 and 1, 3, .. on node 1. */
export class MmLab {
  readonly m: Machine;
  readonly kernel: Kernel;
  readonly probe = new NotingProbe();
  readonly #contexts: Context[];

  constructor(changes: Changes = {}, config: Partial<MachineConfig> = {}, policy = 'classic') {
    const base = resolveKernel(policy);
    this.kernel = { ...base, ...changes, rules: { ...base.rules, ...changes.rules } };
    this.m = makeMachine(config);
    this.#contexts = Array.from({ length: this.m.cpus }, (_, cpu) => makeContext(this.m, cpu, this.kernel, this.probe));
  }

  /** The actor on CPU `cpu`. */
  ctx(cpu = 0): Context {
    return this.#contexts[cpu] as Context;
  }

  run<T>(operation: (ctx: Context) => Coroutine<T>, cpu = 0): T {
    return runToEnd(operation(this.ctx(cpu)), this.ctx(cpu));
  }

  /** mmap() of [start, start + pages): private, readable and writable, with more flags. */
  map(start: number, pages: number, flags = 0): void {
    const result = this.run((ctx) => mmapRegion(ctx, 0, start, pages, VM_READ | VM_WRITE | flags));
    if (result !== 0) throw new Error(`mmap: ${result}`);
  }

  /** The same with a THP in every whole slot, all pages written. */
  mapHuge(start: number, pages: number): void {
    this.map(start, pages, VM_HUGEPAGE);
    for (let i = 0; i < pages; i++) this.write(start + i, 100 + start + i);
  }

  /** The same with small pages, all written with 100 + vpn. */
  mapSmall(start: number, pages: number, flags = 0): void {
    this.map(start, pages, flags);
    for (let i = 0; i < pages; i++) this.write(start + i, 100 + start + i);
  }

  write(vpn: number, content: number, cpu = 0): void {
    const result = this.run((ctx) => touch(ctx, vpn, true, content), cpu);
    if (result !== 0) throw new Error(`write of page ${vpn}: VM_FAULT ${result}`);
  }

  read(vpn: number, cpu = 0): number {
    const result = this.run((ctx) => touch(ctx, vpn, false, 0), cpu);
    if (result !== 0) throw new Error(`read of page ${vpn}: VM_FAULT ${result}`);
    return this.ctx(cpu).accessValue;
  }

  thp(enabled: boolean): void {
    this.m.words[globalWord(this.m, THP_ENABLED)] = enabled ? 1 : 0;
  }

  word(at: number): number {
    return this.m.words[at] as number;
  }

  set(at: number, value: number): void {
    this.m.words[at] = value;
  }

  pmd(vpn: number): number {
    return this.word(pmdWord(this.m, 0, vpn));
  }

  /** Where the PTE of `vpn` stands. */
  pteAt(vpn: number): number {
    const pmd = this.pmd(vpn);
    if (!isTable(pmd)) throw new Error(`page ${vpn} has no table`);
    return pteWord(this.m, entryPfn(pmd), vpn);
  }

  pte(vpn: number): number {
    return this.word(this.pteAt(vpn));
  }

  pfn(vpn: number): number {
    const pmd = this.pmd(vpn);
    return isHuge(pmd) ? entryPfn(pmd) + (vpn & (this.m.thpPages - 1)) : entryPfn(this.pte(vpn));
  }

  refs(pfn: number): number {
    return this.word(pageWord(this.m, pfn, PAGE_REFS));
  }
  maps(pfn: number): number {
    return this.word(pageWord(this.m, pfn, PAGE_MAPS));
  }
  pins(head: number): number {
    return this.word(pageWord(this.m, head, PAGE_PINCOUNT));
  }
  flags(pfn: number): number {
    return this.word(pageWord(this.m, pfn, PAGE_FLAGS));
  }
  content(pfn: number): number {
    return this.word(pageWord(this.m, pfn, PAGE_CONTENT));
  }
  mapping(pfn: number): number {
    return this.word(pageWord(this.m, pfn, PAGE_MAPPING));
  }
  node(vpn: number): number {
    return (this.pfn(vpn) / this.m.framesPerNode) | 0;
  }

  stat(name: StatName): number {
    return this.#sum(STAT[name]);
  }

  mechanism(mechanism: number, counter: number): number {
    return this.#sum(STATS_MECHANISMS_AT + mechanism * MECHANISM_COUNTERS + counter);
  }

  #sum(offset: number): number {
    let sum = 0;
    for (let cpu = 0; cpu < this.m.cpus; cpu++) sum += this.word(statsBase(this.m, cpu) + offset);
    return sum;
  }
}

/** A user access of mm 0 with its faults. Returns 0 or VM_FAULT_*. */
export function* touch(ctx: Context, vpn: number, write: boolean, content: number): Coroutine {
  for (;;) {
    if ((yield* hostAccess(ctx, 0, vpn, write, content, false)) === ACCESS_DONE) return 0;
    const fault = yield* doUserAddrFault(ctx, 0, vpn, write ? FAULT_FLAG_WRITE : 0);
    if (fault !== 0) return fault;
  }
}
