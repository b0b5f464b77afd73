/**
 * I-LOST: no retired write disappears.
 *
 * On real threads each worker remembers what it wrote last to each user page and guest page. Whatever write came last of all was
 * the last of its worker, so at a drain a page must hold one of these, or what it held at the drain before if nobody wrote
 * it; zeroes are as good if it was zapped meanwhile. A device's write may be lost with a page that is not mapped any more.
 *
 * On one thread the shadow knows what each page must hold, and each read is held against it.
 *
 * The other half: a zap that has returned was effective (Z15). What nobody has written since it began is zero, not what was there.
 */
import { VM_STATE_LIVE, VM_STATE_NONE } from '../machine/abi.js';
import type { Context } from '../machine/context.js';
import { entryPfn, isHwpoisonEntry, isPresent, isTable } from '../machine/entries.js';
import {
  LINE,
  MM_TLB_FLUSH_PENDING,
  type Machine,
  PAGE_CONTENT,
  VM_MEMSLOTS,
  VM_MM,
  VM_STATE,
  mmWord,
  pmdLockOf,
  pmdWord,
  ptlOf,
  vmWord,
} from '../machine/layout.js';
import { setAt, vpnOfGfn } from '../kvm/memslots.js';
import { peek } from '#words';
import { COW_ID, COW_VISIBLE, type CowWatch, isWrittenByAnother } from './cow.js';
import { ANY, BASE, DEVICE, EMPTIED, type Ledger, WRITTEN, ZAPPED } from './ledger.js';
import {
  entryAt,
  gfnOfVpn,
  headOf,
  isFree,
  mmOfFolio,
  objectPageAt,
  objectPageOfFrame,
  page,
  pfnOfEntry,
  pfnOfStage2,
  stage2At,
  vpnOfPage,
} from './view.js';
import type { ViolationLog, ViolationSubject } from './violation.js';

const ID = 'I-LOST';
const LOST = 'retired write is lost';
const KEPT = 'zapped page keeps its content';

const text = (content: number): string => `0x${(content >>> 0).toString(16)}`;

/** The user page that frame `pfn` stands for, or -1: KSM pages stand for several. */
export function userPageOf(m: Machine, pfn: number): number {
  if (pfn === 0) return -1;
  const head = headOf(m, pfn);
  const mm = mmOfFolio(m, head);
  const vpn = mm < 0 ? -1 : vpnOfPage(m, head, pfn);
  return vpn >= 0 && vpn < m.mmPages ? mm * m.mmPages + vpn : -1;
}

/** What a user page may hold, gathered from all ledgers. */
class Allowed {
  any = false;
  written = false;
  zapped = false;
  /** A zap has returned: without a write the page holds zeroes. */
  emptied = false;
  #base = 0;
  readonly #contents: number[] = [];

  begin(): void {
    this.any = false;
    this.written = false;
    this.zapped = false;
    this.emptied = false;
    this.#base = 0;
    this.#contents.length = 0;
  }

  /** @param page the number of a user page or guest page in the ledger */
  gather(ledger: Ledger, page: number): void {
    const flags = ledger.flags[page] as number;
    if (flags === 0) return;
    if ((flags & ANY) !== 0) this.any = true;
    if ((flags & ZAPPED) !== 0) this.zapped = true;
    if ((flags & EMPTIED) !== 0) this.emptied = true;
    if ((flags & WRITTEN) !== 0) {
      this.written = true;
      this.#contents.push(ledger.last(page));
    }
    if ((flags & BASE) !== 0) this.#base = ledger.last(page);
    if ((flags & DEVICE) !== 0) this.#contents.push(ledger.device(page));
  }

  holds(content: number): boolean {
    if (this.any || (this.zapped && content === 0)) return true;
    if (!this.written && !this.emptied && content === this.#base) return true;
    return this.#contents.includes(content);
  }

  get text(): string {
    const contents = this.#contents.map(text);
    if (!this.written && !this.emptied) contents.push(text(this.#base));
    if (this.zapped) contents.push('0x0');
    return contents.join(' or ');
  }

  /** Whether a write is there that must not be gone. */
  get isOwed(): boolean {
    return this.written && !this.zapped && !this.any && !this.#contents.includes(0);
  }
}

/** At rest: compares every page with what was written to it, and starts the ledgers anew from what is there. */
export class LostAudit {
  readonly #m: Machine;
  readonly #followed: boolean;
  readonly #allowed = new Allowed();
  /** What the memslots of each VM were at the last audit: guest pages are found by them. */
  readonly #slots: (number | undefined)[] = [];
  /** Processes whose VMs have changed their memslots since, or ended: guest writes cannot be told apart there. */
  readonly #unsure: boolean[] = [];

  /** @param followed whether guest and process see the same page (Claims.stage2FollowsHost) */
  constructor(m: Machine, followed: boolean) {
    this.#m = m;
    this.#followed = followed;
  }

  /** The machine is back at its start: it has these memslots. */
  reset(): void {
    this.#slots.length = 0;
    for (let vm = 0; vm < this.#m.vms; vm++) this.#slots.push(this.#slotsOf(vm));
  }

  run(ledgers: readonly Ledger[], log: ViolationLog): void {
    const m = this.#m;
    this.#unsure.fill(false);
    for (let vm = 0; vm < m.vms; vm++) {
      const state = peek(m.words, vmWord(m, vm, VM_STATE));
      const slots = this.#slotsOf(vm);
      const before = this.#slots[vm] ?? (state === VM_STATE_LIVE || state === VM_STATE_NONE ? slots : ~slots);
      this.#slots[vm] = slots;
      if (before !== slots) this.#unsure[peek(m.words, vmWord(m, vm, VM_MM))] = true;
    }
    for (let mm = 0; mm < m.mms; mm++) {
      for (let vpn = 0; vpn < m.mmPages; vpn++) this.#userPage(ledgers, log, mm, vpn);
    }
  }

  /** A number that changes with the active memslots. */
  #slotsOf(vm: number): number {
    const m = this.#m;
    const slots = setAt(m, vm, peek(m.words, vmWord(m, vm, VM_MEMSLOTS)));
    let sum = peek(m.words, vmWord(m, vm, VM_STATE));
    for (let i = 0; i < LINE; i++) sum = (Math.imul(sum, 31) + peek(m.words, slots + i)) | 0;
    return sum;
  }

  #userPage(ledgers: readonly Ledger[], log: ViolationLog, mm: number, vpn: number): void {
    const m = this.#m;
    const allowed = this.#allowed;
    const userPage = mm * m.mmPages + vpn;
    if (objectPageAt(m, mm, vpn) >= 0) {
      // what others write through other mappings of the object is not told apart here
      this.#restart(ledgers, mm, vpn, ANY, 0);
      return;
    }
    allowed.begin();
    allowed.any = this.#unsure[mm] === true;
    for (const ledger of ledgers) allowed.gather(ledger, userPage);
    let ambiguous = false;
    const entry = entryAt(m, mm, vpn);
    const present = isPresent(entry);
    const content = present ? page(m, pfnOfEntry(m, entry, vpn), PAGE_CONTENT) : 0;
    for (let vm = 0; vm < m.vms; vm++) {
      if (peek(m.words, vmWord(m, vm, VM_MM)) !== mm) continue;
      const gfn = gfnOfVpn(m, vm, vpn);
      if (gfn < 0) continue;
      for (const ledger of ledgers) allowed.gather(ledger, ledger.userPages + vm * m.vmPages + gfn);
    }
    if (present) this.#judge(ledgers, log, content, { mm, vpn, pfn: pfnOfEntry(m, entry, vpn) });
    else if (entry === 0 && allowed.isOwed) {
      log.found(ID, 'written page is not mapped', { mm, vpn, expected: allowed.text, received: 'no entry' });
    }
    for (let vm = 0; vm < m.vms; vm++) {
      if (peek(m.words, vmWord(m, vm, VM_MM)) !== mm || peek(m.words, vmWord(m, vm, VM_STATE)) !== VM_STATE_LIVE)
        continue;
      const gfn = gfnOfVpn(m, vm, vpn);
      const leaf = gfn < 0 ? 0 : stage2At(m, vm, gfn);
      if (leaf === 0) continue;
      const pfn = pfnOfStage2(m, leaf, gfn);
      if (present && pfnOfEntry(m, entry, vpn) === pfn) continue;
      // two pages: under pkvm-2022 each side goes on with its own, and which writes came before that is not known
      ambiguous = true;
      if (this.#followed) this.#judge(ledgers, log, page(m, pfn, PAGE_CONTENT), { mm, vpn, vm, gfn, pfn });
    }
    const flag = ambiguous || isHwpoisonEntry(entry) ? ANY : BASE;
    this.#restart(ledgers, mm, vpn, flag, content);
  }

  #judge(ledgers: readonly Ledger[], log: ViolationLog, content: number, subject: ViolationSubject): void {
    if (this.#allowed.holds(content)) return;
    const what = this.#allowed.emptied && !this.#allowed.written ? KEPT : LOST;
    const others = subject.mm !== undefined && isWrittenByAnother(this.#m, ledgers, subject.mm, content);
    log.found(others ? COW_ID : ID, others ? COW_VISIBLE : what, {
      ...subject,
      expected: this.#allowed.text,
      received: text(content),
    });
  }

  #restart(ledgers: readonly Ledger[], mm: number, vpn: number, flag: number, content: number): void {
    const m = this.#m;
    ledgers.forEach((ledger, i) => {
      ledger.restart(mm * m.mmPages + vpn, i === 0 ? flag : 0, i === 0 ? content : 0);
      for (let vm = 0; vm < m.vms; vm++) {
        const gfn = peek(m.words, vmWord(m, vm, VM_MM)) === mm ? gfnOfVpn(m, vm, vpn) : -1;
        if (gfn >= 0) ledger.restart(ledger.userPages + vm * m.vmPages + gfn, 0, 0);
      }
    });
  }
}

/** What the shadow knows of a user page. */
const UNKNOWN = 0;
const KNOWN = 1;
/** Zapped, and an unmapping of its process is not flushed yet: old page and new are both in use. */
const CHANGING = 2;

/** What each user page must hold. One thread only. */
export class Shadow {
  readonly #m: Machine;
  readonly #log: ViolationLog;
  readonly #followed: boolean;
  readonly #content: Int32Array;
  readonly #state: Uint8Array;
  /** Zaps of the page that have begun and not returned; and whether somebody wrote it meanwhile. */
  readonly #zaps: Uint8Array;
  readonly #writtenInZap: Uint8Array;
  /** Zeroes are expected because of a zap. */
  readonly #emptied: Uint8Array;
  readonly #cow: CowWatch;

  /** @param followed whether guest and process see the same page (Claims.stage2FollowsHost) */
  constructor(m: Machine, log: ViolationLog, followed: boolean, cow: CowWatch) {
    this.#m = m;
    this.#log = log;
    this.#cow = cow;
    this.#followed = followed;
    const pages = m.mms * m.mmPages + m.objects * m.objectPages;
    this.#content = new Int32Array(pages);
    this.#state = new Uint8Array(pages);
    this.#zaps = new Uint8Array(pages);
    this.#writtenInZap = new Uint8Array(pages);
    this.#emptied = new Uint8Array(pages);
  }

  /** A machine at its start: nothing mapped holds zeroes, of the rest nothing is known. */
  reset(): void {
    const m = this.#m;
    this.#content.fill(0);
    this.#zaps.fill(0);
    this.#emptied.fill(0);
    for (let mm = 0; mm < m.mms; mm++) {
      for (let vpn = 0; vpn < m.mmPages; vpn++)
        this.#state[mm * m.mmPages + vpn] = entryAt(m, mm, vpn) === 0 ? KNOWN : UNKNOWN;
    }
    this.#state.fill(UNKNOWN, m.mms * m.mmPages);
  }

  wrote(guest: boolean, space: number, at: number, pfn: number, content: number): void {
    const userPage = this.#pageOf(guest, space, at, pfn);
    if (userPage < 0) return;
    this.#emptied[userPage] = 0;
    if (this.#isZapped(userPage, true) || this.#isChanging(userPage)) return;
    const shared = !guest || this.#followed || this.#maps(userPage, pfn);
    this.#content[userPage] = content;
    this.#state[userPage] = shared ? KNOWN : UNKNOWN;
  }

  read(ctx: Context, guest: boolean, space: number, at: number, pfn: number, content: number): void {
    const userPage = this.#pageOf(guest, space, at, pfn);
    if (userPage < 0 || this.#isZapped(userPage, false) || this.#isChanging(userPage)) return;
    // a guest that has gone its own way reads its own page
    if (guest && !this.#followed && !this.#maps(userPage, pfn)) return;
    if (this.#state[userPage] === UNKNOWN) {
      this.#content[userPage] = content;
      this.#state[userPage] = KNOWN;
      return;
    }
    const expected = this.#content[userPage] as number;
    if (expected === content) return;
    const subject = guest ? { vm: space, gfn: at, pfn } : { mm: space, vpn: at, pfn };
    const others = this.#cow.isOthers((userPage / this.#m.mmPages) | 0, pfn);
    const what = this.#emptied[userPage] === 1 ? KEPT : LOST;
    this.#log.report(ctx, others ? COW_ID : ID, others ? COW_VISIBLE : what, {
      ...subject,
      expected: text(expected),
      received: text(content),
    });
    this.#content[userPage] = content;
  }

  /** A device wrote through its pin: seen by the process only while it still maps the page. */
  deviceWrote(pfn: number, content: number): void {
    const shared = objectPageOfFrame(this.#m, pfn);
    const userPage = shared < 0 ? userPageOf(this.#m, pfn) : this.#m.mms * this.#m.mmPages + shared;
    if (userPage < 0) return;
    this.#emptied[userPage] = 0;
    if (this.#isZapped(userPage, true) || this.#isChanging(userPage)) return;
    const mapped = this.#maps(userPage, pfn);
    if (mapped) this.#content[userPage] = content;
    this.#state[userPage] = mapped ? KNOWN : UNKNOWN;
  }

  zapped(mm: number, start: number, end: number): void {
    for (let page = mm * this.#m.mmPages + start, last = mm * this.#m.mmPages + end; page < last; page++) {
      if (this.#zaps[page] === 0) this.#state[page] = CHANGING;
    }
  }

  zapBegins(mm: number, start: number, end: number): void {
    for (let page = mm * this.#m.mmPages + start, last = mm * this.#m.mmPages + end; page < last; page++) {
      if (this.#zaps[page] === 0) this.#writtenInZap[page] = 0;
      this.#zaps[page] = (this.#zaps[page] as number) + 1;
    }
  }

  /** @param done false: the zap was refused, and may have happened in part */
  zapEnds(mm: number, start: number, end: number, done: boolean): void {
    for (let page = mm * this.#m.mmPages + start, last = mm * this.#m.mmPages + end; page < last; page++) {
      const left = (this.#zaps[page] as number) - 1;
      this.#zaps[page] = left;
      if (!done) this.#writtenInZap[page] = 1;
      if (left > 0) continue;
      const known = this.#writtenInZap[page] === 0;
      this.#state[page] = known ? KNOWN : UNKNOWN;
      this.#content[page] = 0;
      this.#emptied[page] = known ? 1 : 0;
    }
  }

  /** Whether a zap of the page is under way: then it may hold anything, and a write may or may not survive it. */
  #isZapped(userPage: number, write: boolean): boolean {
    if (this.#zaps[userPage] === 0) return false;
    if (write) this.#writtenInZap[userPage] = 1;
    return true;
  }

  /** The child has what its parent had, and nobody has changed it since: what is mapped there now, or nothing. */
  forked(child: number): void {
    const m = this.#m;
    for (let vpn = 0; vpn < m.mmPages; vpn++) {
      const pmd = peek(m.words, pmdWord(m, child, vpn));
      const lock = isTable(pmd) ? ptlOf(m, entryPfn(pmd)) : pmdLockOf(m, child, vpn);
      const entry = entryAt(m, child, vpn);
      // whoever holds the lock may have the entry in his hand
      const known = isPresent(entry) || (entry === 0 && isFree(m, lock));
      this.#content[child * m.mmPages + vpn] = isPresent(entry) ? page(m, pfnOfEntry(m, entry, vpn), PAGE_CONTENT) : 0;
      this.#state[child * m.mmPages + vpn] = known ? KNOWN : UNKNOWN;
    }
  }

  /** EL2 wiped the page, or it changed in another way that is no write of anybody's. */
  forget(pfn: number): void {
    const userPage = userPageOf(this.#m, pfn);
    if (userPage >= 0) this.#state[userPage] = UNKNOWN;
  }

  #isChanging(userPage: number): boolean {
    if (this.#state[userPage] !== CHANGING) return false;
    const mm = (userPage / this.#m.mmPages) | 0;
    if (peek(this.#m.words, mmWord(this.#m, mm, MM_TLB_FLUSH_PENDING)) !== 0) return true;
    this.#state[userPage] = UNKNOWN;
    return false;
  }

  /** Pages of shared memory objects have one number each, behind all user pages, wherever they are mapped. */
  #pageOf(guest: boolean, space: number, at: number, pfn: number): number {
    const m = this.#m;
    const vpn = guest ? vpnOfGfn(m, space, at) : at;
    if (vpn < 0) return -1;
    const mm = guest ? peek(m.words, vmWord(m, space, VM_MM)) : space;
    if (m.objects > 0) {
      const ofFrame = objectPageOfFrame(m, pfn);
      const shared = ofFrame < 0 ? objectPageAt(m, mm, vpn) : ofFrame;
      if (shared >= 0) return m.mms * m.mmPages + shared;
    }
    return mm * m.mmPages + vpn;
  }

  #maps(userPage: number, pfn: number): boolean {
    const m = this.#m;
    if (userPage >= m.mms * m.mmPages) return objectPageOfFrame(m, pfn) === userPage - m.mms * m.mmPages;
    const mm = (userPage / m.mmPages) | 0;
    const vpn = userPage - mm * m.mmPages;
    const entry = entryAt(m, mm, vpn);
    return isPresent(entry) && pfnOfEntry(m, entry, vpn) === pfn;
  }
}
