/** struct page, and where free frames are: zones and blocks; page tables, swap slots. */
import { as, between, field, hex, lock, lockFree, ours, owners, part, stable, struct, under } from '../row.js';
import { LINE, PAGE_SHIFT } from '../values.js';

const zoneLock = under('zone lock');

export const node = struct({
  id: 'NODE',
  kernel: 'struct zone (include/linux/mmzone.h)',
  doc: 'Zones',
  called: (_, n) => `node ${n}`,
  words: 32,
  fields: [
    lock('NODE_ZONE_LOCK', 0, 'zone lock', 'Who may take free frames.', { kernel: 'lock' }),
    ours('NODE_FREE_BLOCKS', 2, 'first free block', zoneLock, 'First wholly free block + 1.'),
    ours('NODE_PARTIAL_BLOCKS', 3, 'first partly free block', zoneLock, 'First block with some free pages + 1.'),
    field('NODE_FREE_FRAMES', 4, 'free frames', zoneLock, 'Free frames.', { kernel: 'vm_stat[NR_FREE_PAGES]' }),
  ],
});

export const block = struct({
  id: 'BLOCK',
  doc: 'Page blocks of a THP of frames',
  called: (_, n) => `page block ${n}`,
  words: 4,
  fields: [
    ours('BLOCK_FREE_COUNT', 0, 'free frames', zoneLock, 'Free frames of the block.'),
    ours(
      'BLOCK_FREE_HEAD',
      1,
      'first free frame',
      zoneLock,
      'First free frame of the block + 1, linked through PAGE_LRU_NEXT.',
    ),
    ours('BLOCK_NEXT', 2, 'next block', zoneLock, 'Next block of its list + 1.'),
    ours('BLOCK_PREV', 3, 'previous block', zoneLock, 'Previous block of its list + 1.'),
  ],
});

export const page = struct({
  id: 'PAGE',
  kernel: 'struct page, struct folio (include/linux/mm_types.h)',
  doc: 'struct page, one line each',
  called: (_, pfn) => `pfn ${hex(pfn)}`,
  words: 1 << PAGE_SHIFT,
  fields: [
    field('PAGE_REFS', 0, 'refs', lockFree, '0 = free or frozen. Atomic.', { kernel: '_refcount' }),
    field(
      'PAGE_MAPS',
      1,
      'maps',
      lockFree,
      'PTE maps of this (sub)page as a plain count. Atomic, changed only under the PTL of the table that maps it.',
      { kernel: '_mapcount' },
    ),
    field('PAGE_FLAGS', 2, 'flags', lockFree, 'PG_* flags. Atomic bit operations.'),
    ours('PAGE_CONTENT', 3, 'content', lockFree, 'What the page holds, one word. CPUs read and write it.'),
    field('PAGE_PINCOUNT', 4, 'pincount', lockFree, 'Pins of a large folio (head). Atomic.', { kernel: '_pincount' }),
    field('PAGE_ENTIRE_MAPS', 5, 'entire maps', lockFree, 'PMD maps (head). Atomic.', { kernel: '_entire_mapcount' }),
    field(
      'PAGE_COMPOUND',
      6,
      'compound state',
      stable,
      '0 small page; head: order << 24 | 1 << 30; tail: head pfn | 1 << 31.',
      { kernel: 'compound_head' },
    ),
    field(
      'PAGE_MAPPING',
      7,
      'mapping',
      between(as('folio lock'), 'marked'),
      'anon_vma << 2 | 1, stable node << 2 | 3, 0 none (the KSM keyhole).',
    ),
    field('PAGE_INDEX', 8, 'index', stable, 'Page offset in its anon_vma: the vpn. Written before the page is mapped.'),
    field('PAGE_LRU_NEXT', 9, 'lru', owners, 'Free-list and private-list link. Owner of the list.', {
      also: {
        constant: 'PAGE_SWAP',
        doc: 'The same word of a folio in the swap cache (folio->swap, page->private): its slot. Folio lock.',
      },
    }),
    lock('PAGE_LOCK', 10, 'folio lock', 'PG_locked with its owner.', { kernel: 'PG_locked', also: null }),
    field('PAGE_CPUPID', 12, 'last_cpupid', between(as('folio lock'), 'marked'), 'Written by NUMA faults.', {
      kernel: '_last_cpupid',
    }),
    field(
      'PAGE_HYP',
      13,
      'hyp_page',
      under('EL2 host_mmu.lock', 'EL2 pkvm_pgd_lock'),
      'Host state, complemented hyp state, refcount. host_mmu.lock / pkvm_pgd_lock / pool lock.',
      { kernel: 'struct hyp_page' },
    ),
    field('PAGE_LARGE_MAPS', 14, 'large maps', lockFree, 'Of a head: sum of all PTE and PMD maps. Atomic.', {
      kernel: '_large_mapcount',
    }),
    field(
      'PAGE_HOST_S2',
      15,
      'host stage-2 entry',
      between(as('EL2 host_mmu.lock'), 'marked'),
      'The host stage-2 entry for this physical page. The hardware walker reads it.',
      { kernel: null },
    ),
  ],
});

export const table = struct({
  id: 'TABLE',
  kernel: 'struct ptdesc of a PTE table (include/linux/mm_types.h)',
  doc: 'PTE tables',
  called: (_, n) => `table ${n}`,
  words: LINE,
  sizedBy: 'tableWords',
  fields: [
    lock('TABLE_PTL', 0, 'PTL', 'The entries of the table.', { kernel: 'ptl' }),
    field('TABLE_MM', 2, 'mm', owners, 'The mm that uses the table.', { kernel: 'pt_mm' }),
    ours('TABLE_PMD', 3, 'PMD word', owners, 'The PMD word that points to it.'),
    ours('TABLE_STATE', 4, 'state', owners, 'TABLE_FREE, TABLE_LIVE, TABLE_DEPOSITED, TABLE_DETACHED.'),
    ours('TABLE_POOL_NEXT', 5, 'next table', owners, 'In the pool, or deposited: the next + 1.'),
    ours('TABLE_REFS', 6, 'counted entries', owners, 'Counted entries + 1 of a stage-2 table page.'),
    ours('TABLE_PFN', 7, 'pfn', owners, 'The pfn that holds a stage-2 table page under pKVM.'),
  ],
  parts: [
    part({
      id: 'ptes',
      constant: 'TABLE_HEADER',
      count: (m) => m.thpPages,
      name: 'PTE',
      kernel: 'pte_t',
      guard: between(as('PTL'), 'marked'),
      special: 'hardware',
      publishes: 'entry',
      doc: 'The PTE of `vpn` in `table`.',
      accessor: { name: 'pteWord', parameter: 'vpn', element: 'vpn & (m.thpPages - 1)' },
    }),
  ],
});

export const swapSlot = struct({
  id: 'SWAP',
  doc: 'Swap slots',
  called: (_, n) => `swap slot ${n}`,
  words: 4,
  fields: [
    field('SWAP_MAP', 0, 'swap_map', lockFree, 'Entries that refer to the slot, and SWAP_HAS_CACHE. 0 = free. Atomic.'),
    field(
      'SWAP_FOLIO',
      1,
      'swap cache',
      lockFree,
      "The pfn of the slot's folio, or 0. Written under the swap cache's lock.",
      { kernel: 'i_pages of swapper_spaces', publishes: 'pfn' },
    ),
    ours('SWAP_CONTENT', 2, 'content', lockFree, 'What the device holds: whoever reads or writes the slot.'),
    field(
      'SWAP_READS',
      3,
      'swapcache_wq',
      lockFree,
      'Grows when a reader of the slot is done: what the others wait for. Atomic.',
    ),
  ],
});
