/**
 * I-STALE on real threads, at the operation: an entry that a guest's stage 2 follows is taken away, or leads elsewhere, while no
 * invalidation of that VM is open and the leaf stands: whoever changes it has told nobody (race d2; Z16). Who has told the VM has
 * raised mmu_invalidate_in_progress itself, before the leaf went, and lowers it after the change; so its own look at the count, whatever
 * others do meanwhile, never finds 0. On one thread stale.ts judges the same at the next release, and more.
 */
import { VM_INVALIDATE_IN_PROGRESS, type Machine, pmdWord, vmWord } from '../../../machine/layout.js';
import type { Context } from '../../../machine/context.js';
import { entryPfn, isHardwareValid, isHuge, isTable } from '../../../machine/entries.js';
import type { Claims } from '../../../policies/policy.js';
import { look as peek } from '#words';
import { claimsOfVm } from './claims.js';
import { gfnOfVpn, isLiveVmOf, pfnOfStage2, stage2At } from '../../view.js';
import type { ViolationLog } from '../../violation.js';

/** The entry at (mm, vpn), a PTE or (`word` tells) a PMD, has become `after`. */
export function entryChanged(
  ctx: Context,
  log: ViolationLog,
  claims: Claims,
  mm: number,
  vpn: number,
  word: number,
  before: number,
  after: number,
): void {
  const led = isHardwareValid(before) && !isTable(before);
  if (!led || (isHardwareValid(after) && entryPfn(after) === entryPfn(before))) return;
  const { m } = ctx;
  for (let vm = 0; vm < m.vms; vm++) {
    if (peek(ctx.words, vmWord(m, vm, VM_INVALIDATE_IN_PROGRESS)) !== 0 || !isLiveVmOf(m, vm, mm)) continue;
    if (claimsOfVm(m, claims, vm).stage2FollowsHost) judge(ctx, log, vm, mm, vpn, word, before);
  }
}

function judge(
  ctx: Context,
  log: ViolationLog,
  vm: number,
  mm: number,
  vpn: number,
  word: number,
  before: number,
): void {
  const { m } = ctx;
  const pages = isHuge(before) && word === pmdWord(m, mm, vpn) ? m.thpPages : 1;
  for (let i = 0; i < pages; i++) {
    const gfn = gfnOfVpn(m, vm, vpn + i);
    const pfn = entryPfn(before) + i;
    if (gfn < 0 || !leads(m, vm, gfn, pfn)) continue;
    log.report(ctx, 'I-STALE', 'entry taken away, stage 2 not told', { vm, gfn, mm, vpn: vpn + i, pfn });
    return;
  }
}

function leads(m: Machine, vm: number, gfn: number, pfn: number): boolean {
  const leaf = stage2At(m, vm, gfn);
  return leaf !== 0 && pfnOfStage2(m, leaf, gfn) === pfn;
}
