/** Which events tell of a store, so that a diagram does not show it twice: by the kind of word that was stored to. */
import { recordType } from '../../events/record.js';
import { EVENT, type EventName } from '../../events/table.js';

const ENTRY = ['pte', 'pmd'] as const;
const STAGE2 = ['s2'] as const;
const PINS = ['refs', 'pincount'] as const;

/** Kinds are those of engine/machine/word-kind.ts, by their names. */
const TELLS: Readonly<Partial<Record<EventName, readonly string[]>>> = {
  anon_map: ENTRY,
  file_map: ENTRY,
  wp_copy: ENTRY,
  wp_reuse: ENTRY,
  pte_change: ENTRY,
  pmd_change: ENTRY,
  numa_protect: ENTRY,
  numa_hint_fault: ENTRY,
  migration_entry: ENTRY,
  split_huge_pmd: ENTRY,
  ksm_write_protect: [...ENTRY, 'flags'],
  ksm_merge: [...ENTRY, 'mapping'],
  ksm_break: ENTRY,
  zap: ENTRY,
  fork_copy: ENTRY,
  collapse: ENTRY,
  swap_out: [...ENTRY, 'swapMap'],
  swap_in: [...ENTRY, 'swapMap'],
  page_pin: PINS,
  page_unpin: PINS,
  gup_failed: PINS,
  stage2_map: STAGE2,
  stage2_unmap: STAGE2,
  kvm_unmap: STAGE2,
  ownership: ['hyp', 'hostS2'],
  memcache: ['memcache'],
  notifier_start: ['inProgress', 'activeCount'],
  notifier_end: ['seq', 'inProgress', 'activeCount'],
  stage2_check: ['seq', 'inProgress'],
  stage2_retry: ['seq', 'inProgress'],
};

const BY_TYPE = new Map(Object.entries(TELLS).map(([name, kinds]) => [EVENT[name as EventName], new Set(kinds)]));

/** Whether record `index` tells of a store to a word of that kind. */
export const tells = (records: Int32Array, index: number, kind: string): boolean =>
  BY_TYPE.get(recordType(records, index))?.has(kind) === true;
