/**
 * I-OWN: host, EL2 and guests agree on who owns a frame: only the combinations of kernel-model 1.5 are legal, and the host's
 * stage-2 annotation says the same. A transition writes its sides in separate steps, so it may be judged only while
 * host_mmu.lock, pkvm_pgd_lock and every hyp_vm.lock are free: at rest, or on one thread when the last of them is released.
 */
import { PG_NO_MAP, PG_RESERVED } from '../../../machine/abi.js';
import type { Context } from '../../../machine/context.js';
import {
  PKVM_ID_GUEST,
  PKVM_ID_HOST,
  PKVM_ID_HYP,
  PKVM_NOPAGE,
  PKVM_PAGE_OWNED,
  PKVM_PAGE_SHARED_BORROWED,
  PKVM_PAGE_SHARED_OWNED,
  S2_STATE_SHIFT,
  annotationOwner,
} from '../../../machine/entries.js';
import {
  GLOBAL_HOST_MMU_LOCK,
  GLOBAL_PKVM_PGD_LOCK,
  type Machine,
  PAGE_FLAGS,
  PAGE_HOST_S2,
  PAGE_HYP,
  VM_HAS_PGT,
  VM_HYP_LOCK,
  globalLock,
  mappedPageWord,
  vmWord,
} from '../../../machine/layout.js';
import { HYP_PENDING_RECLAIM, sharesOf } from '../../../hyp/page-state.js';
import { look as peek } from '#words';
import type { Census } from '../../audits/census.js';
import { hostStateOf, hypStateOf } from './hyp-memcache.js';
import { isFree, page, pfnOfStage2, stage2At } from '../../view.js';
import type { ViolationLog, ViolationSubject } from '../../violation.js';

const ID = 'I-OWN';
const SHARES_ID = 'I-SHARECNT';
const STATES = ['OWNED', 'SHARED_OWNED', 'SHARED_BORROWED', 'NOPAGE'];

/** Whether the triple and the annotation are a row of the table. `guests` leaves have the state `guest`. */
function isLegal(host: number, hyp: number, guests: number, guest: number, owner: number): boolean {
  if (hyp === PKVM_PAGE_OWNED) return host === PKVM_NOPAGE && guests === 0 && owner === PKVM_ID_HYP;
  if (hyp === PKVM_PAGE_SHARED_BORROWED)
    return host === PKVM_PAGE_SHARED_OWNED && guests === 0 && owner === PKVM_ID_HOST;
  if (hyp !== PKVM_NOPAGE) return false;
  switch (host) {
    case PKVM_PAGE_OWNED:
      return guests === 0 && owner === PKVM_ID_HOST;
    case PKVM_PAGE_SHARED_OWNED:
      return guests >= 1 && guest === PKVM_PAGE_SHARED_BORROWED && owner === PKVM_ID_HOST;
    case PKVM_PAGE_SHARED_BORROWED:
      return guests === 1 && guest === PKVM_PAGE_SHARED_OWNED && owner === PKVM_ID_HOST;
    default:
      return guests === 1 && guest === PKVM_PAGE_OWNED && owner === PKVM_ID_GUEST;
  }
}

/** What is wrong with a frame's ownership, or null. */
function judge(m: Machine, pfn: number, guests: number, guest: number): ViolationSubject | null {
  // the teardown of 2022 takes the guest's leaves first and gives the pages back one by one
  if ((page(m, pfn, PAGE_HYP) & HYP_PENDING_RECLAIM) !== 0 && guests === 0) return null;
  const host = hostStateOf(m, pfn);
  const hyp = hypStateOf(m, pfn);
  const owner = annotationOwner(page(m, pfn, PAGE_HOST_S2));
  const isMemory = (page(m, pfn, PAGE_FLAGS) & PG_NO_MAP) === 0;
  if (!isMemory && (hyp !== PKVM_NOPAGE || host !== PKVM_PAGE_OWNED || guests > 0))
    return { pfn, expected: 'no memory: it stays where it is', received: `host ${STATES[host]}, hyp ${STATES[hyp]}` };
  if (isLegal(host, hyp, guests, guest, owner)) return null;
  const theirs = guests === 0 ? 'NOPAGE' : `${STATES[guest]}${guests > 1 ? ` in ${guests} places` : ''}`;
  return {
    pfn,
    expected: 'a legal triple',
    received: `host ${STATES[host]}, hyp ${STATES[hyp]}, guest ${theirs}, annotation ${owner}`,
  };
}

/** I-SHARECNT: the count of a page that the host shares with guests is the number of their leaves. Null: it is. */
function judgeShares(m: Machine, pfn: number, guests: number): ViolationSubject | null {
  const lent = hostStateOf(m, pfn) === PKVM_PAGE_SHARED_OWNED ? guests : 0;
  const shares = sharesOf(page(m, pfn, PAGE_HYP));
  return lent === shares ? null : { pfn, expected: `${lent} guest leaves`, received: `share count ${shares}` };
}

/** At rest. */
export function auditOwnership(census: Census, log: ViolationLog): void {
  const { m } = census;
  for (let pfn = 1; pfn < m.frames; pfn++) {
    if ((page(m, pfn, PAGE_FLAGS) & PG_RESERVED) !== 0) continue;
    const guests = census.guestLeaves[pfn] as number;
    const wrong = judge(m, pfn, guests, (census.guestLeaf[pfn] as number) & 3);
    if (wrong !== null) log.found(ID, 'ownership triple is not legal', wrong);
    const miscounted = wrong === null ? judgeShares(m, pfn, guests) : null;
    if (miscounted !== null) log.found(SHARES_ID, 'share count is not leaves', miscounted);
  }
  for (let vm = 0; vm < m.vms; vm++) if (peek(m.words, vmWord(m, vm, VM_HAS_PGT)) !== 0) auditMappings(m, vm, log);
}

/** The second half of I-SHARECNT: what the host has on record of a guest that follows notifiers is what EL2 maps. */
function auditMappings(m: Machine, vm: number, log: ViolationLog): void {
  for (let gfn = 0; gfn < m.vmPages; gfn++) {
    const mapped = peek(m.words, mappedPageWord(m, vm, gfn)) - 1;
    const leaf = stage2At(m, vm, gfn);
    const pfn = leaf === 0 ? -1 : pfnOfStage2(m, leaf, gfn);
    if (mapped === pfn) continue;
    log.found(SHARES_ID, "host's record and EL2's table differ", {
      vm,
      gfn,
      expected: `pfn ${mapped} on record`,
      received: `pfn ${pfn} mapped`,
    });
  }
}

/** Guest pages of all VMs up to which a frame's leaves are looked for at each change. */
const GUEST_PAGES_MAX = 4096;
const PENDING_MAX = 64;

/** Judges the frames that changed owner, as soon as no side is half written. One thread only. */
export class OwnershipWatch {
  readonly #m: Machine;
  readonly #log: ViolationLog;
  readonly #pending = new Int32Array(PENDING_MAX);
  #count = 0;

  constructor(m: Machine, log: ViolationLog) {
    this.#m = m;
    this.#log = log;
  }

  reset(): void {
    this.#count = 0;
  }

  changed(pfn: number): void {
    if (this.#count < PENDING_MAX && this.#m.vms * this.#m.vmPages <= GUEST_PAGES_MAX)
      this.#pending[this.#count++] = pfn;
  }

  /** `lock` is about to be released. */
  released(ctx: Context, lock: number): void {
    if (this.#count === 0 || !this.#unlocked(lock)) return;
    for (let i = 0; i < this.#count; i++) this.#judge(ctx, this.#pending[i] as number);
    this.#count = 0;
  }

  #unlocked(released: number): boolean {
    const m = this.#m;
    const free = (lock: number): boolean => lock === released || isFree(m, lock);
    if (!free(globalLock(m, GLOBAL_HOST_MMU_LOCK)) || !free(globalLock(m, GLOBAL_PKVM_PGD_LOCK))) return false;
    for (let vm = 0; vm < m.vms; vm++) if (!free(vmWord(m, vm, VM_HYP_LOCK))) return false;
    return true;
  }

  #judge(ctx: Context, pfn: number): void {
    const m = this.#m;
    let guests = 0;
    let guest = PKVM_NOPAGE;
    for (let vm = 0; vm < m.vms; vm++) {
      for (let gfn = 0; gfn < m.vmPages; gfn++) {
        const leaf = stage2At(m, vm, gfn);
        if (leaf === 0 || pfnOfStage2(m, leaf, gfn) !== pfn) continue;
        guests++;
        guest = (leaf >> S2_STATE_SHIFT) & 3;
      }
    }
    const wrong = judge(m, pfn, guests, guest);
    if (wrong !== null) this.#log.report(ctx, ID, 'ownership triple is not legal', wrong);
    const miscounted = wrong === null ? judgeShares(m, pfn, guests) : null;
    if (miscounted !== null) this.#log.report(ctx, SHARES_ID, 'share count is not leaves', miscounted);
  }
}
