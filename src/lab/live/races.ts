/**
 * How much racing there is. More throughput is not always more races: two actors that never meet on a page are fast and of no
 * use. So the metric counts
 *
 *   near-misses   different ones by kind, mechanism, actors and page (near-misses.ts);
 *   pairs         two steps of different actors that stand next to each other in the history of one page, at least one of
 *                 which changes the page's entries, frame, pins or content. A step is (actor, type of event). Once each
 *                 of the two has been seen directly before the other, the pair has been seen *in both orders*: the
 *                 machine has taken both outcomes of that race.
 *
 * "Next to each other" is judged by the last event of each page, in a table by the page's hash: two pages that share a slot
 * may hide a pair, never make one up. Both sets are bounded; beyond that nothing new is counted.
 */
import { EVENT, type EventName } from '../../events/table.js';

/** Events that only look, tell of waiting, or begin and end. */
const LOOKS: readonly EventName[] = [
  'sched_operation',
  'fault',
  'gup_failed',
  'page_alloc',
  'notifier_start',
  'notifier_end',
  'kvm_unmap',
  'stage2_fault',
  'stage2_retry',
  'tlb_flush',
  'numa_skip_pinned',
  'numa_hint_fault',
  'ksm_scan',
  'khugepaged_scan',
  'mmap',
  'account_locked_vm',
  'hypercall',
  'ipi_sync',
  'divergence',
  'lost_record',
  'lock_wait',
  'warn',
  'access',
  'mark',
];
/** Of these, what says nothing of a page's fate even beside a change. */
const NOISE: readonly EventName[] = ['sched_operation', 'lock_wait', 'mark', 'access', 'page_alloc'];

const CHANGES = new Uint8Array(256).fill(1);
for (const name of LOOKS) CHANGES[EVENT[name]] = 0;
const SILENT = new Uint8Array(256);
for (const name of NOISE) SILENT[EVENT[name]] = 1;

const SLOTS = 1 << 16;
const SET_MAX = 1 << 16;

export class RaceMeter {
  /** By page hash: the page, and its last step (actor << 8 | type) + 1. */
  readonly #pages = new Int32Array(SLOTS);
  readonly #steps = new Int32Array(SLOTS);
  /** By unordered pair of steps: 1 = the smaller first, 2 = the larger first, 3 = both. */
  readonly #orders = new Map<number, number>();
  readonly #nearMisses = new Set<string>();
  pairsBothOrders = 0;

  get pairs(): number {
    return this.#orders.size;
  }

  get distinct(): number {
    return this.#nearMisses.size;
  }

  /** The next event in merged order that names exactly one user page. */
  step(userPage: number, actor: number, type: number): void {
    if (SILENT[type] === 1) return;
    const slot = Math.imul(userPage, 0x9e3779b1) >>> 16;
    const step = ((actor << 8) | type) + 1;
    const before = this.#steps[slot] as number;
    this.#steps[slot] = step;
    if (this.#pages[slot] !== userPage) {
      this.#pages[slot] = userPage;
      return;
    }
    if (before === 0 || (before - 1) >> 8 === actor) return;
    if (CHANGES[type] === 0 && CHANGES[(before - 1) & 255] === 0) return;
    const first = before < step ? 1 : 2;
    const pair = before < step ? before * 2 ** 24 + step : step * 2 ** 24 + before;
    const seen = this.#orders.get(pair) ?? 0;
    if ((seen & first) !== 0 || (seen === 0 && this.#orders.size >= SET_MAX)) return;
    this.#orders.set(pair, seen | first);
    if ((seen | first) === 3) this.pairsBothOrders++;
  }

  /** Notes a near-miss. */
  nearMiss(kind: string, mechanism: string, actors: readonly number[], userPage: number): void {
    if (this.#nearMisses.size < SET_MAX) this.#nearMisses.add(`${kind} ${mechanism} ${actors.join(' ')} ${userPage}`);
  }
}
