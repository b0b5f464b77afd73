/**
 * I-LOST: no retired write disappears.
 *
 * On real threads each worker remembers what it wrote last to each user page and guest page. Whatever write came last of all was
 * the last of its worker, so at a drain a page must hold one of these, or what it held at the drain before if nobody wrote
 * it; zeroes are as good if it was zapped meanwhile. A device's write may be lost with a page that is not mapped any more.
 *
 * On one thread the shadow knows what each page must hold (shadow.ts).
 *
 * The other half: a zap that has returned was effective (Z15). What nobody has written since it began is zero, not what was there.
 */
import { VM_STATE_LIVE, VM_STATE_NONE } from '../../../machine/abi.js';
import { entryPfn, isHwpoisonEntry, isPresent, isSwapEntry } from '../../../machine/entries.js';
import { LINE, type Machine, PAGE_CONTENT, VM_MEMSLOTS, VM_MM, VM_STATE, vmWord } from '../../../machine/layout.js';
import { setAt } from '../../../kvm/memslots.js';
import type { Claims } from '../../../policies/policy.js';
import { look as peek } from '#words';
import { claimsOfVm } from '../kvm/claims.js';
import { COW_ID, COW_VISIBLE, isWrittenByAnother } from './cow.js';
import { ANY, BASE, DEVICE, EMPTIED, type Ledger, WRITTEN, ZAPPED } from '../../ledgers/ledger.js';
import {
  entryAt,
  gfnOfVpn,
  headOf,
  isDrivers,
  mmOfFolio,
  objectPageAt,
  page,
  pfnOfEntry,
  pfnOfStage2,
  stage2At,
  swappedContent,
  vpnOfPage,
} from '../../view.js';
import type { ViolationLog, ViolationSubject } from '../../violation.js';

export const LOST_ID = 'I-LOST';
export const LOST = 'retired write is lost';
export const KEPT = 'zapped page keeps its content';

export const contentText = (content: number): string => `0x${(content >>> 0).toString(16)}`;

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
    const contents = this.#contents.map(contentText);
    if (!this.written && !this.emptied) contents.push(contentText(this.#base));
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
  readonly #claims: Claims;
  readonly #allowed = new Allowed();
  /** What the memslots of each VM were at the last audit: guest pages are found by them. */
  readonly #slots: (number | undefined)[] = [];
  /** Processes whose VMs have changed their memslots since, or ended: guest writes cannot be told apart there. */
  readonly #unsure: boolean[] = [];

  /** @param claims whether guest and process see the same page (stage2FollowsHost) */
  constructor(m: Machine, claims: Claims) {
    this.#m = m;
    this.#claims = claims;
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
    const mapped = entryAt(m, mm, vpn);
    if (isPresent(mapped) && isDrivers(m, pfnOfEntry(m, mapped, vpn))) {
      this.#restart(ledgers, mm, vpn, ANY, 0);
      return;
    }
    allowed.begin();
    allowed.any = this.#unsure[mm] === true;
    for (const ledger of ledgers) allowed.gather(ledger, userPage);
    let ambiguous = false;
    const entry = mapped;
    const present = isPresent(entry);
    const swapped = isSwapEntry(entry);
    let content = present ? page(m, pfnOfEntry(m, entry, vpn), PAGE_CONTENT) : 0;
    if (swapped) content = swappedContent(m, entryPfn(entry));
    this.#gatherGuests(ledgers, mm, vpn, true);
    const owed = allowed.isOwed;
    // a guest that keeps what its process has let go of owes it nothing
    this.#gatherGuests(ledgers, mm, vpn, false);
    if (present) this.#judge(ledgers, log, content, { mm, vpn, pfn: pfnOfEntry(m, entry, vpn) });
    else if (swapped) this.#judge(ledgers, log, content, { mm, vpn });
    else if (entry === 0 && owed) {
      log.found(LOST_ID, 'written page is not mapped', { mm, vpn, expected: allowed.text, received: 'no entry' });
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
      if (claimsOfVm(m, this.#claims, vm).stage2FollowsHost)
        this.#judge(ledgers, log, page(m, pfn, PAGE_CONTENT), { mm, vpn, vm, gfn, pfn });
    }
    const flag = ambiguous || isHwpoisonEntry(entry) ? ANY : BASE;
    this.#restart(ledgers, mm, vpn, flag, content);
  }

  /** What guests of `mm` wrote to the page: those that see what their process sees, or the others. */
  #gatherGuests(ledgers: readonly Ledger[], mm: number, vpn: number, following: boolean): void {
    const m = this.#m;
    for (let vm = 0; vm < m.vms; vm++) {
      if (peek(m.words, vmWord(m, vm, VM_MM)) !== mm) continue;
      if (claimsOfVm(m, this.#claims, vm).stage2FollowsHost !== following) continue;
      const gfn = gfnOfVpn(m, vm, vpn);
      if (gfn < 0) continue;
      for (const ledger of ledgers) this.#allowed.gather(ledger, ledger.userPages + vm * m.vmPages + gfn);
    }
  }

  #judge(ledgers: readonly Ledger[], log: ViolationLog, content: number, subject: ViolationSubject): void {
    if (this.#allowed.holds(content)) return;
    const what = this.#allowed.emptied && !this.#allowed.written ? KEPT : LOST;
    const others = subject.mm !== undefined && isWrittenByAnother(this.#m, ledgers, subject.mm, content);
    log.found(others ? COW_ID : LOST_ID, others ? COW_VISIBLE : what, {
      ...subject,
      expected: this.#allowed.text,
      received: contentText(content),
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
