/** What is known of a violation on real threads: the pages in question, the events that name them, and how they stood. */
import type { Plan } from '../../../plan/plan.js';
import type { Violation } from '../../../oracle/violation.js';
import type { PinfallEvent } from '../../../trace/event.js';

/** What an incident is begun with. */
export type Suspicion = Pick<Violation, 'invariant' | 'actor' | 'time' | 'mm' | 'vpn' | 'vm' | 'gfn' | 'pfn'>;

export interface IncidentPage {
  readonly mm: number;
  readonly vpn: number;
}

/** An event that names a page of the incident. */
export interface Fact {
  readonly event: PinfallEvent;
  /** Indices into the incident's pages. */
  readonly pages: readonly number[];
}

export interface Incident {
  readonly plan: Plan;
  readonly suspicion: Suspicion;
  /** The page in question first. Of a huge page: its two halves stand for all of it. */
  readonly pages: readonly IncidentPage[];
  /** The pages are the halves of one huge page. */
  readonly huge: boolean;
  /** In merged order, a little beyond the violation too: what was under way then ends there. */
  readonly facts: readonly Fact[];
  /** Time of the violation. */
  readonly until: number;
  /** The pages as they stood at the last drain, and what has happened to them since; null: no copy of that is there. */
  readonly sinceDrain: SinceDrain | null;
  /** Found while VMs and processes were torn down, or after that. */
  readonly ending: boolean;
  /** Of which page the first one only has the place: no event names that page, or nothing says which it was. Null: of none. */
  readonly standsFor: IncidentPage | 'unknown' | null;
}

export interface SinceDrain {
  readonly drain: number;
  readonly states: readonly PageState[];
  /** When it begins: the first time after the drain. */
  readonly time: number;
  /** Since then; all of it where `complete`. */
  readonly facts: readonly Fact[];
  readonly complete: boolean;
}

export interface PageState {
  readonly mapped: boolean;
  /** At stage 2, and only to be read there. */
  readonly guest: boolean;
  readonly guestReadOnly: boolean;
  readonly huge: boolean;
  readonly protnone: boolean;
  readonly merged: boolean;
  /** The zero page, huge or not. */
  readonly zero: boolean;
  readonly swapped: boolean;
  readonly node: number;
  /** Pages of the same number hold the same; 0 = zeroes, -1 = unknown. */
  readonly content: number;
  /** FOLL_PIN holders that are not KVM. */
  readonly pins: number;
  /** VM_* of the VMA; -1 = those of the scenario. */
  readonly flags: number;
}
