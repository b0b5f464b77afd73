/**
 * Counts events by mechanism and page, for questions that no counter of the machine answers: `notifier_starts(ksm, a)`,
 * `stage2_unmaps(G, 0)`. A filter in front of the real writer; there only when a question asks.
 */
import type { EventWriter } from '../../machine/context.js';
import type { Machine } from '../../machine/layout.js';
import { EVENT } from '../../events/table.js';
import { MECHANISMS } from '../../machine/abi.js';

/** What a tally is of: sizes only. */
type Sizes = Pick<Machine, 'mms' | 'mmPages' | 'vms' | 'vmPages'>;

export class Tally implements EventWriter {
  /** notifier_start by (mm, page, mechanism). */
  readonly #starts: Int32Array;
  /** stage2_unmap by (vm, gfn). */
  readonly #unmaps: Int32Array;
  readonly #sizes: Sizes;
  to: EventWriter | null = null;

  constructor(sizes: Sizes) {
    this.#sizes = sizes;
    this.#starts = new Int32Array(sizes.mms * sizes.mmPages * MECHANISMS.length);
    this.#unmaps = new Int32Array(sizes.vms * sizes.vmPages);
  }

  reset(): void {
    this.#starts.fill(0);
    this.#unmaps.fill(0);
  }

  write(type: number, actor: number, time: number, a: number, b: number, c: number, d: number): void {
    if (type === EVENT.notifier_start) {
      for (let vpn = Math.max(0, b), end = Math.min(c, this.#sizes.mmPages); vpn < end; vpn++) {
        const at = (a * this.#sizes.mmPages + vpn) * MECHANISMS.length + d;
        this.#starts[at] = (this.#starts[at] as number) + 1;
      }
    } else if (type === EVENT.stage2_unmap) {
      const at = a * this.#sizes.vmPages + b;
      this.#unmaps[at] = (this.#unmaps[at] as number) + 1;
    }
    this.to?.write(type, actor, time, a, b, c, d);
  }

  /** Notifiers that covered the page; of mechanism -1: of all of them. */
  starts(mechanism: number, mm: number, vpn: number): number {
    const at = (mm * this.#sizes.mmPages + vpn) * MECHANISMS.length;
    if (mechanism >= 0) return this.#starts[at + mechanism] as number;
    let sum = 0;
    for (let i = 0; i < MECHANISMS.length; i++) sum += this.#starts[at + i] as number;
    return sum;
  }

  /** Stage-2 entries of the guest page that were taken. */
  unmaps(vm: number, gfn: number): number {
    return this.#unmaps[vm * this.#sizes.vmPages + gfn] as number;
  }
}
