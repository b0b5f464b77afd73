/**
 * I-LOST on one thread: the shadow knows what each user page must hold, and each read is held against it. What another process has
 * written is I-COW's (cow.ts), what comes by an older translation I-COHERE's (cohere.ts).
 */
import type { Context } from '../../../machine/context.js';
import { entryPfn, isPresent, isTable } from '../../../machine/entries.js';
import {
  MM_TLB_FLUSH_PENDING,
  type Machine,
  PAGE_CONTENT,
  VM_MM,
  mmWord,
  pmdLockOf,
  pmdWord,
  ptlOf,
  vmWord,
} from '../../../machine/layout.js';
import { vpnOfGfn } from '../../../kvm/memslots.js';
import type { Claims } from '../../../policies/policy.js';
import { look as peek } from '#words';
import { claimsOfVm } from '../kvm/claims.js';
import { Coherence } from './cohere.js';
import { COW_ID, COW_VISIBLE, type CowWatch } from './cow.js';
import { KEPT, LOST, LOST_ID, contentText, userPageOf } from './lost.js';
import { entryAt, isDrivers, isFree, objectPageAt, objectPageOfFrame, page, pfnOfEntry } from '../../view.js';
import type { ViolationLog } from '../../violation.js';

/** What the shadow knows of a user page. */
const UNKNOWN = 0;
const KNOWN = 1;
/** Zapped, and an unmapping of its process is not flushed yet: old page and new are both in use. */
const CHANGING = 2;

/** What each user page must hold. One thread only. */
export class Shadow {
  readonly #m: Machine;
  readonly #log: ViolationLog;
  readonly #claims: Claims;
  readonly #content: Int32Array;
  readonly #state: Uint8Array;
  /** Zaps of the page that have begun and not returned; and whether somebody wrote it meanwhile. */
  readonly #zaps: Uint8Array;
  readonly #writtenInZap: Uint8Array;
  /** Zeroes are expected because of a zap. */
  readonly #emptied: Uint8Array;
  readonly #cow: CowWatch;
  readonly coherence: Coherence;

  /** @param claims whether guest and process see the same page (stage2FollowsHost) */
  constructor(m: Machine, log: ViolationLog, claims: Claims, cow: CowWatch) {
    this.#m = m;
    this.#log = log;
    this.#cow = cow;
    this.#claims = claims;
    this.coherence = new Coherence(m, log);
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
    this.coherence.reset();
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
    this.coherence.accessed(userPage, true);
    this.#emptied[userPage] = 0;
    if (this.#isZapped(userPage, true) || this.#isChanging(userPage)) return;
    const shared = !guest || this.#follows(space) || this.#maps(userPage, pfn);
    this.#content[userPage] = content;
    this.#state[userPage] = shared ? KNOWN : UNKNOWN;
  }

  read(ctx: Context, guest: boolean, space: number, at: number, pfn: number, content: number): void {
    const userPage = this.#pageOf(guest, space, at, pfn);
    if (userPage < 0) return;
    this.coherence.accessed(userPage, false);
    if (this.#isZapped(userPage, false)) {
      this.#readInZap(ctx, guest, space, at, pfn, content, userPage);
      return;
    }
    if (this.#isChanging(userPage)) return;
    // a guest that has gone its own way reads its own page
    const current = this.#maps(userPage, pfn);
    if (guest && !this.#follows(space) && !current) return;
    if (this.#state[userPage] === UNKNOWN) {
      if (!current) return;
      this.#content[userPage] = content;
      this.#state[userPage] = KNOWN;
      return;
    }
    const expected = this.#content[userPage] as number;
    if (expected === content) return;
    const texts = { expected: contentText(expected), received: contentText(content) };
    const subject = guest ? { vm: space, gfn: at, pfn, ...texts } : { mm: space, vpn: at, pfn, ...texts };
    const others = this.#cow.isOthers((userPage / this.#m.mmPages) | 0, pfn);
    const emptied = this.#emptied[userPage] === 1;
    if (!others && !emptied && !current) {
      this.coherence.staleRead(ctx, subject);
      return;
    }
    this.#log.report(ctx, others ? COW_ID : LOST_ID, others ? COW_VISIBLE : emptied ? KEPT : LOST, subject);
    this.#content[userPage] = content;
  }

  /** A zap of the page has returned and another is under way: until somebody writes it, it is empty (99baac21e458, Z18). */
  #readInZap(
    ctx: Context,
    guest: boolean,
    space: number,
    at: number,
    pfn: number,
    content: number,
    userPage: number,
  ): void {
    if (this.#emptied[userPage] === 0 || content === 0 || (guest && !this.#follows(space))) return;
    const subject = guest ? { vm: space, gfn: at, pfn } : { mm: space, vpn: at, pfn };
    this.#log.report(ctx, LOST_ID, KEPT, { ...subject, expected: contentText(0), received: contentText(content) });
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
      // what was empty before need not be so for this one: its own pages may be in other TLBs
      if (this.#zaps[page] === 0) {
        this.#writtenInZap[page] = 0;
        this.#emptied[page] = 0;
      }
      this.#zaps[page] = (this.#zaps[page] as number) + 1;
    }
  }

  /** @param done false: the zap was refused, and may have happened in part */
  zapEnds(mm: number, start: number, end: number, done: boolean): void {
    for (let page = mm * this.#m.mmPages + start, last = mm * this.#m.mmPages + end; page < last; page++) {
      const left = (this.#zaps[page] as number) - 1;
      this.#zaps[page] = left;
      if (!done) this.#writtenInZap[page] = 1;
      if (left > 0) {
        this.#emptied[page] = this.#writtenInZap[page] === 0 ? 1 : 0;
        continue;
      }
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

  /** Whether the guest `vm` sees what its process sees. */
  #follows(vm: number): boolean {
    return claimsOfVm(this.#m, this.#claims, vm).stage2FollowsHost;
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
    // what others who map a driver's memory write there is not told apart
    if (isDrivers(m, pfn)) return -1;
    const vpn = guest ? vpnOfGfn(m, space, at, true) : at;
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
