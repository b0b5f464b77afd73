/**
 * I-SECRET: the host never sees what a protected guest keeps to itself. What a guest writes into a page of its own is its secret until
 * it shares that page; no process, no access of the kernel on somebody's behalf and no other guest may read it, whichever way it came
 * there: a copy of fork's or migration's, swap, KSM, a page that was not wiped.
 *
 * Secrets are told by their value: contents are unique per write, or chosen by a test's author. A value that anybody else has written
 * too, or that was ever in a page that the host may read by right, is no secret; so a coincidence raises no alarm. A device is no
 * process: what it may reach is its IOMMU's, which is not modelled.
 *
 * On one thread at each read; at rest, on threads too, by what pages of processes hold.
 */
import { VM_STATE_LIVE } from '../../../machine/abi.js';
import type { Context } from '../../../machine/context.js';
import { PKVM_NOPAGE, PKVM_PAGE_OWNED, S2_STATE_SHIFT, isPresent } from '../../../machine/entries.js';
import {
  type Machine,
  PAGE_CONTENT,
  SWAP_CONTENT,
  VM_PROTECTED,
  VM_STATE,
  swapWord,
  vmWord,
} from '../../../machine/layout.js';
import { look as peek } from '#words';
import { hostStateOf, hypStateOf } from './hyp-memcache.js';
import type { Ledger } from '../../ledgers/ledger.js';
import { contentText } from '../mm/lost.js';
import { entryAt, objectPageAt, page, pfnOfEntry, pfnOfStage2, stage2At } from '../../view.js';
import type { ViolationLog, ViolationSubject } from '../../violation.js';

const ID = 'I-SECRET';
const SEEN = "guest's secret seen by others";

/** Values that are followed: with more, nothing is judged any more. */
const SLOTS = 2048;
const FULL = SLOTS - (SLOTS >> 2);
/** What a value is: anybody's; above that a secret of VM `state - SECRET`. */
const PUBLIC = 1;
const SECRET = 2;

/** Whether the frame is a guest's own: neither the host nor EL2 has it. */
const isGuests = (m: Machine, pfn: number): boolean =>
  hostStateOf(m, pfn) === PKVM_NOPAGE && hypStateOf(m, pfn) === PKVM_NOPAGE;

const isProtected = (m: Machine, vm: number): boolean => peek(m.words, vmWord(m, vm, VM_PROTECTED)) !== 0;

/** One thread only. */
export class Secrets {
  readonly #m: Machine;
  readonly #log: ViolationLog;
  /** Open addressing: values, and what each is. */
  readonly #values = new Int32Array(SLOTS);
  readonly #states = new Uint8Array(SLOTS);
  /** The same at the machine's start. */
  #atStart: { readonly values: Int32Array; readonly states: Uint8Array; readonly count: number } | null = null;
  #count = 0;

  constructor(m: Machine, log: ViolationLog) {
    this.#m = m;
    this.#log = log;
  }

  /** The machine is at its start, which is always the same. */
  reset(): void {
    if (this.#atStart === null) {
      this.#look();
      this.#atStart = { values: this.#values.slice(), states: this.#states.slice(), count: this.#count };
      return;
    }
    this.#values.set(this.#atStart.values);
    this.#states.set(this.#atStart.states);
    this.#count = this.#atStart.count;
  }

  /** What is there already: guests' pages hold secrets, unless the same is elsewhere too. */
  #look(): void {
    const m = this.#m;
    for (let vm = 0; vm < m.vms; vm++) {
      for (let gfn = 0; gfn < m.vmPages && isProtected(m, vm); gfn++) {
        const leaf = stage2At(m, vm, gfn);
        const pfn = leaf === 0 ? 0 : pfnOfStage2(m, leaf, gfn);
        if (pfn !== 0 && isGuests(m, pfn)) this.#note(page(m, pfn, PAGE_CONTENT), SECRET + vm);
      }
    }
    for (let pfn = 1; pfn < m.frames; pfn++) if (!isGuests(m, pfn)) this.#note(page(m, pfn, PAGE_CONTENT), PUBLIC);
    for (let slot = 0; slot < m.swapSlots; slot++) this.#note(peek(m.words, swapWord(m, slot, SWAP_CONTENT)), PUBLIC);
  }

  wrote(guest: boolean, space: number, pfn: number, content: number): void {
    const secret = guest && isProtected(this.#m, space) && isGuests(this.#m, pfn);
    this.#note(content, secret ? SECRET + space : PUBLIC);
  }

  deviceWrote(content: number): void {
    this.#note(content, PUBLIC);
  }

  /** EL2 has given the frame another state: a page that the guest shares tells what it holds. */
  changedOwner(pfn: number): void {
    if (!isGuests(this.#m, pfn)) this.#told(page(this.#m, pfn, PAGE_CONTENT));
  }

  /** Guest `vm`, or the host (-1), has read `content`. */
  read(ctx: Context, vm: number, subject: ViolationSubject, content: number): void {
    if (content === 0 || this.#count >= FULL) return;
    const state = this.#states[this.#slotOf(content)] as number;
    if (state < SECRET || state === SECRET + vm) return;
    this.#log.report(ctx, ID, SEEN, { vm: state - SECRET, ...subject, received: contentText(content) });
  }

  /** What a page holds that comes back to the host unwiped is still a secret; what its guest shares is none. */
  #told(content: number): void {
    const slot = this.#slotOf(content);
    if (content !== 0 && (this.#states[slot] as number) >= SECRET && this.#isShared(content))
      this.#states[slot] = PUBLIC;
  }

  /** Whether a guest has the content in a page that it shares with the host. */
  #isShared(content: number): boolean {
    const m = this.#m;
    for (let vm = 0; vm < m.vms; vm++) {
      for (let gfn = 0; gfn < m.vmPages && isProtected(m, vm); gfn++) {
        const leaf = stage2At(m, vm, gfn);
        if (leaf === 0 || ((leaf >> S2_STATE_SHIFT) & 3) === PKVM_PAGE_OWNED) continue;
        if (page(m, pfnOfStage2(m, leaf, gfn), PAGE_CONTENT) === content) return true;
      }
    }
    return false;
  }

  #note(content: number, state: number): void {
    if (content === 0 || this.#count >= FULL) return;
    const slot = this.#slotOf(content);
    const known = this.#states[slot] as number;
    if (known === 0) {
      this.#values[slot] = content;
      this.#states[slot] = state;
      this.#count++;
    } else if (state === PUBLIC) {
      this.#states[slot] = PUBLIC;
    }
  }

  #slotOf(content: number): number {
    let slot = (Math.imul(content, 0x9e3779b1) >>> 16) & (SLOTS - 1);
    while (this.#states[slot] !== 0 && this.#values[slot] !== content) slot = (slot + 1) & (SLOTS - 1);
    return slot;
  }
}

/** At rest: no page that a process may read holds what a guest has in a page of its own, unless the process wrote it itself. */
export function auditSecrets(m: Machine, ledgers: readonly Ledger[], log: ViolationLog): void {
  for (let vm = 0; vm < m.vms; vm++) {
    if (!isProtected(m, vm) || peek(m.words, vmWord(m, vm, VM_STATE)) !== VM_STATE_LIVE) continue;
    for (let gfn = 0; gfn < m.vmPages; gfn++) {
      const leaf = stage2At(m, vm, gfn);
      if (leaf === 0 || ((leaf >> S2_STATE_SHIFT) & 3) !== PKVM_PAGE_OWNED) continue;
      const own = pfnOfStage2(m, leaf, gfn);
      const content = page(m, own, PAGE_CONTENT);
      if (content !== 0 && !isWrittenByHost(ledgers, content)) auditSecret(m, vm, own, content, log);
    }
  }
}

function isWrittenByHost(ledgers: readonly Ledger[], content: number): boolean {
  for (const ledger of ledgers) {
    for (let at = 0; at < ledger.userPages; at++)
      if (ledger.last(at) === content || ledger.device(at) === content) return true;
  }
  return false;
}

function auditSecret(m: Machine, vm: number, own: number, content: number, log: ViolationLog): void {
  for (let mm = 0; mm < m.mms; mm++) {
    for (let vpn = 0; vpn < m.mmPages; vpn++) {
      const entry = entryAt(m, mm, vpn);
      // what others wrote through other mappings of a shared page is not known here
      if (!isPresent(entry) || objectPageAt(m, mm, vpn) >= 0) continue;
      const pfn = pfnOfEntry(m, entry, vpn);
      if (pfn === own || page(m, pfn, PAGE_CONTENT) !== content || hostStateOf(m, pfn) === PKVM_NOPAGE) continue;
      log.found(ID, SEEN, { vm, mm, vpn, pfn, received: contentText(content) });
    }
  }
}
