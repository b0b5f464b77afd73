/** What is kept of a run's violations for the explorer: the first one of each invariant, with the log of that moment. */
import { lastRecords } from '../../events/ring.js';
import { mergeRecords } from '../../trace/merge.js';
import type { ReportViolation } from '../report.js';

export interface Evidence {
  readonly violation: ReportViolation;
  /** In merged order. */
  readonly records: Int32Array;
}

export class EvidenceLog {
  readonly #first = new Map<string, Evidence>();

  /** By invariant, in the order found. */
  get all(): readonly Evidence[] {
    return [...this.#first.values()];
  }

  /** At once: a ring that records goes on, and forgets. @param most records kept of each ring */
  note(violation: ReportViolation, rings: readonly SharedArrayBuffer[], most: number): void {
    if (this.#first.has(violation.invariant)) return;
    const records = mergeRecords(rings.map((ring) => lastRecords(ring, most)));
    this.#first.set(violation.invariant, { violation, records });
  }
}
