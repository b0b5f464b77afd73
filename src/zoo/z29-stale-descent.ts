/**
 * Z29: a walk of stage 2 goes down into the table that it has just replaced.
 *
 *     vCPU: faults on a huge page that a table of pages maps (dirty logging is over): reads the entry: a table
 *     vCPU: pre-order callback: a block instead; the table is freed
 *     vCPU: goes on by the entry that it has read: down into the freed table, and stores leaves there
 *
 * The host's own walks free such a table by RCU, so that nobody noticed; EL2 has no RCU, and freed it at once. The bug does as EL2.
 */
import type { Context, Coroutine } from '../machine/context.js';
import { reads, writes } from '../machine/effects.js';
import { S2_AF, S2_VALID, S2_WRITE, entryPfn, isS2Table, mkEntry } from '../machine/entries.js';
import { s2PteWord, s2RootWord } from '../machine/layout.js';
import { freeDeferredTables } from '../kvm/s2-tables.js';
import { stage2Map } from '../kvm/stage2.js';
import { readOnce, writeOnce } from '#words';
import type { Bug } from './bug.js';
import { changes, looksAt } from './bug-clash.js';

/** kvm_pgtable_stage2_map() that does not read the entry again behind the pre-order callback. */
function* mapAndDescend(
  ctx: Context,
  vm: number,
  vcpu: number,
  gfn: number,
  pfn: number,
  block: boolean,
  writable: boolean,
): Coroutine {
  const { m, words } = ctx;
  const root = s2RootWord(m, vm, gfn);
  if (--ctx.quantum < 0) yield reads(root);
  const stale = readOnce(words, root);
  const result = yield* stage2Map(ctx, vm, vcpu, gfn, pfn, block, writable);
  if (!block || result !== 0 || !isS2Table(stale)) return result;
  yield* freeDeferredTables(ctx, vm);
  const table = entryPfn(stale);
  const mask = m.thpPages - 1;
  for (let i = 0; i < m.thpPages; i++) {
    const at = s2PteWord(m, table, i);
    if (--ctx.quantum < 0) yield writes(at);
    ctx.probe.onStage2Leaf(ctx, table, vm, (gfn & ~mask) + i);
    writeOnce(words, at, mkEntry((pfn & ~mask) + i, S2_VALID | S2_AF | (writable ? S2_WRITE : 0)));
  }
  return 0;
}

export const z29: Bug = {
  id: 'Z29',
  title: 'a walk of stage 2 goes down into a table that it has replaced by a block and freed',
  commit: 'a9f0e3d5a089 ("KVM: arm64: Reload PTE after invoking walker callback on preorder traversal")',
  fixedIn: 'v6.4',
  story:
    'When a block replaces a table the walker calls back before it goes down, and the callback frees the table. The walker then used the entry that it had ' +
    "read before: it visited the freed table, and stored leaves in memory that was somebody else's by then.",
  policy: 'classic',
  replace: { stage2Map: mapAndDescend },
  expect: ['I-UAFNODE'],
  litmus: 'z29-stale-descent.litmus',
  clash: {
    steps: [
      looksAt('stage-2 root entry', 'mapAndDescend'),
      changes(['stage-2 root entry', 'entry of stage-2 table'], 'mapAndDescend'),
    ],
    alone: true,
    follows: 'a9f0e3d5a089',
  },
};
