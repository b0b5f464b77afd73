/**
 * What a scenario file may say. Files are YAML (JSON is YAML too); `src/lab/scenarios/` holds the shipped ones.
 * Keys carry their units; unknown keys are refused. Where a number of pages or vCPUs may be `recorded`, it is what
 * the recording has.
 */
import { z } from 'zod';
import { WORKLOADS } from '../../../actors/workload.js';
import { VCPUS_MAX, MEMSLOTS_MAX, WORKERS_MAX } from '../../machine/layout.js';
import { NOISE_NAMES } from '../../engine/host/noise.js';
import { MACHINE_LIMITS } from '../../machine/config.js';
import { KERNEL_FIXES } from './find-knobs.js';

const whole = (min: number, max: number) => z.int().min(min).max(max);
const limited = (key: keyof typeof MACHINE_LIMITS) => whole(MACHINE_LIMITS[key][0], MACHINE_LIMITS[key][1]);
const recorded = z.literal('recorded');
const pageNumber = whole(0, MACHINE_LIMITS.mmPages[1] - 1);
const pageCount = z.union([recorded, whole(1, MACHINE_LIMITS.mmPages[1])]);
const percent = whole(0, 100);
const micros = whole(0, 1_000_000_000);
const weight = whole(0, 1_000_000);

/** Protection and advice of a mapping; private anonymous memory throughout. */
const MAPPING_FLAGS = ['read', 'write', 'exec', 'mergeable', 'hugepage', 'nohugepage', 'numa-bound'] as const;
const SLOT_FLAGS = ['read-only', 'log-dirty-pages'] as const;

const MACHINE = z.strictObject({
  /** NUMA nodes. */
  nodes: limited('nodes').default(2),
  /** Frames of 4 KiB on each node; `recorded`: the recorded guest's pages and some more. */
  frames_per_node: z.union([recorded, limited('framesPerNode')]),
  /** log2 of the pages of a huge page. */
  thp_order: limited('thpOrder').default(9),
  /** Entries of a CPU's TLB. */
  tlb_entries: limited('tlbEntries').default(1024),
  /** Pages that a per-CPU free list takes or gives at once; 1 = no per-CPU lists. */
  pcp_batch: limited('pcpBatch').default(31),
  /** Pages in a per-CPU LRU batch; 0 = none. */
  lru_batch: limited('lruBatch').default(15),
  /** VMAs that a process can have. */
  vmas_per_process: limited('vmasPerMm').default(200),
  /** Pages of swap; 0 = none. */
  swap_pages: limited('swapSlots').default(0),
});

const MAPPING = z.strictObject({
  start: pageNumber,
  pages: pageCount,
  flags: z.array(z.enum(MAPPING_FLAGS)).default(['read', 'write']),
  /** Ranges within it, in order, that have other flags. */
  except: z
    .array(
      z.strictObject({
        start: pageNumber,
        pages: whole(1, MACHINE_LIMITS.mmPages[1]),
        flags: z.array(z.enum(MAPPING_FLAGS)),
      }),
    )
    .default([]),
});

const PROCESS = z.strictObject({
  /** RLIMIT_MEMLOCK. */
  memlock_pages: z.union([z.literal('unlimited'), whole(0, MACHINE_LIMITS.mmPages[1])]).default('unlimited'),
  mappings: z.array(MAPPING).min(1),
});

const SLOT = z.strictObject({
  first_gfn: whole(0, MACHINE_LIMITS.vmPages[1] - 1).default(0),
  pages: pageCount,
  /** Where the guest's pages stand in the process. */
  first_vpn: pageNumber.default(0),
  flags: z.array(z.enum(SLOT_FLAGS)).default([]),
});

const GUEST = z.strictObject({
  /** The process whose memory it has: its VMM. */
  process: whole(0, MACHINE_LIMITS.mms[1] - 1).default(0),
  vcpus: z.union([recorded, whole(1, VCPUS_MAX)]),
  /** A protected pKVM guest, where the policy has an EL2. */
  protected: z.boolean().default(false),
  slots: z.array(SLOT).min(1).max(MEMSLOTS_MAX),
  /**
   * What policy pinned-notifiers keeps pinned (a profiling buffer), in whole huge pages; cut to the guest where it
   * is smaller.
   */
  pinned_range: z
    .strictObject({
      first_gfn: whole(0, MACHINE_LIMITS.vmPages[1] - 1),
      pages: whole(1, MACHINE_LIMITS.vmPages[1]),
    })
    .optional(),
});

/** What every actor has. */
const ANY_ACTOR = {
  /** Of its report rows; several alike are numbered. Default: its kind. */
  name: z
    .string()
    .regex(/^[a-z][a-z0-9-]{0,30}$/, 'expected a name of small letters, digits and dashes')
    .optional(),
  /** The NUMA node of its CPU; absent = spread over the nodes in turn. */
  node: whole(0, MACHINE_LIMITS.nodes[1] - 1).optional(),
  /** It ends after so many operations; 0 = it runs on. */
  ops: whole(0, 1_000_000_000).default(0),
};
const SOME = { ...ANY_ACTOR, /** How many alike. */ count: whole(1, MACHINE_LIMITS.cpus[1]).default(1) };
const RANGE = {
  process: whole(0, MACHINE_LIMITS.mms[1] - 1).default(0),
  first_vpn: pageNumber.default(0),
  pages: pageCount,
};
const CONTENTS = {
  write_percent: percent.default(50),
  /** Writes of a content that others may hold too, and how many such contents there are. */
  duplicate_percent: percent.default(30),
  duplicate_kinds: whole(1, 1_000_000).default(64),
};

/** The actors. Loops and meaning: `actors/<kind>.ts`. */
const ACTOR = z.discriminatedUnion(
  'kind',
  [
    z.strictObject({
      kind: z.literal('vcpu'),
      ...ANY_ACTOR,
      guest: whole(0, MACHINE_LIMITS.vms[1] - 1).default(0),
      /** Replay the scenario's recording (vCPUs beyond the recorded ones are synthetic). */
      replay: z.boolean().default(true),
      window_records: whole(0, 1_000_000_000).default(1000),
      workload: z.enum(WORKLOADS).default('zipf'),
      first_gfn: whole(0, MACHINE_LIMITS.vmPages[1] - 1).default(0),
      pages: pageCount,
      ...CONTENTS,
      burst_accesses: whole(0, 1_000_000_000).default(0),
      pause_us: micros.default(100),
    }),
    z.strictObject({
      kind: z.literal('vmm'),
      ...SOME,
      ...RANGE,
      ...CONTENTS,
      touch_weight: weight.default(94),
      balloon_weight: weight.default(3),
      mprotect_weight: weight.default(3),
      collapse_weight: weight.default(0),
      touch_pages: whole(1, 1_000_000).default(4),
      balloon_pages: whole(1, 1_000_000).default(16),
      mprotect_pages: whole(1, 1_000_000).default(8),
      readonly_percent: percent.default(20),
      pause_us: micros.default(1000),
    }),
    z.strictObject({
      kind: z.literal('dma'),
      ...SOME,
      ...RANGE,
      ...CONTENTS,
      /** Where short-lived batches come from; absent = the whole range. */
      ring: z.strictObject({ first_vpn: pageNumber, pages: whole(1, MACHINE_LIMITS.mmPages[1]) }).optional(),
      /** Of the short-lived batches, those that are pinned where scanners are at work. */
      follow_percent: percent.default(0),
      batch_pages: whole(1, 4096).default(8),
      hold_batches: whole(1, 4096).default(16),
      long_every: whole(0, 1_000_000).default(8),
      long_batches: whole(1, 4096).default(64),
      pause_us: micros.default(1000),
    }),
    z.strictObject({
      kind: z.literal('driver'),
      ...SOME,
      ...RANGE,
      pause_us: micros.default(1000),
    }),
    z.strictObject({
      kind: z.literal('ksmd'),
      ...ANY_ACTOR,
      pages_to_scan: whole(1, 1_000_000).default(100),
      sleep_us: micros.default(20_000),
    }),
    z.strictObject({
      kind: z.literal('khugepaged'),
      ...ANY_ACTOR,
      pages_to_scan: whole(1, 1_000_000).default(4096),
      sleep_us: micros.default(10_000_000),
    }),
    z.strictObject({
      kind: z.literal('kswapd'),
      ...SOME,
      batch_pages: whole(1, 1_000_000).default(32),
      free_percent: percent.default(100),
      sleep_us: micros.default(1_000),
    }),
    z.strictObject({
      kind: z.literal('numa-balancer'),
      ...SOME,
      process: RANGE.process,
      period_us: micros.default(1_000_000),
      scan_pages: whole(1, 1 << 24).default(65_536),
    }),
  ],
  { error: (issue) => (issue.code === 'invalid_union' ? `expected one of ${ACTOR_KIND_NAMES.join(', ')}` : undefined) },
);

/** The kinds that a scenario may name; EL2 instances come from the policy. */
const ACTOR_KIND_NAMES = ['vcpu', 'vmm', 'dma', 'driver', 'ksmd', 'khugepaged', 'kswapd', 'numa-balancer'] as const;

/** How `setWorkers` names placements (lab/live/types.ts, PlacementScheme). */
const PLACEMENT_SCHEMES = ['balanced', 'apart', 'el2-apart'] as const;

/** How `stress`, `compare` and `dashboard` run it unless an option says otherwise; `tune --apply` writes it. */
export const ENGINE = z.strictObject({
  /** Worker threads; absent = one per actor. More than actors are cut down. */
  workers: whole(1, WORKERS_MAX).optional(),
  /** How actors are spread over workers; or the actors of each worker by name, others where the fewest are. */
  placement: z
    .union([z.enum(PLACEMENT_SCHEMES), z.array(z.array(z.string()).min(1)).min(1).max(WORKERS_MAX)])
    .optional(),
  /** Before `el2_instances` of the scenario: EL2 contexts where the policy has an EL2. */
  el2_instances: whole(1, 64).optional(),
  /** Schedule points that an actor passes before the next one of its worker has its turn. */
  quantum: whole(1, 1_000_000).optional(),
  /** How long a worker runs before it looks at its messages. */
  slice_us: whole(10, 1_000_000).optional(),
  /** How much of their time the noise maker holds actors up: a word for a percentage (engine/host/noise.ts). */
  noise: z.enum(NOISE_NAMES).optional(),
  /** Looks at the words its actors wait for before a worker sleeps. */
  spin_turns: whole(0, 1_000_000).optional(),
  /** Events that a worker's ring holds: a power of two. */
  ring_records: whole(64, 1 << 22)
    .refine((value) => Number.isInteger(Math.log2(value)), 'expected a power of two')
    .optional(),
});

export type EngineSection = z.infer<typeof ENGINE>;

export const SCENARIO = z.strictObject({
  /** One line for `pinfall list`. */
  title: z.string().min(1).max(200),
  /** The policy to run when none is named. */
  policy: z.string().optional(),
  /** A shipped recording, or a folder beside the file. */
  recording: z.string().nullable().default(null),
  machine: MACHINE,
  processes: z.array(PROCESS).min(1).max(MACHINE_LIMITS.mms[1]),
  guests: z.array(GUEST).max(MACHINE_LIMITS.vms[1]).default([]),
  knobs: z.prefault(
    z.strictObject({
      ksm_smart_scan: z.boolean().default(true),
      ksm_use_zero_pages: z.boolean().default(false),
      thp_enabled: z.enum(['never', 'madvise', 'always']).default('madvise'),
      /** Empty entries that khugepaged fills up; absent = all but one of a huge page. */
      max_ptes_none: whole(0, 511).optional(),
      /** Reclaim and migration defer TLB flushes, where the release does; and a change that no kernel has yet (lab/finds). */
      tlbbatch: z.boolean().default(true),
      fix: z.enum(KERNEL_FIXES).default('none'),
    }),
    {},
  ),
  /** EL2 instances where the policy has an EL2: 0 = one per vCPU thread and one more; fewer serialise. */
  el2_instances: whole(0, 64).default(0),
  /** A second notifier subscriber on process 0, GPU-driver style. */
  second_subscriber: z.boolean().default(false),
  /** Frames broken before the run, and ranges [from, to) in ZONE_MOVABLE. */
  poisoned_frames: z.array(whole(1, MACHINE_LIMITS.framesPerNode[1] - 1)).default([]),
  unpinnable_frames: z
    .array(z.tuple([whole(0, MACHINE_LIMITS.framesPerNode[1]), whole(1, MACHINE_LIMITS.framesPerNode[1])]))
    .default([]),
  /** Fixed oracles; absent = what the command takes by default. */
  oracles: z.enum(['off', 'local', 'all']).optional(),
  engine: z.prefault(ENGINE, {}),
  actors: z.array(ACTOR).min(1).max(MACHINE_LIMITS.cpus[1]),
});

export type ScenarioFile = z.infer<typeof SCENARIO>;
export type ActorEntry = ScenarioFile['actors'][number];
