/**
 * Totals that only grow. The machine counts in 32-bit words, which wrap in an hour; and a restart begins at 0. So each look
 * at the counters gives what they grew by, and that is summed here: by run for the page, over all runs for Prometheus.
 */
const WRAP = 2 ** 32;

/** How much a 32-bit counter grew between two looks. */
function growth(now: number, before: number): number {
  const grown = now - before;
  return grown >= 0 ? grown : grown + WRAP * Math.ceil(-grown / WRAP);
}

/** A row of counters that were looked at before. */
export class Totals {
  readonly totals: number[];
  #last: readonly number[];

  constructor(counters: number) {
    this.totals = Array.from({ length: counters }, () => 0);
    this.#last = this.totals.slice();
  }

  /** Takes a new look; returns what each counter grew by. */
  look(now: readonly number[]): number[] {
    const grown = now.map((value, index) => growth(value, this.#last[index] ?? 0));
    grown.forEach((by, index) => (this.totals[index] = (this.totals[index] ?? 0) + by));
    this.#last = now;
    return grown;
  }
}
