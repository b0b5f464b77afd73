/**
 * What scanners must not do, on one thread and in litmus tests on several: ksmd frees a node of the stable tree whose page is alive (I-UAFNODE: the next rmap walk of
 * that page follows its mapping to the node, Z50), or walks the VMAs of a process that is no more (Z31); ksmd passes over a page that is mapped, scan after scan (I-LIVE, Z32); a hint
 * fault is counted for an entry that is no hint (I-ACCT, Z53).
 */
import { MAPPING_KSM } from '../../../machine/abi.js';
import type { Context } from '../../../machine/context.js';
import { isProtnone } from '../../../machine/entries.js';
import { MMF_EXITED, MM_FLAGS, type Machine, PAGE_MAPPING, PAGE_REFS, mmWord } from '../../../machine/layout.js';
import { look as peek } from '#words';
import { entryAt, page } from '../../view.js';
import type { ViolationLog } from '../../violation.js';

/** Scans in a row that may miss a page: one that is being changed at the moment of the look. */
const PASSES_MAX = 3;

export class Scanners {
  readonly #m: Machine;
  readonly #log: ViolationLog;
  /** By user page: looks of ksmd in a row that found no page where one was mapped. */
  readonly #passed: Uint8Array;

  /** @param passed what all workers share, where there are several */
  constructor(m: Machine, log: ViolationLog, passed: Uint8Array = new Uint8Array(m.mms * m.mmPages)) {
    this.#m = m;
    this.#log = log;
    this.#passed = passed;
  }

  reset(): void {
    this.#passed.fill(0);
  }

  /** The entry at (mm, vpn) has become another. */
  changed(mm: number, vpn: number): void {
    this.#passed[mm * this.#m.mmPages + vpn] = 0;
  }

  /** ksmd has looked at (mm, vpn) and found nothing: right only if no page is mapped there, hint or not. */
  passed(ctx: Context, mm: number, vpn: number): void {
    const at = mm * this.#m.mmPages + vpn;
    if (!isProtnone(entryAt(this.#m, mm, vpn))) return;
    const passes = (this.#passed[at] as number) + 1;
    this.#passed[at] = passes;
    if (passes !== PASSES_MAX) return;
    this.#log.report(ctx, 'I-LIVE', 'ksmd passes over mapped page', { mm, vpn, received: `${passes} scans` });
  }

  /** ksmd walks the VMAs of `mm`: exit_mmap() has not destroyed them (Z31). Under mmap_lock. */
  vmasWalked(ctx: Context, mm: number): void {
    if ((peek(ctx.words, mmWord(this.#m, mm, MM_FLAGS)) & MMF_EXITED) === 0) return;
    this.#log.report(ctx, 'I-UAFNODE', "dead process's VMAs are walked", { mm });
  }

  /** The node is stale: no page in use points to it. */
  nodeFreed(ctx: Context, node: number): void {
    const m = this.#m;
    for (let pfn = 1; pfn < m.frames; pfn++) {
      if (page(m, pfn, PAGE_MAPPING) !== ((node << 2) | MAPPING_KSM) || page(m, pfn, PAGE_REFS) === 0) continue;
      this.#log.report(ctx, 'I-UAFNODE', "live page's KSM node freed", { pfn });
    }
  }

  /** A hint fault at (mm, vpn) is counted, under the lock of the entry. */
  hintFault(ctx: Context, mm: number, vpn: number): void {
    if (isProtnone(entryAt(this.#m, mm, vpn))) return;
    this.#log.report(ctx, 'I-ACCT', 'hint fault without a hint', { mm, vpn });
  }
}
