/** What ksmd keeps. */
import { as, asRead, between, field, hex, ours, struct, under } from '../row.js';

/** ksmd's records change under its mutex; a node's list stays while its folio is locked. */
const ksmField = between([...as('ksm_thread_mutex'), ...asRead('folio lock')], as('ksm_thread_mutex'));

export const ksmItem = struct({
  id: 'KSM_ITEM',
  kernel: 'struct ksm_rmap_item (mm/ksm.c)',
  doc: 'ksm_rmap_item, by virtual page',
  called: (m, n) => `ksm_rmap_item of mm${Math.trunc(n / m.mmPages)} vpn ${hex(n % m.mmPages)}`,
  words: 8,
  fields: [
    field('KSM_ITEM_CHECKSUM', 0, 'oldchecksum', ksmField, 'Of the content at the last scan.'),
    ours('KSM_ITEM_STATE', 1, 'state', ksmField, '0 none, ITEM_SEEN, ITEM_UNSTABLE, ITEM_STABLE.'),
    field('KSM_ITEM_NODE', 2, 'head', ksmField, 'Its stable node + 1.'),
    field('KSM_ITEM_NEXT', 3, 'hlist', ksmField, 'Next rmap_item of the stable node + 1.'),
    field('KSM_ITEM_AGE', 4, 'age', ksmField, 'Scans since it was made (smart scan).'),
    field('KSM_ITEM_REMAINING_SKIPS', 5, 'remaining_skips', ksmField, 'Scans that pass it by (smart scan).'),
    field('KSM_ITEM_UNSTABLE_NEXT', 6, 'next of the unstable bucket', ksmField, 'Next in the unstable bucket + 1.', {
      kernel: 'node',
      also: { constant: 'KSM_ITEM_ANON_VMA', doc: 'While ITEM_STABLE: the anon_vma that rmap walks go through.' },
    }),
    field('KSM_ITEM_UNSTABLE_CONTENT', 7, 'content it was filed under', ksmField, 'In the unstable bucket.', {
      kernel: null,
      also: { constant: 'KSM_ITEM_ANON_ROOT', doc: 'While ITEM_STABLE: the root whose lock rmap walks take.' },
    }),
  ],
});

export const ksmNode = struct({
  id: 'KSM_NODE',
  kernel: 'struct ksm_stable_node (mm/ksm.c)',
  doc: 'ksm_stable_node',
  called: (_, n) => `ksm_stable_node ${n}`,
  words: 8,
  fields: [
    field('KSM_NODE_KPFN', 0, 'kpfn', ksmField, 'Its KSM page.', { publishes: 'pfn' }),
    field('KSM_NODE_HLIST', 1, 'hlist', ksmField, 'First rmap_item + 1.'),
    ours('KSM_NODE_CONTENT', 2, 'content', ksmField, 'What the page holds: the key in the tree.'),
    field('KSM_NODE_NEXT', 3, 'node', ksmField, 'Next of its bucket + 1.'),
    field('KSM_NODE_COUNT', 4, 'rmap_hlist_len', ksmField, 'rmap_items on its list.'),
    ours('KSM_NODE_STATE', 5, 'state', ksmField, 'Whether it is in use.'),
  ],
});

export const ksmStable = struct({
  id: 'KSM_STABLE',
  doc: 'Hash heads of the stable tree: node + 1',
  called: (_, n) => `stable bucket ${n}`,
  words: 1,
  fields: [
    field('KSM_STABLE_HEAD', 0, 'head', under('ksm_thread_mutex'), 'First node + 1.', { kernel: 'root_stable_tree' }),
  ],
});

export const ksmUnstable = struct({
  id: 'KSM_UNSTABLE',
  doc: 'Hash heads of the unstable tree: item + 1',
  called: (_, n) => `unstable bucket ${n}`,
  words: 1,
  fields: [
    field('KSM_UNSTABLE_HEAD', 0, 'head', under('ksm_thread_mutex'), 'First item + 1.', {
      kernel: 'root_unstable_tree',
    }),
  ],
});
