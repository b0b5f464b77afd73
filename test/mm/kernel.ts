/** The base kernel with changes, a process to run it in, and what mm tests look at. */
import { COMPOUND_HEAD, GUP_PIN_COUNTING_BIAS, VM_MAYWRITE, VM_READ, VM_WRITE } from '#src/machine/abi.js';
import type { MachineConfig } from '#src/machine/config.js';
import { Context, type Coroutine, type Kernel, type KernelRules, Probe, RULES_V6_18 } from '#src/machine/context.js';
import { entryPfn } from '#src/machine/entries.js';
import {
  type Machine,
  PAGE_COMPOUND,
  PAGE_FLAGS,
  PAGE_LARGE_MAPS,
  PAGE_MAPS,
  PAGE_PINCOUNT,
  PAGE_REFS,
  pageWord,
  pmdWord,
  pteWord,
  statsBase,
} from '#src/machine/layout.js';
import { STAT, type StatName } from '#src/machine/stats.js';
import { BASE_KERNEL } from '#src/engine/machine/kernel.js';
import { doUserAddrFault } from '#src/mm/memory/memory.js';
import { mmapRegion } from '#src/mm/vma/mmap.js';
import { findVma } from '#src/mm/vma/vma.js';
import { makeContext, makeMachine, runToEnd } from '../helpers/drive.js';

type Changes = Partial<Omit<Kernel, 'rules'>> & { readonly rules?: Partial<KernelRules> };

/** One call of mmu_notifier_invalidate_range_start. */
export interface Notification {
  readonly start: number;
  readonly end: number;
  readonly event: number;
  readonly mechanism: number;
}

/** The base kernel, with changes, that also writes down each notifier call. */
export function recordingKernel(changes: Changes = {}): {
  kernel: Kernel;
  notified: Notification[];
  open: () => number;
} {
  const notified: Notification[] = [];
  let open = 0;
  const kernel: Kernel = {
    ...BASE_KERNEL,
    *mmuNotifierInvalidateRangeStart(ctx, mm, start, end, event, blockable): Coroutine {
      notified.push({ start, end, event, mechanism: ctx.task.mechanism });
      open++;
      return yield* BASE_KERNEL.mmuNotifierInvalidateRangeStart(ctx, mm, start, end, event, blockable);
    },
    *mmuNotifierInvalidateRangeEnd(ctx, mm, start, end): Coroutine<void> {
      open--;
      yield* BASE_KERNEL.mmuNotifierInvalidateRangeEnd(ctx, mm, start, end);
    },
    ...changes,
    rules: { ...RULES_V6_18, ...changes.rules },
  };
  return { kernel, notified, open: () => open };
}

export const ANON = VM_READ | VM_WRITE | VM_MAYWRITE;

/** Process 0 of a machine with one mapping of `pages` pages from `start`, and two actors in it. */
export class Lab {
  readonly m: Machine;
  readonly notified: Notification[];
  readonly a: Context;
  readonly b: Context;
  readonly probe: Probe;
  readonly notifiersOpen: () => number;

  constructor(
    options: {
      machine?: Partial<MachineConfig>;
      kernel?: Changes;
      probe?: Probe;
      start?: number;
      pages?: number;
      flags?: number;
    } = {},
  ) {
    this.m = makeMachine(options.machine);
    const { kernel, notified, open } = recordingKernel(options.kernel);
    this.notified = notified;
    this.notifiersOpen = open;
    this.probe = options.probe ?? new Probe();
    this.a = makeContext(this.m, 0, kernel, this.probe);
    this.b = makeContext(this.m, 1, kernel, this.probe);
    this.map(options.start ?? 0, options.pages ?? this.m.mmPages, options.flags ?? ANON);
  }

  map(start: number, pages: number, flags: number): void {
    const result = runToEnd(mmapRegion(this.a, 0, start, pages, flags), this.a);
    if (result !== 0) throw new Error(`mmap: ${result}`);
  }

  /** A user access's fault by actor a. */
  fault(vpn: number, flags: number): number {
    return runToEnd(doUserAddrFault(this.a, 0, vpn, flags), this.a);
  }

  vma(vpn: number): number {
    return findVma(this.a, 0, vpn);
  }

  pmd(vpn: number): number {
    return this.m.words[pmdWord(this.m, 0, vpn)] as number;
  }

  pteAt(vpn: number): number {
    return pteWord(this.m, entryPfn(this.pmd(vpn)), vpn);
  }

  pte(vpn: number): number {
    return this.m.words[this.pteAt(vpn)] as number;
  }

  setPte(vpn: number, entry: number): void {
    this.m.words[this.pteAt(vpn)] = entry;
  }

  page(pfn: number, field: number): number {
    return this.m.words[pageWord(this.m, pfn, field)] as number;
  }

  setPage(pfn: number, field: number, value: number): void {
    this.m.words[pageWord(this.m, pfn, field)] = value;
  }

  refs(pfn: number): number {
    return this.page(pfn, PAGE_REFS);
  }

  maps(pfn: number): number {
    return this.page(pfn, PAGE_MAPS);
  }

  largeMaps(pfn: number): number {
    return this.page(pfn, PAGE_LARGE_MAPS);
  }

  flags(pfn: number): number {
    return this.page(pfn, PAGE_FLAGS);
  }

  /** A FOLL_PIN of the folio with this head, as GUP would take it. */
  pin(head: number): void {
    if ((this.page(head, PAGE_COMPOUND) & COMPOUND_HEAD) !== 0) {
      this.setPage(head, PAGE_REFS, this.refs(head) + 1);
      this.setPage(head, PAGE_PINCOUNT, this.page(head, PAGE_PINCOUNT) + 1);
    } else {
      this.setPage(head, PAGE_REFS, this.refs(head) + GUP_PIN_COUNTING_BIAS);
    }
  }

  /** A plain FOLL_GET reference. */
  get(head: number): void {
    this.setPage(head, PAGE_REFS, this.refs(head) + 1);
  }

  stat(name: StatName): number {
    let sum = 0;
    for (let actor = 0; actor < this.m.cpus; actor++)
      sum += this.m.words[statsBase(this.m, actor) + STAT[name]] as number;
    return sum;
  }
}
