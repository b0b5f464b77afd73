/**
 * I-COW: a write through one process is never visible through another's private mapping, or through a pin that another took for
 * reading. Plain references (FOLL_GET) have no such promise.
 *
 * On one thread each frame remembers who wrote it last, and its copies with it; contents tell whether that is what is read. A
 * child sees what its parent wrote before fork was over, and a KSM page holds what all its sharers wrote: so a private mapping is
 * judged only where the page does not hold what it must (I-LOST's shadow), and a pin only by writes that came after it. On real
 * threads the audit finds a page that holds what another process wrote last.
 */
import type { Context } from '../../../machine/context.js';
import { type Machine, PAGE_MAPPING, VM_MM, vmWord } from '../../../machine/layout.js';
import { look as peek } from '#words';
import { type Ledger, WRITTEN } from '../../ledgers/ledger.js';
import { headOf, page } from '../../view.js';
import type { ViolationLog } from '../../violation.js';

export const COW_ID = 'I-COW';
export const COW_VISIBLE = "another process's write is visible";

const text = (content: number): string => `0x${(content >>> 0).toString(16)}`;

/** Whether frame `pfn` is a file's (shared memory): whoever maps that sees all writes. */
const isFilePage = (m: Machine, pfn: number): boolean => {
  const mapping = page(m, headOf(m, pfn), PAGE_MAPPING);
  return mapping !== 0 && (mapping & 3) === 0;
};

/** Who wrote each frame last. One thread only. */
export class CowWatch {
  readonly #m: Machine;
  readonly #log: ViolationLog;
  /** By frame: the process + 1 that wrote it last (0: nobody, or a device), and when. */
  readonly #writer: Int32Array;
  readonly #when: Int32Array;
  /** By frame: the process + 1 that pinned it last, and when. */
  readonly #pinner: Int32Array;
  readonly #pinnedAt: Int32Array;
  /** By process: when fork gave it its memory. */
  readonly #born: Int32Array;
  /** Counts writes, pins and forks. */
  #now = 0;

  constructor(m: Machine, log: ViolationLog) {
    this.#m = m;
    this.#log = log;
    this.#writer = new Int32Array(m.frames);
    this.#when = new Int32Array(m.frames);
    this.#pinner = new Int32Array(m.frames);
    this.#pinnedAt = new Int32Array(m.frames);
    this.#born = new Int32Array(m.mms);
  }

  reset(): void {
    this.#writer.fill(0);
    this.#pinner.fill(0);
    this.#born.fill(0);
    this.#now = 0;
  }

  allocated(pfn: number, order: number): void {
    this.#writer.fill(0, pfn, pfn + (1 << order));
    this.#pinner.fill(0, pfn, pfn + (1 << order));
  }

  wrote(guest: boolean, space: number, pfn: number): void {
    this.#writer[pfn] = 1 + (guest ? peek(this.#m.words, vmWord(this.#m, space, VM_MM)) : space);
    this.#when[pfn] = ++this.#now;
  }

  /** A device's write belongs to no process. */
  deviceWrote(pfn: number): void {
    this.#writer[pfn] = 0;
  }

  copied(from: number, to: number): void {
    this.#writer[to] = this.#writer[from] as number;
    this.#when[to] = this.#when[from] as number;
  }

  forked(child: number): void {
    this.#born[child] = ++this.#now;
  }

  pinned(mm: number, pfn: number): void {
    this.#pinner[pfn] = mm + 1;
    this.#pinnedAt[pfn] = ++this.#now;
  }

  /** @param left pins that the frame still has */
  unpinned(pfn: number, left: number): void {
    if (left <= 0) this.#pinner[pfn] = 0;
  }

  /** Whether what `pfn` holds was written by another process than `mm`, after `mm` came into being. */
  isOthers(mm: number, pfn: number): boolean {
    const writer = this.#writer[pfn] as number;
    if (writer === 0 || writer === mm + 1 || isFilePage(this.#m, pfn)) return false;
    return (this.#when[pfn] as number) > (this.#born[mm] as number);
  }

  /** A device, or a pipe, reads `content` of a page that is pinned. */
  pinRead(ctx: Context, pfn: number, content: number): void {
    const mm = (this.#pinner[pfn] as number) - 1;
    if (mm < 0 || (this.#when[pfn] as number) < (this.#pinnedAt[pfn] as number) || !this.isOthers(mm, pfn)) return;
    const received = `${text(content)} of process ${(this.#writer[pfn] as number) - 1}`;
    this.#log.report(ctx, COW_ID, 'pin shows write of another', { pfn, mm, received });
  }
}

/** Whether, by the ledgers, another process than `mm` has written `content` last to some page of its own. */
export function isWrittenByAnother(m: Machine, ledgers: readonly Ledger[], mm: number, content: number): boolean {
  for (const ledger of ledgers) {
    for (let userPage = 0; userPage < ledger.userPages; userPage++) {
      if (userPage === mm * m.mmPages) userPage += m.mmPages;
      if (userPage >= ledger.userPages) break;
      if (((ledger.flags[userPage] as number) & WRITTEN) !== 0 && ledger.last(userPage) === content) return true;
    }
  }
  return false;
}
