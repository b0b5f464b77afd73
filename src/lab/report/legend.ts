/** What every counter of reports, `/metrics` and the page counts, in one line each. Pages are of 4 KiB. */
import { MECHANISM_ROWS, type MechanismName } from '../../machine/mechanisms.js';
import type { LATENCIES, StatName } from '../../machine/stats.js';
import type { MechanismRow } from './run-row.js';

/** `ops` of a report: since the run's start, over all actors. */
export const OPS_LEGEND: Readonly<Record<StatName, string>> = {
  accesses: 'loads and stores of the guest',
  tlb_hits: 'guest accesses that the TLB of their CPU could translate',
  tlb_misses: 'guest accesses that walked the stage-2 table',
  host_accesses: 'loads and stores of processes on the host: the VMM, DMA users on the CPU',
  faults: "page faults of processes on the host, those that KVM's fault handler takes for the guest included",
  stage2_faults: 'guest accesses that stage 2 refused: exits to KVM',
  stage2_retries: 'stage-2 faults that began anew, because a notifier ran meanwhile',
  stage2_maps: 'stage-2 entries that were installed, refaults included',
  stage2_refaults: 'stage-2 entries that were installed for a guest page that had one before',
  pins: 'pages pinned (FOLL_PIN), by KVM and by DMA users',
  unpins: 'pins given back',
  pin_failures: 'pins that were refused: no memory, no permission, a page that may not be pinned',
  hypercalls: 'calls of the host into EL2',
  messages: 'hypercalls whose EL2 instance is on another worker',
  notifier_starts: 'mmu_notifier_invalidate_range_start() calls',
  notifier_ends: 'mmu_notifier_invalidate_range_end() calls',
  ipis: 'interrupts to other CPUs that wait for an answer',
  tlb_flushes: 'flushes of TLBs, each of a range or all',
  wp_copies: 'write faults that copied their page',
  wp_reuses: 'write faults that found themselves the only user and kept the page',
  numa_hint_faults: 'faults on entries that the NUMA balancer had made inaccessible',
  numa_scans: 'scans of the NUMA balancer',
  ksm_pages_scanned: 'pages that ksmd looked at',
  ksm_merged: 'pages that ksmd merged with an equal one',
  ksm_refused: 'pages that ksmd wanted to merge and could not: pinned, locked or changed meanwhile',
  ksm_broken: 'merged pages that were taken apart again',
  khugepaged_scans: 'ranges that khugepaged looked at',
  khugepaged_refused: 'ranges that khugepaged wanted to collapse and could not',
  migrate_failures: 'pages that were to move and did not: pinned, or in use by somebody',
  alloc_failures: 'allocations that found no frame',
  page_allocs: 'frames allocated',
  page_frees: 'frames freed',
  divergences: "guest pages at the run's end that are not the VMM's any more",
  lost_records: 'dirty records of profiling buffers that were lost to a missing stage-2 entry',
  passes: 'times that the recorded guest was replayed to its end',
  sigbus: 'accesses that ended with SIGBUS',
  enomem: 'operations that ended with -ENOMEM',
  host_stage2_faults: "host accesses that the host's own stage 2 refused",
  thp_faults: 'faults that mapped a huge page',
  thp_split_page_failed: 'huge pages that were to be split and were not',
  waits: 'times that an actor waited for a lock or a word',
  sleeps: 'of those waits, the times that its worker slept',
  noise_delays: 'times that the noise maker held an actor up',
  noise_us: 'how long it did, microseconds',
  guest_reads: 'loads of the guest',
  guest_writes: 'stores of the guest',
  zero_pages_merged: 'pages of zeroes that ksmd mapped to the zero page',
  thp_split_pages: 'huge pages that were split',
  guest_exits: 'times that KVM_RUN returned to the VMM',
  swap_outs: 'pages written to swap',
  swap_ins: 'pages read from swap',
};

/** Columns of the mechanism table. */
const MECHANISM_COLUMNS_LEGEND: Readonly<Record<Exclude<keyof MechanismRow, 'name'>, string>> = {
  notifier_starts: 'notifiers that the mechanism sent',
  pinned_hit: 'pages in notified ranges that looked pinned as the notifier was sent',
  stage2_unmaps: 'stage-2 entries that its notifiers took away',
  stage2_unmaps_pinned: 'of those, entries of pinned pages',
  pages_moved: 'pages that it moved, merged or collapsed',
  backed_out: 'pages that it left alone after it had begun: pinned, or changed meanwhile',
};

/** Rows of the mechanism table: who takes pages away. */
export const MECHANISMS_LEGEND = Object.fromEntries(MECHANISM_ROWS.map(({ name, doc }) => [name, doc])) as Readonly<
  Record<MechanismName, string>
>;

/** Latencies, by the clock of the machine that simulates: compare them with each other, not with a real kernel's. */
export const LATENCY_LEGEND: Readonly<Record<(typeof LATENCIES)[number], string>> = {
  stage2_fault: 'a stage-2 fault from exit to return, retries included',
  host_fault: 'a page fault of a process',
  pin: 'pinning, a batch',
  unpin: 'giving pins back, a batch',
  hypercall: 'a call into EL2 and back',
  notifier: 'an invalidation from start to end',
  migrate: 'moving a page',
  collapse: 'collapsing a range',
  ksm_page: 'one page of a KSM scan',
  zap: 'munmap() or MADV_DONTNEED',
  mprotect: 'mprotect()',
  numa_scan: 'one scan of the NUMA balancer',
};

/** Columns of `compare` that are no counters above. */
const COMPARE_LEGEND = {
  refaults: 'stage-2 entries installed for a guest page that had one before',
  'per million': 'per million guest accesses: what a rate says that the speed of this machine does not change',
  interval: 'lowest and highest of the runs of a policy; none where there was one run',
  merged: 'pages that ksmd merged',
  migrated: 'pages that moved to another node, or for a long-term pin',
  collapsed: 'pages that khugepaged collapsed',
  'saved MiB': 'what KSM saves at the end of the run',
  violations: 'broken rules; 0 in so many seconds proves nothing',
} as const;

/** Columns of what tries schedules or bugs. */
const SCHEDULES_LEGEND = {
  outcome: 'how schedules end: the final state, a broken rule, a deadlock, or cut off at the step limit',
  count: 'schedules that ended so',
  share: 'of all schedules that were tried; says nothing of how often it happens on a machine',
  verdict: 'ok, interesting (asked for), forbidden, violation (a rule is broken), cut (nothing is said of it)',
  questions: "numbers of the file's questions whose condition holds there",
  first: 'number of the first schedule that ended so',
} as const;

/** Columns of `tune`. */
const TUNE_LEGEND = {
  interval: '95 % bootstrap interval of the number before it; none of one run',
  'of default': 'ratio to the default in the same repetition',
  runs: 'measurements',
} as const;

export type Legend = readonly (readonly [title: string, Readonly<Record<string, string>>])[];

const OF_RUNS: Legend = [
  ['Mechanisms', MECHANISMS_LEGEND],
  ['Columns of the mechanism table', MECHANISM_COLUMNS_LEGEND],
  ['Operations', OPS_LEGEND],
  ['Latencies', LATENCY_LEGEND],
];

/** Events of the run, as the dashboard counts them. */
const EVENTS_LEGEND = {
  written: "records that actors wrote into their workers' rings",
  delivered: 'of those, the records that were read',
  dropped: 'of those, the records that were overwritten before anybody had read them',
  'waits for room': 'times that a worker was held up because its ring was full (--lossless)',
  'worker 0 25 %': "how full that worker's ring is",
} as const;

const FIGURES_LEGEND = {
  'accesses/s': OPS_LEGEND.accesses,
  'stage-2 faults/s': OPS_LEGEND.stage2_faults,
  'notifiers/s': OPS_LEGEND.notifier_starts,
  'pinned pages unmapped/s': 'stage-2 entries of pinned pages that notifiers of any mechanism took away',
  'events dropped': EVENTS_LEGEND.dropped,
  violations: 'broken rules of this run, in all',
} as const;

const RACES_LEGEND = {
  violation: 'a rule was broken',
  'pinned page unmapped': 'a pinned page lost its stage-2 entry',
  'a retry saved the day': 'a fault saw that a notifier had run meanwhile, and began anew',
  'backed out': 'a mechanism left a page alone after it had begun',
} as const;

/** Everything that the dashboard's page counts. */
export const PAGE_LEGEND: Legend = [
  ['Figures', FIGURES_LEGEND],
  ...OF_RUNS,
  ['Events', EVENTS_LEGEND],
  ['Races', RACES_LEGEND],
];

/** By command: what its report shows. */
export const LEGENDS = {
  stress: OF_RUNS,
  dashboard: OF_RUNS,
  compare: [['Columns', COMPARE_LEGEND], ...OF_RUNS],
  tune: [['Columns', TUNE_LEGEND]],
  explore: [['Columns', SCHEDULES_LEGEND]],
  litmus: [['Columns', SCHEDULES_LEGEND]],
} as const satisfies Readonly<Record<string, Legend>>;
