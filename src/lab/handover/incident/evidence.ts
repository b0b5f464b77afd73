/** What is kept of a run's violations for the explorer: the first one of each invariant, with the log of that moment. */
import { lastRecords } from '../../../events/ring-history.js';
import { mergeRecords } from '../../../trace/merge.js';
import type { Violation } from '../../../oracle/violation.js';
import type { Base, DrainedStates } from './drained.js';

export interface Evidence {
  readonly violation: Violation;
  /** In merged order. */
  readonly records: Int32Array;
  /** The last state of rest before it, and the log since then; null: unknown. */
  readonly base?: Base | null;
  /** The run was ending: found while VMs and processes were torn down, or after. */
  readonly ending?: boolean;
}

export class EvidenceLog {
  readonly #first = new Map<string, Evidence>();
  readonly #drained: DrainedStates | null;

  constructor(drained: DrainedStates | null = null) {
    this.#drained = drained;
  }

  /** By invariant, in the order found. */
  get all(): readonly Evidence[] {
    return [...this.#first.values()];
  }

  of(invariant: string): Evidence | undefined {
    return this.#first.get(invariant);
  }

  /** At once: a ring that records goes on, and forgets. @param most records kept of each ring */
  note(violation: Violation, rings: readonly SharedArrayBuffer[], most: number, ending = false): void {
    if (this.#first.has(violation.invariant)) return;
    const records = mergeRecords(rings.map((ring) => lastRecords(ring, most)));
    const base = this.#drained?.base(rings) ?? null;
    this.#first.set(violation.invariant, { violation, records, base, ending });
  }
}
