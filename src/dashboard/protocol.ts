/**
 * What server and page say to each other: types only, for both sides. Server to page: Server-Sent Events, by name. Page to
 * server: POST /api/command with a {@link Command}. Numbers are totals since the run began; the page makes rates of them.
 */
import type { ActorNow, KnobInfo, PageEvent, PageInfo, Placement } from '../lab/live/types.js';

/** Names of the events that carry messages. */
export type MessageName = 'hello' | 'state' | 'metrics' | 'actors' | 'memory' | 'race' | 'schedule' | 'tick' | 'gap';

/** The life of a run, as the page shows it. */
export type RunStatus = 'starting' | 'running' | 'paused' | 'stepping' | 'stopping' | 'ended';

/** First on each connection. */
export interface HelloMessage {
  readonly version: string;
  /** Who owns the run: under `stress` it cannot be restarted. */
  readonly owner: 'dashboard' | 'stress';
  readonly scenarios: readonly { readonly name: string; readonly title: string }[];
  readonly policies: readonly { readonly id: string; readonly title: string }[];
  readonly mechanisms: readonly string[];
  /** Names of the counters in {@link MetricsMessage.ops}, in their order. */
  readonly ops: readonly string[];
  readonly latencies: readonly string[];
  /** Names of a mechanism's counters in {@link MetricsMessage.mechanisms}, in their order. */
  readonly mechanismCounters: readonly string[];
  /** Names of the bytes of a memory frame. */
  readonly pageStates: readonly string[];
  readonly state: StateMessage;
  /** Seconds between two metrics messages. */
  readonly interval_s: number;
  /** What every number of the page counts, in groups with a title. */
  readonly legend: readonly (readonly [title: string, Readonly<Record<string, string>>])[];
  /** Whether a finished sweep is there to be shown (GET /api/sweep). */
  readonly sweep: boolean;
}

/** What runs; sent whenever it changes. */
export interface StateMessage {
  readonly status: RunStatus;
  /** Counts this server's runs, from 1; 0 = none yet. */
  readonly run: number;
  readonly scenario: string;
  readonly policy: string;
  readonly seed: number;
  readonly actors: readonly ActorRow[];
  readonly placement: Placement;
  readonly vms: readonly { readonly vm: number; readonly pages: number }[];
  readonly knobs: readonly KnobInfo[];
  /** What this run can do beside start, pause and stop. */
  readonly can: {
    readonly restart: boolean;
    readonly step: boolean;
    readonly place: boolean;
    readonly memory: boolean;
  };
  /** How the run ended. */
  readonly end: { readonly kind: string; readonly detail: string } | null;
  /** The last thing that was done, in a line. */
  readonly note: string;
}

interface ActorRow {
  readonly name: string;
  readonly kind: string;
  readonly tier: string;
  readonly node: number;
}

/** Totals since the run began; once per interval. */
export interface MetricsMessage {
  readonly run: number;
  readonly elapsed_s: number;
  /** By {@link HelloMessage.ops}. */
  readonly ops: readonly number[];
  /** By {@link HelloMessage.mechanisms}, each by {@link HelloMessage.mechanismCounters}. */
  readonly mechanisms: readonly (readonly number[])[];
  /** By {@link HelloMessage.latencies}: count, p50, p99, max in microseconds. */
  readonly latencies: readonly (readonly number[])[];
  readonly events: EventTotals;
  /** How full each worker's ring is; absent where nobody can tell. */
  readonly rings?: readonly RingNow[];
  readonly violations: number;
  /** Near-misses by `<kind> <mechanism>`. */
  readonly nearMisses: Readonly<Record<string, number>>;
}

export interface EventTotals {
  readonly written: number;
  readonly delivered: number;
  readonly dropped: number;
  readonly waits: number;
}

/** A worker's ring of events. */
export interface RingNow {
  readonly worker: number;
  /** Records that stand in it, and that it can hold. */
  readonly records: number;
  readonly capacity: number;
}

/** What all actors do now. Not kept: a page that missed one gets the next. */
export interface ActorsMessage {
  readonly run: number;
  readonly at_s: number;
  readonly actors: readonly ActorNow[];
}

/** A look at a guest's memory was taken: GET /api/memory/<vm>/<frame>. */
export interface MemoryMessage {
  readonly run: number;
  readonly vm: number;
  readonly frame: number;
  readonly at_s: number;
  /** The oldest frame of this guest that the server still has. */
  readonly oldest: number;
  /** Pages in each state, by {@link HelloMessage.pageStates}. */
  readonly counts: readonly number[];
}

export type RaceKind = 'violation' | 'pinned_unmap' | 'retry_saved' | 'back_out';

/** A violation or a near-miss. */
export interface RaceMessage {
  readonly run: number;
  /** Unique in this server's life. */
  readonly id: number;
  readonly kind: RaceKind;
  readonly at_s: number;
  /** The invariant, or the kind in words. */
  readonly title: string;
  readonly what: string;
  /** Whose notifier windows are in the picture. */
  readonly mechanisms: readonly string[];
  /** Which one of its kind and mechanism this is, counted from 1: those in between had no diagram. 0 = not counted. */
  readonly count: number;
  /** Text, a column per actor. */
  readonly diagram: string;
  /** Where its schedule can be had; empty when the explorer has none. */
  readonly schedule: string;
}

/** What the explorer makes of the first violation of an invariant, in the background. */
export interface ScheduleMessage {
  readonly run: number;
  readonly invariant: string;
  readonly status: 'searching' | 'found' | 'not found';
  /** Where it can be had; empty unless found. */
  readonly schedule: string;
  /** One line: which rule the schedule breaks, or why there is none. */
  readonly note: string;
}

export interface TickMessage {
  /** The number of the newest kept message. */
  readonly newest: number;
  readonly life: string;
  readonly at: number;
}

/** Messages are lost to this page. */
export interface GapMessage {
  /** How many; -1 = unknown: the server is another one than before. */
  readonly missed: number;
}

/** GET /api/page/<vm>/<gfn>: what the page is now, and what became of it lately, oldest first. */
export interface PageAnswer {
  readonly page: PageInfo;
  readonly history: readonly PageEvent[];
  /** When, seconds of the run, and the frame of the map that was taken with it (?map=1); null: none was. */
  readonly at_s: number;
  readonly frame: number | null;
}

/** POST /api/command. */
export type Command =
  | { readonly type: 'start' | 'pause' | 'resume' | 'stop' | 'audit' }
  | { readonly type: 'step'; readonly actor: string; readonly steps?: number | undefined }
  | { readonly type: 'knob'; readonly name: string; readonly value: number }
  | { readonly type: 'workers'; readonly count: number; readonly scheme?: PlacementName | undefined }
  | { readonly type: 'move'; readonly actor: string; readonly worker: number }
  | {
      readonly type: 'restart';
      readonly scenario?: string | undefined;
      readonly policy?: string | undefined;
      readonly seed?: number | undefined;
      readonly workers?: number | undefined;
    };

export type PlacementName = 'balanced' | 'apart' | 'el2-apart';

/** The answer to a command: 200 when it was done, 400 when it makes no sense, 409 when not now. */
export interface CommandAnswer {
  readonly ok: boolean;
  /** What was done, or why not. */
  readonly message: string;
  /** Of a step: what was done, and what comes next, line by line. */
  readonly lines?: readonly string[];
}
