/**
 * Z57: a fault breaks a stage-2 entry that is right already and makes it again.
 *
 *     vCPU 0: faults on a page: maps it                        vCPU 1: faults on the same page
 *     vCPU 0: tries its access again                           break-before-make of the same entry: out of every TLB, and mapped anew
 *     vCPU 0: faults, breaks, makes                            tries its access again: faults ...
 */
import { EAGAIN } from '../machine/abi.js';
import type { Context, Coroutine } from '../machine/context.js';
import { reads, updates, writes } from '../machine/effects.js';
import { KVM_INVALID_PTE_LOCKED, S2_WRITE, entryPfn, isS2Block, isS2Leaf, isS2Table } from '../machine/entries.js';
import { s2PteWord, s2RootWord } from '../machine/layout.js';
import { emit } from '../events/emit.js';
import { EVENT } from '../events/table.js';
import { stage2Map } from '../kvm/stage2.js';
import { cmpxchg, readOnce, writeOnce } from '#words';
import type { Bug } from './bug.js';
import { changes, looksAt } from './bug-clash.js';

/** stage2_map_walker_try_leaf() without the look whether anything would change. */
function* mapsAgain(
  ctx: Context,
  vm: number,
  vcpu: number,
  gfn: number,
  pfn: number,
  block: boolean,
  writable: boolean,
): Coroutine {
  const result = yield* stage2Map(ctx, vm, vcpu, gfn, pfn, block, writable);
  if (result !== -EAGAIN) return result;
  const { m, words } = ctx;
  let at = s2RootWord(m, vm, gfn);
  if (--ctx.quantum < 0) yield reads(at);
  let entry = readOnce(words, at);
  if (isS2Table(entry)) {
    at = s2PteWord(m, entryPfn(entry), gfn);
    if (--ctx.quantum < 0) yield reads(at);
    entry = readOnce(words, at);
  }
  if (!isS2Leaf(entry)) return -EAGAIN;
  const pages = isS2Block(entry) ? m.thpPages : 1;
  const first = gfn & ~(pages - 1);
  if (--ctx.quantum < 0) yield updates(at);
  if (cmpxchg(words, at, entry, KVM_INVALID_PTE_LOCKED) !== entry) return -EAGAIN;
  ctx.probe.onStage2Unmap(ctx, vm, first, entryPfn(entry), pages);
  emit(ctx, EVENT.stage2_unmap, vm, first, entryPfn(entry), 0);
  yield* ctx.kernel.tlbFlushGuest(ctx, vm, first, first + pages);
  if (--ctx.quantum < 0) yield writes(at);
  writeOnce(words, at, entry);
  ctx.probe.onStage2Map(ctx, vm, first, entryPfn(entry), pages, (entry & S2_WRITE) !== 0);
  emit(ctx, EVENT.stage2_map, vm, first, entryPfn(entry), (entry & S2_WRITE) !== 0 ? 1 : 0);
  return 0;
}

export const z57: Bug = {
  id: 'Z57',
  title: 'two vCPUs that fault on one page throw each other out of it, for ever if they are unlucky',
  commit: '976d34e2dab1 ("KVM: arm/arm64: Skip updating PTE entry if no change")',
  fixedIn: 'v4.19',
  story:
    'The fault handler broke an entry before it made the new one, even if the two were equal. Several vCPUs that touched one page together kept ' +
    'taking it away from each other before any of them could use it: guests stalled although every fault was handled.',
  policy: 'classic',
  replace: { stage2Map: mapsAgain },
  expect: ['I-LIVE'],
  litmus: 'z57-same-entry-again.litmus',
  clash: {
    steps: [
      looksAt(['entry of stage-2 table', 'stage-2 root entry'], ['mapsAgain', 'guestAccess']),
      changes(['entry of stage-2 table', 'stage-2 root entry'], ['mapsAgain', 'stage2Map']),
    ],
    follows: '976d34e2dab1',
  },
};
