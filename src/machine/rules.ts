/** What differs between kernel versions, where the kernel model names a difference. */

/** The choices that the kernel model names by version; the defaults are v6.18's. */
export interface KernelRules {
  /** 3.3: v5.19+ exclusive bit, v5.9 (refs == 1), v5.8 (maps == 1). */
  readonly wpReuse: 'v5.19' | 'v5.9' | 'v5.8';
  /** 3.17 step 5. */
  readonly numaBusy: 'v5.16' | 'v5.17' | 'v6.10' | 'v6.19';
  /** 3.12 steps 3 and 5: reclaim looks at pins never (before v5.11), before the swap cache, or also after unmapping (v6.1+). */
  readonly reclaimPinChecks: 0 | 1 | 2;
  /** 3.10.1 3b. */
  readonly gupHonorsNuma: 'v6.0' | 'v6.1' | 'v6.8';
  /** mprotect makes exclusive private pages writable at once (MM_CP_TRY_CHANGE_WRITABLE): no (before v6.0), PTEs, PMDs too (v6.2). */
  readonly mprotectWritable: 0 | 1 | 2;
  /** 3.14: one notifier pair per VMA, or two (through 6.15). */
  readonly splitNotifierPairs: 1 | 2;
  /** 3.13, 3.12: try_to_unmap() has a pair of its own for the split of a huge PMD (through 6.10), or splits it inside its own, or drops it whole. */
  readonly unmapNotifierPairs: 1 | 2;
  /** A huge page that several processes map by its PMD can be split: not from v6.16 to v6.19 (try_to_migrate_one() ended its walk too early). */
  readonly splitShared: boolean;
  /** Where the call of mprotect and of the NUMA scan begins: at the first page middle directory in use, or at the range's start (v6.12). */
  readonly protectNotifier: 'pmd' | 'pud';
  /** Reclaim of a huge page: split first (through 4.12); written out whole if mapped by a PMD, or (v6.10) if mapped in all its pages. */
  readonly swapOutHuge: 'v4.12' | 'v4.13' | 'v6.10';
  /** A write to a huge page that others share: copied whole (through 5.7), or its PMD split first. */
  readonly hugeCow: 'copy' | 'split';
  /** Read-only long-term pins unshare what is no anonymous page: the zero page (v6.2). */
  readonly unshareZeropage: boolean;
  /** Pages of zeros of a huge page that is split become the zero page: never, from v6.12 on, broken ones excepted (v6.18). */
  readonly splitZeropage: 'never' | 'v6.12' | 'v6.18';
  /** MADV_FREE of a part of a huge page that is mapped by PTEs: split first, or (v6.10) the whole folio where all of it is meant. */
  readonly freeLargeBatch: boolean;
  /** 3.20: what memory_failure() returns for a huge page that cannot be split: -EBUSY, or (v6.11) -EHWPOISON, its users killed. */
  readonly poisonUnsplit: 'EBUSY' | 'EHWPOISON';
  /** 3.11: v6.8+ splits unmap and move loops; v6.1 has one loop. */
  readonly migrateLoops: 'v6.1' | 'v6.8';
  /** 3.11, 3.12: unmaps defer their TLB flushes (v4.3, 72b252aed506; arm64 from v6.6 on). */
  readonly tlbBatch: boolean;
  /**
   * 3.10.2: when a long-term pin of a movable page empties all LRU batches, the pin held meanwhile: the page is not on the LRU; or it has
   * references that nothing explains (v6.17, "check ref_count instead of lru before migration").
   */
  readonly longtermDrain: 'v5.13' | 'v6.17';
  /** 3.10.2: a movable page that somebody else has isolated stays pinned where it is (v6.14 and v6.15: 1aaf8c122918 to 517f496e1e61). */
  readonly longtermKeepsIsolated: boolean;
  /** 3.16 steps 3 to 6: stable search before the checksum (through 6.10) or after. */
  readonly ksmChecksumFirst: boolean;
  /** 3.16: MADV_UNMERGEABLE takes away the zero pages that KSM placed too (v6.6, 79271476b336). */
  readonly ksmUnsharesZeropage: boolean;
  /** 3.15: a table without any writable page is not collapsed, SCAN_PAGE_RO (through 6.17). */
  readonly collapseNeedsWrite: boolean;
  /** 3.10.1 step 1: a long-term pin to write to a file whose dirty pages are tracked is refused (v6.5, 8ac268436e6d). */
  readonly longtermRefusesFiles: boolean;
  /** 3.21 step 6: sequence sampled after the unlock (before v6.3). */
  readonly seqAfterUnlock: boolean;
  /** 3.30: A14's teardown, or the one posted in 2022. */
  readonly pkvmTeardown: 'A14' | 'v2022';
  /** is_protected_kvm_enabled(): EL2 owns stage 2 of every VM, the host's too. */
  readonly protectedKvm: boolean;
  /** 3.31: guests that are not protected follow the host's notifiers (v6.14). */
  readonly pkvmNotifiers: boolean;
}

/** v6.18. */
export const RULES_V6_18: KernelRules = {
  wpReuse: 'v5.19',
  numaBusy: 'v6.10',
  reclaimPinChecks: 2,
  gupHonorsNuma: 'v6.8',
  mprotectWritable: 2,
  splitNotifierPairs: 1,
  unmapNotifierPairs: 1,
  splitShared: false,
  protectNotifier: 'pud',
  swapOutHuge: 'v6.10',
  hugeCow: 'split',
  unshareZeropage: true,
  splitZeropage: 'v6.18',
  freeLargeBatch: true,
  poisonUnsplit: 'EHWPOISON',
  migrateLoops: 'v6.8',
  tlbBatch: true,
  longtermDrain: 'v6.17',
  longtermKeepsIsolated: false,
  ksmChecksumFirst: true,
  ksmUnsharesZeropage: true,
  collapseNeedsWrite: false,
  longtermRefusesFiles: true,
  seqAfterUnlock: false,
  pkvmTeardown: 'A14',
  protectedKvm: false,
  pkvmNotifiers: false,
};

/** What older releases do otherwise: each row holds for releases before its own, down to the row above. */
const CHANGES: readonly (readonly [before: readonly [number, number], rules: Partial<KernelRules>])[] = [
  [[4, 3], { tlbBatch: false }],
  [[4, 13], { swapOutHuge: 'v4.12' }],
  [[5, 8], { hugeCow: 'copy' }],
  [[5, 9], { wpReuse: 'v5.8' }],
  [[5, 11], { reclaimPinChecks: 0 }],
  [[5, 17], { numaBusy: 'v5.16' }],
  [[5, 19], { wpReuse: 'v5.9' }],
  [[6, 0], { mprotectWritable: 0 }],
  [[6, 1], { gupHonorsNuma: 'v6.0', reclaimPinChecks: 1 }],
  [[6, 2], { mprotectWritable: 1, unshareZeropage: false }],
  [[6, 3], { seqAfterUnlock: true }],
  [[6, 5], { longtermRefusesFiles: false }],
  [[6, 6], { ksmUnsharesZeropage: false }],
  [[6, 8], { migrateLoops: 'v6.1', gupHonorsNuma: 'v6.1' }],
  [[6, 10], { numaBusy: 'v5.17', swapOutHuge: 'v4.13', freeLargeBatch: false }],
  [[6, 11], { ksmChecksumFirst: false, unmapNotifierPairs: 2, poisonUnsplit: 'EBUSY' }],
  [[6, 12], { protectNotifier: 'pmd', splitZeropage: 'never' }],
  [[6, 14], { longtermKeepsIsolated: false }],
  [[6, 16], { splitNotifierPairs: 2, splitShared: true, longtermKeepsIsolated: true }],
  [[6, 17], { longtermDrain: 'v5.13' }],
  [[6, 18], { splitZeropage: 'v6.12', collapseNeedsWrite: true }],
];

/** What newer ones do otherwise, from the release on that each row names. */
const NEWER: readonly (readonly [from: readonly [number, number], rules: Partial<KernelRules>])[] = [
  [[6, 19], { numaBusy: 'v6.19' }],
  [[7, 0], { splitShared: true }],
];

/** `v5.17` as numbers, or null. */
export function parseKernelVersion(text: string): readonly [number, number] | null {
  const match = /^v([4-7])\.(\d{1,2})$/.exec(text);
  return match === null ? null : [Number(match[1]), Number(match[2])];
}

/**
 * The rules of a release (kernel-model 3, where a step names versions), v5.0 to v7.2; `base` keeps what no release says (protectedKvm).
 * @throws RangeError when `text` is no release
 */
export function rulesOfVersion(text: string, base: KernelRules): KernelRules {
  const version = parseKernelVersion(text);
  if (version === null) throw new RangeError(`no kernel version '${text}'`);
  const [major, minor] = version;
  const isBefore = ([a, b]: readonly [number, number]): boolean => major < a || (major === a && minor < b);
  const newer = NEWER.flatMap(([from, change]) => (isBefore(from) ? [] : [change]));
  // the newest change first, so that the oldest that applies has the last word
  const older = CHANGES.toReversed().flatMap(([before, change]) => (isBefore(before) ? [change] : []));
  return Object.assign({}, base, ...newer, ...older) as KernelRules;
}
