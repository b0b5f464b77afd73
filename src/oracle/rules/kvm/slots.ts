/**
 * I-SLOT: a stage-2 leaf lies in a memslot. A slot that is being deleted or moved has its pages until the new set is the active one; by
 * then they are gone from stage 2, and every fault that had found the old slot has left SRCU. A leaf without a slot is seen by no
 * notifier: nothing would take it away when its page goes.
 *
 * Judged when a leaf is installed, when slots_lock is released, and at rest.
 */
import { VM_STATE_LIVE } from '../../../machine/abi.js';
import { touches } from '../../../machine/words/extra-accesses.js';
import type { Context } from '../../../machine/context.js';
import { reads } from '../../../machine/effects.js';
import { type Machine, VM_MEMSLOTS, VM_SLOTS_LOCK, VM_STATE, s2RootWord, vmWord } from '../../../machine/layout.js';
import { LOCK_SLOTS } from '../../../locks/classes.js';
import { vpnOfGfn } from '../../../kvm/memslots.js';
import { look as peek } from '#words';
import { pfnOfStage2, stage2At } from '../../view.js';
import type { ViolationLog } from '../../violation.js';

const ID = 'I-SLOT';
const WHAT = 'stage-2 entry without a memslot';

/** A fault has installed the leaf of `gfn`. */
export function leafInstalled(ctx: Context, log: ViolationLog, vm: number, gfn: number, pfn: number): void {
  touches(reads(vmWord(ctx.m, vm, VM_MEMSLOTS)));
  if (vpnOfGfn(ctx.m, vm, gfn, true) < 0) log.report(ctx, ID, WHAT, { vm, gfn, pfn });
}

/** The lock is about to be released: if it is a VM's slots_lock, the change of its memslots is over. */
export function slotsReleased(ctx: Context, log: ViolationLog, lock: number, kind: number): void {
  if (kind !== LOCK_SLOTS) return;
  const { m } = ctx;
  for (let vm = 0; vm < m.vms; vm++) {
    if (vmWord(m, vm, VM_SLOTS_LOCK) !== lock) continue;
    forEachStray(m, vm, (gfn, pfn) => log.report(ctx, ID, WHAT, { vm, gfn, pfn }));
  }
}

/** At rest. */
export function auditSlots(m: Machine, log: ViolationLog): void {
  for (let vm = 0; vm < m.vms; vm++) forEachStray(m, vm, (gfn, pfn) => log.found(ID, WHAT, { vm, gfn, pfn }));
}

/** The leaves of a VM that lie in no memslot. */
function forEachStray(m: Machine, vm: number, found: (gfn: number, pfn: number) => void): void {
  if (peek(m.words, vmWord(m, vm, VM_STATE)) !== VM_STATE_LIVE) return;
  for (let gfn = 0; gfn < m.vmPages; gfn++) {
    if (peek(m.words, s2RootWord(m, vm, gfn)) === 0) {
      gfn |= m.thpPages - 1;
      continue;
    }
    const leaf = stage2At(m, vm, gfn);
    if (leaf !== 0 && vpnOfGfn(m, vm, gfn, true) < 0) found(gfn, pfnOfStage2(m, leaf, gfn));
  }
}
