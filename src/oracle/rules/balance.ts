/**
 * I-BAL: in_progress and mn_active are never negative, and at rest every count of something open is back at zero: invalidations,
 * SRCU readers, gathers, sequence counts, translated accesses, GUP-fast sections, messages; and no lock is held.
 */
import type { Context } from '../../machine/context.js';
import {
  ACTOR_HELD_COUNT,
  ACTOR_PREEMPT_COUNT,
  ANON_VMA_RWSEM,
  CPU_IN_USE,
  CPU_IRQS_OFF,
  CPU_MAILBOX,
  GLOBAL_LRU_DRAIN_MUTEX,
  LINE,
  MAIL_STATE,
  MM_MMAP_LOCK,
  MM_SRCU,
  MM_TLB_FLUSH_PENDING,
  MM_VMA_SEQ,
  MM_WRITE_PROTECT_SEQ,
  type Machine,
  NODE_ZONE_LOCK,
  PAGE_LOCK,
  VMA_REFCNT,
  VM_HYP_LOCK,
  VM_INVALIDATE_IN_PROGRESS,
  VM_MMU_LOCK,
  VM_MN_ACTIVE_INVALIDATE_COUNT,
  VM_MN_INVALIDATE_LOCK,
  VM_SLOTS_LOCK,
  VM_SRCU,
  actorWord,
  anonVmaWord,
  cpuWord,
  globalLock,
  mmWord,
  nodeWord,
  pageWord,
  ptlOf,
  vmWord,
  vmaWord,
} from '../../machine/layout.js';
import { MAIL_EMPTY } from '../../machine/mailbox.js';
import { look as peek } from '#words';
import { isFree } from '../view.js';
import type { ViolationLog } from '../violation.js';

const ID = 'I-BAL';

/** KVM's counts of `vm` after a change. */
export function countsChanged(ctx: Context, log: ViolationLog, vm: number, inProgress: number, active: number): void {
  if (inProgress < 0)
    log.report(ctx, ID, 'mmu_invalidate_in_progress below zero', { vm, received: String(inProgress) });
  if (active < 0) log.report(ctx, ID, 'mn_active_invalidate_count below zero', { vm, received: String(active) });
}

/** At rest: nothing is open. */
export function auditBalance(m: Machine, actors: number, log: ViolationLog): void {
  const { words } = m;
  const zero = (word: number, what: string, subject: { vm?: number; mm?: number; other?: number }): void => {
    const value = peek(words, word);
    if (value !== 0) log.found(ID, what, { ...subject, expected: '0', received: String(value) });
  };
  for (let vm = 0; vm < m.vms; vm++) {
    zero(vmWord(m, vm, VM_INVALIDATE_IN_PROGRESS), 'invalidation left in progress', { vm });
    zero(vmWord(m, vm, VM_MN_ACTIVE_INVALIDATE_COUNT), 'invalidation left active', { vm });
    for (let side = 1; side <= 2; side++) zero(vmWord(m, vm, VM_SRCU + side), 'SRCU reader left inside', { vm });
  }
  for (let mm = 0; mm < m.mms; mm++) {
    for (let side = 1; side <= 2; side++) zero(mmWord(m, mm, MM_SRCU + side), 'SRCU reader left inside', { mm });
    zero(mmWord(m, mm, MM_TLB_FLUSH_PENDING), 'mmu_gather left open', { mm });
    const odd = (peek(words, mmWord(m, mm, MM_WRITE_PROTECT_SEQ)) | peek(words, mmWord(m, mm, MM_VMA_SEQ))) & 1;
    if (odd !== 0) log.found(ID, 'sequence count left odd', { mm });
  }
  for (let cpu = 0; cpu < actors; cpu++) {
    zero(cpuWord(m, cpu, CPU_IN_USE), 'translated access left open', { other: cpu });
    zero(cpuWord(m, cpu, CPU_IRQS_OFF), 'GUP-fast section left open', { other: cpu });
    if (peek(words, cpuWord(m, cpu, CPU_MAILBOX) + MAIL_STATE) !== MAIL_EMPTY)
      log.found(ID, 'message left in a mailbox', { other: cpu });
    zero(actorWord(m, cpu, ACTOR_PREEMPT_COUNT), 'preempt_count left raised', { other: cpu });
    const held = peek(words, actorWord(m, cpu, ACTOR_HELD_COUNT));
    if (held !== 0) log.found(ID, 'actor at rest holds locks', { other: cpu, received: `${held} locks` });
  }
}

/** At rest: no lock word names a holder. */
export function auditLocks(m: Machine, log: ViolationLog): void {
  const free = (lock: number, pfn = -1): void => {
    if (isFree(m, lock)) return;
    log.found(ID, 'lock left held at rest', {
      lock,
      received: String(peek(m.words, lock)),
      ...(pfn < 0 ? {} : { pfn }),
    });
  };
  for (let i = 0; i <= LAST_GLOBAL_LOCK; i++) free(globalLock(m, i));
  for (let node = 0; node < m.nodes; node++) free(nodeWord(m, node, NODE_ZONE_LOCK));
  for (let pfn = 0; pfn < m.frames; pfn++) free(pageWord(m, pfn, PAGE_LOCK), pfn);
  for (let mm = 0; mm < m.mms; mm++) {
    free(mmWord(m, mm, MM_MMAP_LOCK));
    for (let lock = m.mmPmdLocks; lock < m.mmPmdsOffset; lock += LINE) free(mmWord(m, mm, lock));
  }
  for (let vma = 0; vma < m.mms * m.vmasPerMm; vma++) free(vmaWord(m, vma, VMA_REFCNT));
  for (let anonVma = 0; anonVma < m.anonVmas; anonVma++) free(anonVmaWord(m, anonVma, ANON_VMA_RWSEM));
  for (let table = 0; table < m.tables; table++) free(ptlOf(m, table));
  for (let vm = 0; vm < m.vms; vm++) {
    for (const lock of [VM_MMU_LOCK, VM_MN_INVALIDATE_LOCK, VM_SLOTS_LOCK, VM_HYP_LOCK]) free(vmWord(m, vm, lock));
  }
}

const LAST_GLOBAL_LOCK = GLOBAL_LRU_DRAIN_MUTEX;
