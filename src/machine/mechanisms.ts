/**
 * The mechanisms that take pages away: notifiers, unmaps and moves are counted by them. An actor sets `ctx.task.mechanism` for
 * the duration of an operation. One row each; numbers, titles in diagrams, texts and colours of the page, legends and reports follow from it.
 */

interface MechanismRowOf<Name extends string> {
  readonly name: Name;
  /** The kernel function in whose name its notifiers are sent: the title in diagrams. Null where there is none. */
  readonly title: string | null;
  /** Who runs it. */
  readonly who: string;
  /** What it does, for the page: with the function that it is known by. */
  readonly what: string;
  /** For legends. */
  readonly doc: string;
  /** On the page's charts, by the light and the dark theme; null: not charted. */
  readonly colours: readonly [light: string, dark: string] | null;
}

const row = <Name extends string>(
  name: Name,
  title: string | null,
  who: string,
  what: string,
  doc: string,
  colours: MechanismRowOf<Name>['colours'],
): MechanismRowOf<Name> => ({ name, title, who, what, doc, colours });

/** In the order of their numbers, which recordings hold: new ones at the end. */
export const MECHANISM_ROWS = [
  row('none', null, 'unclaimed', 'nobody has said why', 'nobody has said who', null),
  row(
    'numa_scan',
    'change_prot_numa()',
    'numa-balancer',
    'change_prot_numa(): PROT_NONE for hint faults',
    'the NUMA balancer makes entries inaccessible, to see who uses them',
    ['#2a6fb5', '#5ea3ec'],
  ),
  row(
    'numa_migrate',
    'try_to_migrate_one()',
    'who hint-faults',
    'try_to_migrate_one(): to the node that uses it',
    'a page moves to the node of its user',
    ['#17858c', '#3fc1c9'],
  ),
  row(
    'ksm',
    'write_protect_page()',
    'ksmd',
    'write_protect_page(), replace_page(): merging equal pages',
    'ksmd merges equal pages',
    ['#b57a00', '#e0a93a'],
  ),
  row(
    'khugepaged',
    'collapse_huge_page()',
    'khugepaged',
    'collapse_huge_page()',
    'khugepaged collapses small pages into a huge one',
    ['#7a52a8', '#b18be0'],
  ),
  row('thp_split', '__split_huge_pmd()', 'who splits', '__split_huge_pmd()', 'a huge page, or its PMD, is split', [
    '#c2528b',
    '#ec86b8',
  ]),
  row(
    'reclaim',
    'try_to_unmap_one()',
    'kswapd',
    'try_to_unmap_one()',
    'kswapd unmaps pages, to swap them out or to discard them',
    ['#7d7a1e', '#c9c55a'],
  ),
  row(
    'zap',
    'zap_page_range_single()',
    'vmm',
    'zap_page_range_single(): balloon, MADV_DONTNEED',
    'munmap() and MADV_DONTNEED',
    ['#b3261e', '#ff7a6b'],
  ),
  row('mprotect', 'change_protection()', 'vmm', 'change_protection()', 'mprotect()', ['#3c8a3f', '#6cc36f']),
  row('wp_fault', 'wp_page_copy()', 'who writes', 'wp_page_copy(): copy on write', 'copy on write', [
    '#8a5a2b',
    '#c79a6b',
  ]),
  row(
    'longterm_migrate',
    'migrate_longterm_unpinnable_folios()',
    'who pins',
    'migrate_longterm_unpinnable_folios()',
    'a long-term pin moves the page to where it may stay',
    ['#5b6b8c', '#9db0d6'],
  ),
  row('fork', 'copy_page_range()', 'vmm', 'copy_page_range()', 'fork() write-protects what it shares', [
    '#0f7a5a',
    '#55d0a8',
  ]),
  row('hwpoison', 'memory_failure()', 'memory_failure()', 'a frame went bad', 'memory_failure()', [
    '#6e1f1f',
    '#d48a8a',
  ]),
  row('memslot', 'kvm_set_memslot()', 'vmm', 'kvm_set_memslot()', 'a memslot is deleted, moved or write-protected', [
    '#8f6fb0',
    '#c3a6e0',
  ]),
  row('release', 'exit_mmap()', 'exit', 'exit_mmap()', 'the last reference to an mm is dropped', [
    '#6c7580',
    '#98a3ae',
  ]),
  row(
    'teardown',
    'kvm_destroy_vm()',
    'the end of the run',
    'kvm_destroy_vm()',
    "the run's end: not counted as loss",
    null,
  ),
  // MEM_RELINQUISH: the guest gives a page back of its own accord
  row(
    'relinquish',
    '__pkvm_guest_relinquish_to_host()',
    'guest, vmm',
    'pages that the guest gives back',
    'a protected guest gives a page back',
    ['#d0602a', '#ff9a5c'],
  ),
] as const;

export type MechanismName = (typeof MECHANISM_ROWS)[number]['name'];

/** Their names, by number. */
export const MECHANISMS: readonly MechanismName[] = MECHANISM_ROWS.map(({ name }) => name);

/** `MECH.numa_scan` and so on: their numbers. */
export const MECH = Object.freeze(Object.fromEntries(MECHANISMS.map((name, n) => [name, n]))) as Readonly<
  Record<MechanismName, number>
>;

/** The name of a mechanism by its number; of no mechanism's number, a name that says so. */
export const mechanismName = (mechanism: number): string => MECHANISMS[mechanism] ?? `mech_${mechanism}`;
