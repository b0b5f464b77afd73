/**
 * Z50: migration of a KSM page closes the keyhole at the old page before it opens it at the new one, and ksmd frees the node.
 *
 *     migration: old page's mapping := none       ksmd: reads the node's pfn: the old page
 *     -                                           ksmd: it does not point back, and pfn is the same: stale, frees it
 *     migration: the node's pfn := new page       the new page's mapping points to a node that is free
 *
 * The kernel's code has the right order, and an smp_wmb() with its counterpart that keeps it: this is what they are for. Schedules
 * are sequentially consistent here, so the stores stand in the other order.
 */
import type { Context, Coroutine } from '../machine/context.js';
import { writes } from '../machine/effects.js';
import { KSM_NODE_KPFN, PAGE_MAPPING, ksmNodeWord, pageWord } from '../machine/layout.js';
import { writeOnce } from '#words';
import type { Bug } from './bug.js';
import { changes, looksAt } from './bug-clash.js';

/** folio_migrate_ksm() (mm/ksm.c) without its smp_wmb(). */
function* closeThenOpen(ctx: Context, src: number, dst: number, node: number): Coroutine<void> {
  const { m, words } = ctx;
  if (node === 0) return;
  const mappingAt = pageWord(m, src, PAGE_MAPPING);
  if (--ctx.quantum < 0) yield writes(mappingAt);
  writeOnce(words, mappingAt, 0);
  ctx.probe.onReadOnly(ctx, src, false);
  const kpfnAt = ksmNodeWord(m, node, KSM_NODE_KPFN);
  if (--ctx.quantum < 0) yield writes(kpfnAt);
  writeOnce(words, kpfnAt, dst);
  ctx.probe.onReadOnly(ctx, dst, true);
}

export const z50: Bug = {
  id: 'Z50',
  title: 'ksmd frees the stable node of a page that is just being migrated',
  commit: '',
  fixedIn: '',
  story:
    'A node of the stable tree holds no reference: it is valid while its page points back to it. folio_migrate_ksm() writes the new pfn first ' +
    'and clears the old mapping second, with a barrier between; the other way round ksm_get_folio() takes the node for stale.',
  policy: 'classic',
  replace: { folioMigrateKsm: closeThenOpen },
  expect: ['I-UAFNODE'],
  litmus: 'z50-keyhole.litmus',
  clash: {
    steps: [
      looksAt(['mapping', 'word of ksm_stable_node'], 'ksmGetFolio'),
      changes(['mapping', 'word of ksm_stable_node'], 'closeThenOpen'),
    ],
    follows: 'story',
  },
};
