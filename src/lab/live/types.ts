/**
 * What a running simulation shows and takes: the types of `Simulation`'s live methods (lab/run/simulation.ts). All of it is plain
 * data that survives JSON, so that a page can be served with it.
 */

/* ---- who runs where ---- */

/** How a worker runs its actors: `blocking` with one actor, `coroutines` with several, or while stepping. */
export type WorkerForm = 'blocking' | 'coroutines';

/** One worker thread that hosts actors. */
interface WorkerNow {
  readonly worker: number;
  readonly threadId: number;
  readonly form: WorkerForm;
  /** Names, in the plan's order. */
  readonly actors: readonly string[];
}

/** `Simulation.placement()`: the workers that host actors now. */
export interface Placement {
  /** How many workers host actors. */
  readonly workers: number;
  /** The most that this run can have: one per actor. */
  readonly workersMax: number;
  readonly rows: readonly WorkerNow[];
}

/**
 * How `setWorkers` spreads actors:
 *
 *   balanced      clients round robin, daemons where the fewest are, EL2 beside its callers (what a run starts with)
 *   apart         CPUs (clients) share workers among each other, daemons theirs, EL2 its own, as far as the count allows
 *   el2-apart     as balanced, but EL2 instances on workers without other actors
 */
export type PlacementScheme = 'balanced' | 'apart' | 'el2-apart';

/** What a move of actors did. */
export interface MoveResult {
  readonly placement: Placement;
  /** Names of the actors that changed worker, or form in place. */
  readonly moved: readonly string[];
  /** Violations that the audit after the move found: 0 proves that nothing was lost. */
  readonly violations: number;
  /** From the command until actors ran again, milliseconds. */
  readonly tookMs: number;
}

/* ---- pause, resume, step ---- */

/** `stepping`: paused, and every actor stands at a schedule point that `step` can pass. */
export type RunState = 'running' | 'paused' | 'stepping' | 'ended';

/** One schedule point of one actor: `acquire PTL of table 3`. */
export interface StepPoint {
  /** read, write, update, acquire, release, local, wait for lock, wait for word, idle, sleep, top of loop. */
  readonly effect: string;
  /** `PTL of table 3`; empty for effects without a word. */
  readonly word: string;
  /** Both together. */
  readonly text: string;
}

/** What `Simulation.step` did. */
export interface StepInfo {
  readonly actor: string;
  /** False: it waits (see `waits`) or has returned, and nothing was done. */
  readonly moved: boolean;
  /** The effect that this step carried out; null when the actor had not run before. */
  readonly did: StepPoint | null;
  /** What the next step will do, or what the actor waits for; null when it has returned. */
  readonly next: StepPoint | null;
  /** The simulated function it stands in now, and its callers, innermost first: `zapPteRange`, `zapPageRange`, ... */
  readonly stack: readonly string[];
  /** Events that the step wrote, in words. */
  readonly events: readonly string[];
  /** When it waits: for what, and who holds that. */
  readonly waits: ActorWait | null;
}

/* ---- knobs ---- */

export interface KnobInfo {
  /** What `setKnob` takes: `quantum`, `ksm_run`, `ksmd.sleep_us`. */
  readonly name: string;
  /** engine, kernel, or the actor's name. */
  readonly group: string;
  readonly value: number;
  /** schedule points, us, pages, %, batches, 0/1, ... */
  readonly unit: string;
  readonly min: number;
  readonly max: number;
  readonly description: string;
  /** `live`: from the next turn on. `restart`: fixed for this run. */
  readonly takes: 'live' | 'restart';
}

/* ---- lanes ---- */

/** What an actor waits for. */
export interface ActorWait {
  /** `PTL of table 3`. */
  readonly what: string;
  readonly lock: boolean;
  /** It waits for work between two operations, and holds up nobody. */
  readonly idle: boolean;
  /** Who holds it, when it is a lock; empty for a word that somebody shall change. */
  readonly holders: readonly { readonly name: string; readonly mode: 'read' | 'write' }[];
}

/** One actor, as its record in shared memory says: a look in passing, at no cost to the run. */
export interface ActorNow {
  readonly name: string;
  readonly kind: string;
  readonly tier: 'client' | 'daemon' | 'server';
  readonly worker: number;
  readonly form: WorkerForm;
  /** False once its worker thread has ended. */
  readonly alive: boolean;
  /** runnable, blocked (in the middle of an operation), idle, asleep, returned, threw, absent. */
  readonly state: string;
  /** What it did last, in the words of race diagrams: its newest event (`stage2_map(gfn 0x12): pfn 0x4d`); else its last point. */
  readonly doing: string;
  readonly waits: ActorWait | null;
  readonly held: readonly { readonly name: string; readonly mode: 'read' | 'write' }[];
  /** Resumes so far, and operations completed: both only grow, mod 2^32. */
  readonly steps: number;
  readonly progress: number;
  /** Retries since its last progress. */
  readonly retries: number;
  /**
   * Since when `steps` and `progress` have stood still although it is not idle, milliseconds of this run, as far as looks have
   * seen; null = it moves, or has stood still for less than 100 ms.
   */
  readonly stuckSinceMs: number | null;
}

/* ---- memory ---- */

/**
 * A guest page's state in `Simulation.memoryMap`, the first that holds, from the last of these on: a page that is pinned and
 * huge shows as pinned. `PAGE_STATES[byte]` is its name.
 */
export const PAGE_STATES = [
  'none',
  'mapped',
  'huge',
  'ksm',
  'prot_none',
  'pinned',
  'migrating',
  'swapped',
  'unmapped_pinned',
  'no_slot',
] as const;
export type PageStateName = (typeof PAGE_STATES)[number];

/** One way in which a page is named by a page table. */
export interface EntryInfo {
  /** The raw word, unsigned. */
  readonly entry: number;
  /** `pfn 0x12 RW`, `PROT_NONE pfn 0x12`, `migration entry pfn 0x12`, `none`. */
  readonly text: string;
}

/** `Simulation.page(vm, gfn)`: read from shared memory while everybody runs, so fields may be of different moments. */
export interface PageInfo {
  readonly vm: number;
  readonly gfn: number;
  readonly state: PageStateName;
  /** Its place in the VMM's memory; -1 = in no memslot. */
  readonly mm: number;
  readonly vpn: number;
  /** The host's frame, or stage 2's when the host maps none; -1 = none. */
  readonly pfn: number;
  readonly host: EntryInfo;
  readonly stage2: EntryInfo;
  /** Of the folio: reference count, mappings, pins; 0 without a frame. */
  readonly refs: number;
  readonly mappings: number;
  readonly pins: number;
  /** PG_* names of the frame: `lru`, `dirty`, ... */
  readonly flags: readonly string[];
  /** order 0, or a large folio's, and its head. */
  readonly order: number;
  readonly head: number;
  /** KSM: how many pages share the frame; 0 = it is no KSM page. */
  readonly ksmSharers: number;
  /** The page's content word, unsigned. */
  readonly content: number;
}

/** An event that concerned a page. */
export interface PageEvent {
  /** Lamport time. */
  readonly time: number;
  readonly actor: string;
  readonly type: string;
  /** In words. */
  readonly text: string;
  /** What a reader should notice; often empty. */
  readonly note: string;
}

/* ---- near-misses ---- */

/**
 *   pinned_unmap   a pinned page was unmapped at stage 2
 *   retry_saved    mmu_invalidate_retry: a fault saw that an invalidation had come in between, and went back
 *   back_out       somebody (KSM, migration, a split, a collapse) found a pin or a reference late, and gave up
 */
const NEAR_MISS_KINDS = ['pinned_unmap', 'retry_saved', 'back_out'] as const;
export type NearMissKind = (typeof NEAR_MISS_KINDS)[number];

export interface NearMiss {
  readonly kind: NearMissKind;
  /** Counted per run, from 1: of this kind and mechanism, this one included. Those in between had no diagram. */
  readonly count: number;
  /** numa_scan, ksm, ...: whose invalidation it was. */
  readonly mechanism: string;
  /** Names: who did it first, who was hit (or saved) then. */
  readonly actors: readonly string[];
  readonly vm: number;
  readonly gfn: number;
  readonly pfn: number;
  /** Lamport time. */
  readonly time: number;
  /** Seconds since the run's first step. */
  readonly at_s: number;
  /** As violations have it: a column per actor, ready to paste. */
  readonly diagram: string;
}

/** How much racing there is; counted over the events that were delivered. */
export interface RaceCounts {
  /** Near-misses so far by `<kind> <mechanism>`. */
  readonly nearMisses: Readonly<Record<string, number>>;
  readonly total: number;
  /** Different ones: by kind, mechanism, actors and page. */
  readonly distinct: number;
  /** Near-misses that had no diagram, to keep the rate bounded. */
  readonly withoutDiagram: number;
  /**
   * Pairs of conflicting steps seen in both orders: (actor and type of event, actor and type of event) on one page, of
   * which one changes it, each seen directly before the other.
   */
  readonly pairsBothOrders: number;
  /** Pairs seen in one order at least. */
  readonly pairs: number;
  /** Over the last whole second: distinct near-misses and new pairs in both orders. */
  readonly distinctPerSecond: number;
  readonly pairsPerSecond: number;
}

/** How full a worker's event ring is. */
export interface RingNow {
  readonly worker: number;
  /** Records that nobody has taken yet, and room for how many there is. */
  readonly records: number;
  readonly capacity: number;
}
