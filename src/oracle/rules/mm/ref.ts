/**
 * I-REF: a folio's reference count is the sum of its holders. At rest these are its mappings, the LRU batches, the swap cache, pins, and for a
 * page that the kernel itself uses (EL2's tables and caches) the allocation's own reference. Without a ledger of pins, whatever
 * is left over must look like pins at least.
 *
 * On one thread the ledger follows every change, and a count that changed without a holder is seen at the next one.
 */
import {
  GUP_PIN_COUNTING_BIAS,
  PG_BUDDY,
  PG_DRIVER,
  PG_HWPOISON,
  PG_HWPOISON_KEPT,
  PG_PCP,
} from '../../../machine/abi.js';
import type { Context } from '../../../machine/context.js';
import { type Machine, PAGE_COMPOUND, PAGE_FLAGS, PAGE_PINCOUNT, PAGE_REFS } from '../../../machine/layout.js';
import type { Census } from '../../audits/census.js';
import { leavesOfFolio } from './map.js';
import { isLarge, page } from '../../view.js';
import type { ViolationLog } from '../../violation.js';

const ID = 'I-REF';

/**
 * @param pins returned pins of a frame, or null when nobody has counted them
 * @param held references of a frame that somebody keeps by FOLL_GET, so far as they were counted
 * @param kernelOwned whether a frame that nothing maps is in use by the kernel or EL2
 */
export function auditRefs(
  census: Census,
  log: ViolationLog,
  pins: ((pfn: number) => number) | null,
  held: (pfn: number) => number,
  kernelOwned: (pfn: number) => boolean,
): void {
  const { m } = census;
  for (let pfn = 1; pfn < m.frames; pfn++) {
    if (page(m, pfn, PAGE_COMPOUND) < 0) {
      if (page(m, pfn, PAGE_REFS) !== 0)
        log.found(ID, 'tail page has references', { pfn, received: String(page(m, pfn, PAGE_REFS)) });
      continue;
    }
    const flags = page(m, pfn, PAGE_FLAGS);
    const refs = page(m, pfn, PAGE_REFS);
    if ((flags & (PG_BUDDY | PG_PCP | PG_DRIVER)) !== 0 || (refs === 0 && (flags & PG_HWPOISON) !== 0)) continue;
    const large = isLarge(m, pfn);
    const inCaches = (census.cachePages[pfn] as number) + (census.swapCaches[pfn] as number);
    // memory_failure() has kept one
    const kept = (flags & PG_HWPOISON_KEPT) !== 0 ? 1 : 0;
    const known =
      kept + leavesOfFolio(census, m, pfn) + (census.lruBatches[pfn] as number) + inCaches + sumOverFolio(m, pfn, held);
    const rest = refs - known;
    const pinned = pins === null ? -1 : sumOverFolio(m, pfn, pins);
    const owned = known === 0 && kernelOwned(pfn) ? 1 : 0;
    if (pinned >= 0) {
      const expected = known + owned + (large ? pinned : pinned * GUP_PIN_COUNTING_BIAS);
      if (refs !== expected) {
        const what = refs > expected ? 'reference nobody holds' : 'holder without a reference';
        log.found(ID, what, { pfn, expected: String(expected), received: String(refs) });
      }
    } else if (!looksLikePins(m, pfn, large, rest - owned)) {
      log.found(ID, 'reference nobody holds', { pfn, expected: `${known + owned} and pins`, received: String(refs) });
    }
    if (large && pinned >= 0 && page(m, pfn, PAGE_PINCOUNT) !== pinned) {
      log.found(ID, 'pincount differs from pins', {
        pfn,
        expected: String(pinned),
        received: String(page(m, pfn, PAGE_PINCOUNT)),
      });
    }
  }
}

function looksLikePins(m: Machine, head: number, large: boolean, rest: number): boolean {
  if (large) return rest === page(m, head, PAGE_PINCOUNT);
  return rest >= 0 && rest % GUP_PIN_COUNTING_BIAS === 0;
}

function sumOverFolio(m: Machine, head: number, of: (pfn: number) => number): number {
  if (!isLarge(m, head)) return of(head);
  let sum = 0;
  for (let pfn = head; pfn < head + m.thpPages; pfn++) sum += of(pfn);
  return sum;
}

/** Holders' references by frame, as the hooks tell of them: exact on one thread only. */
export class RefLedger {
  readonly #m: Machine;
  readonly #log: ViolationLog;
  /** Sum of the holders; and whether the frame is followed: since its allocation, or the first change seen. */
  readonly #sum: Int32Array;
  readonly #known: Uint8Array;

  constructor(m: Machine, log: ViolationLog) {
    this.#m = m;
    this.#log = log;
    this.#sum = new Int32Array(m.frames);
    this.#known = new Uint8Array(m.frames);
  }

  reset(): void {
    this.#known.fill(0);
  }

  /** A folio was taken from the allocator; only its head has references. */
  allocated(head: number, order: number): void {
    this.#known.fill(0, head, head + (1 << order));
    this.#sum[head] = 0;
    this.#known[head] = 1;
  }

  /**
   * The count of `pfn` was changed by `delta` in this step, for some holder. A reference that changes its reason is told as one
   * less and one more in the same step, so the sum is held against the count when it has grown.
   */
  changed(ctx: Context, pfn: number, delta: number): void {
    if (this.#known[pfn] !== 0) {
      this.#sum[pfn] = (this.#sum[pfn] as number) + delta;
      if (delta > 0) this.#compare(ctx, pfn);
    } else if (delta > 0) {
      this.#known[pfn] = 1;
      this.#sum[pfn] = page(this.#m, pfn, PAGE_REFS);
    }
  }

  /** The count of `pfn` was unfrozen. */
  unfrozen(ctx: Context, pfn: number): void {
    if (this.#known[pfn] !== 0) this.#compare(ctx, pfn);
  }

  #compare(ctx: Context, pfn: number): void {
    if (this.#sum[pfn] === page(this.#m, pfn, PAGE_REFS)) return;
    const expected = this.#sum[pfn] as number;
    const received = page(this.#m, pfn, PAGE_REFS);
    this.#sum[pfn] = received;
    this.#log.report(ctx, ID, 'reference count without a holder', {
      pfn,
      expected: String(expected),
      received: String(received),
    });
  }
}
