/**
 * Counts events by mechanism and page, for questions that no counter of the machine answers: `notifier_starts(ksm, a)`,
 * `stage2_unmaps(G, 0)`. A filter in front of the real writer; there only when a question asks.
 */
import type { EventWriter } from '../../machine/context.js';
import type { Machine } from '../../machine/layout.js';
import { EVENT } from '../../events/table.js';
import { MECHANISMS } from '../../machine/mechanisms.js';

/** What a tally is of: sizes only. */
type Sizes = Pick<Machine, 'mms' | 'mmPages' | 'vms' | 'vmPages'>;

export class Tally implements EventWriter {
  /** notifier_start by (mm, page, mechanism). */
  readonly #starts: Int32Array;
  /** stage2_unmap by (vm, gfn). */
  readonly #unmaps: Int32Array;
  readonly #sizes: Sizes;
  to: EventWriter | null = null;

  /** @param buffer of {@link Tally.bytes}; shared memory, where several threads count into one tally */
  constructor(sizes: Sizes, buffer: ArrayBufferLike = new ArrayBuffer(Tally.bytes(sizes))) {
    this.#sizes = sizes;
    const starts = sizes.mms * sizes.mmPages * MECHANISMS.length;
    this.#starts = new Int32Array(buffer, 0, starts);
    this.#unmaps = new Int32Array(buffer, 4 * starts, sizes.vms * sizes.vmPages);
  }

  static bytes(sizes: Sizes): number {
    return 4 * (sizes.mms * sizes.mmPages * MECHANISMS.length + sizes.vms * sizes.vmPages);
  }

  reset(): void {
    this.#starts.fill(0);
    this.#unmaps.fill(0);
  }

  write(type: number, actor: number, time: number, a: number, b: number, c: number, d: number): void {
    if (type === EVENT.notifier_start) {
      for (let vpn = Math.max(0, b), end = Math.min(c, this.#sizes.mmPages); vpn < end; vpn++) {
        Atomics.add(this.#starts, (a * this.#sizes.mmPages + vpn) * MECHANISMS.length + d, 1);
      }
    } else if (type === EVENT.stage2_unmap) {
      Atomics.add(this.#unmaps, a * this.#sizes.vmPages + b, 1);
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
