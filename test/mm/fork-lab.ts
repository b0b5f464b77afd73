/** Several processes on one small machine under all oracles: what fork and shared memory are tried on. */
import { touchUser } from '#actors/user-access.js';
import { claimsOf, resolveKernel } from '#src/engine/machine/kernel.js';
import { FOLL_PIN, FOLL_WRITE, VM_HUGEPAGE, VM_READ, VM_WRITE } from '#src/machine/abi.js';
import type { MachineConfig } from '#src/machine/config.js';
import type { Context, Coroutine, Kernel, KernelRules } from '#src/machine/context.js';
import { entryPfn, isHuge, isTable } from '#src/machine/entries.js';
import {
  type Machine,
  PAGE_CONTENT,
  PAGE_FLAGS,
  PAGE_MAPS,
  PAGE_REFS,
  pageWord,
  pmdWord,
  pteWord,
} from '#src/machine/layout.js';
import { dupMm } from '#src/mm/fork.js';
import { pinUserPagesFast } from '#src/mm/gup/gup.js';
import { mmapRegion } from '#src/mm/vma/mmap.js';
import { type OracleOptions, type OracleProbe, type Violation, auditAll, createProbe } from '#src/oracle/index.js';
import { makeContext, makeMachine, runToEnd } from '../helpers/drive.js';

type Changes = Partial<Omit<Kernel, 'rules'>> & { readonly rules?: Partial<KernelRules> };

const line = ({ invariant, what, ...subject }: Violation): string =>
  `${invariant} ${what} ${JSON.stringify({ ...subject, actors: undefined, held: undefined, time: undefined })}`;

export class ForkLab {
  readonly m: Machine;
  readonly kernel: Kernel;
  readonly probe: OracleProbe;
  /** [mm, start, end, event] of each notifier start. */
  readonly starts: [number, number, number, number][] = [];
  readonly #options: OracleOptions;
  readonly #contexts: Context[];

  constructor(changes: Changes = {}, config: Partial<MachineConfig> = {}, id = 'classic') {
    const base = resolveKernel(id);
    const starts = this.starts;
    this.kernel = {
      ...base,
      *mmuNotifierInvalidateRangeStart(ctx, mm, start, end, event, blockable): Coroutine {
        starts.push([mm, start, end, event]);
        return yield* base.mmuNotifierInvalidateRangeStart(ctx, mm, start, end, event, blockable);
      },
      ...changes,
      rules: { ...base.rules, ...changes.rules },
    };
    this.m = makeMachine({ mms: 4, cpus: 4, nodes: 1, framesPerNode: 64, ...config });
    this.#options = {
      level: 'all',
      mode: 'one',
      claims: claimsOf(id),
      actors: this.m.cpus,
      keepsExclusiveBit: this.kernel.rules.wpReuse === 'v5.19',
    };
    this.probe = createProbe(this.m, this.#options, null);
    this.#contexts = Array.from({ length: this.m.cpus }, (_, cpu) => makeContext(this.m, cpu, this.kernel, this.probe));
  }

  ctx(cpu = 0): Context {
    return this.#contexts[cpu] as Context;
  }

  run<T>(operation: (ctx: Context) => Coroutine<T>, cpu = 0): T {
    const ctx = this.ctx(cpu);
    const result = runToEnd(operation(ctx), ctx);
    this.probe.onProgress(ctx);
    return result;
  }

  map(mm: number, start: number, pages: number, flags = 0): void {
    const result = this.run((ctx) => mmapRegion(ctx, mm, start, pages, VM_READ | VM_WRITE | flags));
    if (result !== 0) throw new Error(`mmap: ${result}`);
  }

  /** Small pages, each written with 100 + vpn. */
  mapSmall(mm: number, start: number, pages: number, flags = 0): void {
    this.map(mm, start, pages, flags);
    for (let vpn = start; vpn < start + pages; vpn++) this.write(mm, vpn, 100 + vpn);
  }

  mapHuge(mm: number, start: number, pages: number): void {
    this.mapSmall(mm, start, pages, VM_HUGEPAGE);
  }

  write(mm: number, vpn: number, content: number, cpu = 0): void {
    const result = this.run((ctx) => touchUser(ctx, mm, vpn, true, content), cpu);
    if (result !== 0) throw new Error(`write of ${vpn} by ${mm}: ${result}`);
  }

  read(mm: number, vpn: number, cpu = 0): number {
    const result = this.run((ctx) => touchUser(ctx, mm, vpn, false, 0), cpu);
    if (result !== 0) throw new Error(`read of ${vpn} by ${mm}: ${result}`);
    return this.ctx(cpu).accessValue;
  }

  pin(mm: number, vpn: number, flags = FOLL_WRITE, cpu = 0): number {
    const pfn = this.run((ctx) => pinUserPagesFast(ctx, mm, vpn, FOLL_PIN | flags), cpu);
    if (pfn < 0) throw new Error(`pin of ${vpn} by ${mm}: ${pfn}`);
    return pfn;
  }

  unpin(pfn: number, cpu = 0): void {
    this.run((ctx) => ctx.kernel.unpinUserPage(ctx, pfn, false), cpu);
  }

  fork(parent: number, child: number, cpu = 0): number {
    return this.run((ctx) => dupMm(ctx, parent, child), cpu);
  }

  word(at: number): number {
    return this.m.words[at] as number;
  }
  pmd(mm: number, vpn: number): number {
    return this.word(pmdWord(this.m, mm, vpn));
  }
  pteAt(mm: number, vpn: number): number {
    return pteWord(this.m, entryPfn(this.pmd(mm, vpn)), vpn);
  }
  pte(mm: number, vpn: number): number {
    return isTable(this.pmd(mm, vpn)) ? this.word(this.pteAt(mm, vpn)) : 0;
  }
  pfn(mm: number, vpn: number): number {
    const pmd = this.pmd(mm, vpn);
    return isHuge(pmd) ? entryPfn(pmd) + (vpn & (this.m.thpPages - 1)) : entryPfn(this.pte(mm, vpn));
  }
  refs(pfn: number): number {
    return this.word(pageWord(this.m, pfn, PAGE_REFS));
  }
  maps(pfn: number): number {
    return this.word(pageWord(this.m, pfn, PAGE_MAPS));
  }
  flags(pfn: number): number {
    return this.word(pageWord(this.m, pfn, PAGE_FLAGS));
  }
  content(pfn: number): number {
    return this.word(pageWord(this.m, pfn, PAGE_CONTENT));
  }

  /** What the oracles have found, and what an audit of the machine at rest finds: a line each. */
  violations(): string[] {
    return [...this.probe.violations, ...auditAll(this.m, this.#options, [], [this.probe])].map(line);
  }
}
