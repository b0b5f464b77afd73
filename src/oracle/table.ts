/** The invariants (kernel-model 5.1): what each says, when it may be judged, and by what means it is. For `pinfall list` and reports. */
export interface InvariantRow {
  readonly id: string;
  readonly sentence: string;
  /** When it may be judged; at any other moment a correct kernel would raise false alarms. */
  readonly when: string;
  /** local: at the operation. audit: at rest. ghost: by ledgers. lock: at acquisitions and notifier calls. */
  readonly checked: string;
}

const row = (id: string, sentence: string, when: string, checked: string): InvariantRow => ({
  id,
  sentence,
  when,
  checked,
});

export const INVARIANTS: readonly InvariantRow[] = [
  row('I-REF', 'a folio has as many references as holders', 'every step, unless frozen', 'ghost, audit'),
  row(
    'I-MAP',
    "a page's mapcount is the number of present leaves that point at it",
    'the locks of all its tables are free',
    'audit',
  ),
  row(
    'I-FREE',
    'a free page has no PTE, no stage-2 leaf, no TLB entry and no pin',
    'at the step that frees',
    'local, audit',
  ),
  row(
    'I-STALE',
    'a stage-2 leaf maps the page that the host entry maps, which is present and no hint',
    'mmu_lock and the PTL are free, no invalidation is open, the gfn is in a memslot, notifiers reach stage 2',
    'ghost, audit',
  ),
  row(
    'I-SLOT',
    'a stage-2 leaf lies in a memslot',
    'when it is installed; when slots_lock is released; at rest',
    'local, audit',
  ),
  row(
    'I-PERM',
    'a writable stage-2 leaf is of an exclusive page, never KSM, never the zero page',
    'as I-STALE',
    'local, ghost, audit',
  ),
  row(
    'I-EXCL',
    'an exclusive page has at most one mapping, and a writable private anonymous PTE an exclusive page',
    "under the entry's lock",
    'local, audit',
  ),
  row(
    'I-PIN',
    'a pinned page is neither freed nor moved, and the pinning process keeps it in place',
    'from the return of the pin call to the first step of the unpin',
    'ghost, audit',
  ),
  row(
    'I-MOVABLE',
    'no page in memory that must stay movable is pinned for long',
    'when a pin call with FOLL_LONGTERM returns',
    'local',
  ),
  row(
    'I-DMA',
    'a device touches only frames whose pin or reference is held',
    'before each access of a device',
    'ghost',
  ),
  row(
    'I-PINNED-S2',
    "a pinned page's stage-2 entry is not removed",
    'where the policy claims it, from the return of pin and map to the release',
    'local, ghost',
  ),
  row(
    'I-COW',
    "a write is not visible through another process's private mapping, nor through its pin for reading",
    'at each read that starts after the write retired',
    'ghost, audit',
  ),
  row(
    'I-LOST',
    'no retired write disappears, also not with a lazily freed page, and nothing that was zapped comes back',
    "at the owner's next read, unless the page was zapped or written meanwhile; at a discard",
    'ghost, audit',
  ),
  row(
    'I-COHERE',
    'a read that starts after a write to the same page has retired returns that write or a later one',
    "at each read by a translation that is not the current one; a known window while reclaim's batch is not flushed",
    'ghost',
  ),
  row(
    'I-UAFNODE',
    'a page table is not walked after it was freed or put to another use, a KSM node not freed while its page lives',
    'at each lockless read of an entry; at the step that frees',
    'local, ghost',
  ),
  row(
    'I-RO',
    'a KSM page and the zero page have constant content',
    'from write-protection and flush to the free',
    'local, audit',
  ),
  row(
    'I-TLB',
    'no TLB holds an entry stronger than the tables allow',
    'when the operation that changed them has returned',
    'ghost, audit',
  ),
  row(
    'I-OWN',
    'host, EL2 and guests agree on the owner of each page',
    'all locks of EL2 ownership are free',
    'ghost, audit',
  ),
  row(
    'I-SHARECNT',
    'a page that the host shares with guests is counted once for each of their leaves, and the host knows of each',
    'host_mmu.lock and the VM locks of EL2 are free',
    'ghost, audit',
  ),
  row(
    'I-WIPE',
    "a page that was a guest's own is zero when the host becomes its owner",
    'at the step that makes it so',
    'local',
  ),
  row(
    'I-SECRET',
    'the host never sees what a protected guest keeps to itself',
    'at each read of a process, of the kernel on its behalf, of another guest; at rest',
    'ghost, audit',
  ),
  row(
    'I-HYPMC',
    "a page of EL2's is in one of its lists, pools or tables at a time",
    'at hypercall entry and exit',
    'ghost, audit',
  ),
  row(
    'I-BAL',
    'starts and ends balance, and nothing is left open at rest',
    'signs at every step, zeroes at rest',
    'local, audit',
  ),
  row(
    'I-LOCKORD',
    'nobody sleeps holding a spinlock, takes locks in an order that can deadlock, or unlocks, walks and notifies without the locks that this takes',
    'at each blocking acquisition; trylocks are exempt from order',
    'lock',
  ),
  row(
    'I-ACCT',
    'locked_vm is the number of pages kept pinned for the process, and hint faults are counted of hints',
    'no fault or teardown in flight; at each count',
    'audit, ghost',
  ),
  row(
    'I-LIVE',
    'no actor repeats fault and retry for ever, no two undo the work of each other for ever, and no scanner passes over the same page',
    'no invalidation is open and nobody else holds a lock; when a fault makes an entry; after three scans',
    'local, ghost',
  ),
  row(
    'undeclared',
    'each access of kernel code is declared by its schedule point, or locks that are held and other declared accesses order it with those of others',
    'at each access, in runs on one thread',
    'local',
  ),
];
