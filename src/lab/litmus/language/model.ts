/** A litmus test whose names are looked up: processes and guests with their numbers, mappings with their pages, columns with their calls. */
import type { LitmusCall, LitmusTask } from '../../../plan/litmus.js';
import type { LitmusOperation } from '../../../../actors/litmus/row.js';
import type { Span } from './ast.js';

export interface MappingModel {
  readonly name: string;
  readonly kind: 'anon' | 'shared' | 'pfnmap';
  /** Pages [start, start + pages) of its process. */
  readonly start: number;
  readonly pages: number;
  /** VM_* bits. */
  readonly flags: number;
  /** Shared memory object, or -1. */
  readonly object: number;
  /** Only declared: an operation maps it. */
  readonly unmapped: boolean;
}

export interface ProcessModel {
  readonly name: string;
  readonly mm: number;
  /** RLIMIT_MEMLOCK in pages, -1 = unlimited. */
  readonly memlock: number;
  /** Its own; of a process that is forked into, its parent's. */
  mappings: readonly MappingModel[];
  /** Whether it was declared empty. */
  readonly empty: boolean;
  /** The process that forks into it. */
  parent: ProcessModel | null;
}

export interface SlotModel {
  readonly id: number;
  readonly gfn: number;
  readonly pages: number;
  readonly vpn: number;
  /** KVM_MEM_*. */
  readonly flags: number;
  readonly unset: boolean;
  /** Policy pinned-notifiers keeps its pages pinned. */
  readonly pinned: boolean;
}

export interface VmModel {
  readonly name: string;
  readonly vm: number;
  readonly process: ProcessModel;
  readonly vcpus: number;
  readonly protected: boolean;
  readonly unborn: boolean;
  readonly slots: readonly SlotModel[];
}

/** Who does operations: a column's actor, or who a line of `init` names. */
export interface ActorModel {
  /** As messages say it: `cpu0`. */
  readonly name: string;
  /** unknown: it is of nothing that the file declares, which was told; what it does is not judged. */
  readonly kind: 'task' | 'vcpu' | 'daemon' | 'unknown';
  readonly process: ProcessModel | null;
  readonly vm: VmModel | null;
  readonly task: LitmusTask;
}

/** A named result. */
export interface ResultModel {
  readonly name: string;
  /** The column that sets it; -1 = set-up. */
  readonly column: number;
  readonly register: number;
  readonly kind: LitmusOperation['result'];
  readonly at: Span;
}

export interface ColumnModel extends ActorModel {
  readonly node: number;
  readonly calls: LitmusCall[];
}

/** What the run shall find. */
export type Expectation =
  | { readonly kind: 'violation'; readonly invariant: string }
  | { readonly kind: 'deadlock' | 'livelock' };
