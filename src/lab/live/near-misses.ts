/**
 * Near-misses: what would have been a race if the kernel had not been careful, read out of the events in merged order.
 *
 *   pinned_unmap   stage2_unmap of a pinned page. Whose: the notifier window that the unmapping actor has open; hit is who
 *                  pinned the frame last.
 *   retry_saved    stage2_retry of a fault on a page over which another actor's notifier window stands, or stood last: what
 *                  it was going to map was being taken away. Retries after the fault's own copy-on-write, or after
 *                  invalidations elsewhere in the VM (the sequence count is one for all), save nobody.
 *   back_out       after their notifiers went out, KSM (write_protect_page), migration (migrate_folio_move) or a split found a
 *                  pin, a collapse a reference too many. Those that look at the pin before they notify anybody miss
 *                  nothing, and are not counted. Hit is who pinned the frame last.
 */
import { type EventName, EVENT } from '../../events/table.js';
import { SCAN_PAGE_COUNT } from '../../mm/khugepaged/khugepaged.js';
import type { Machine } from '../../machine/layout.js';
import type { EventBatch } from '../../trace/batch.js';
import { mechanismName } from '../../machine/mechanisms.js';
import { userPageOf } from '../../oracle/rules/mm/lost.js';
import type { PageNames } from './page-names.js';
import type { NearMissKind } from './types.js';

/** A near-miss as found, before it has a diagram. */
export interface FoundNearMiss {
  readonly kind: NearMissKind;
  readonly mechanism: string;
  /** Who did it first, who was hit or saved then; one where nobody knows. */
  readonly actors: readonly number[];
  /** -1 = unknown. */
  readonly userPage: number;
  readonly pfn: number;
  readonly time: number;
}

/** Windows remembered after their ends, for faults that retry a little later. */
const WINDOWS_MAX = 64;

/** Pins counted of a frame at most. */
const PINS_MAX = 0xffff;

interface PinnedPage {
  readonly pfn: number;
  readonly userPage: number;
}

interface NotifierWindow {
  readonly actor: number;
  readonly mechanism: number;
  readonly first: number;
  readonly end: number;
}

const WATCHED = new Uint8Array(256);
const WATCHED_NAMES: readonly EventName[] = [
  'notifier_start',
  'notifier_end',
  'page_pin',
  'page_unpin',
  'stage2_unmap',
  'stage2_retry',
  'ksm_write_protect',
  'migrate',
  'split_folio',
  'collapse',
];
for (const name of WATCHED_NAMES) WATCHED[EVENT[name]] = 1;

export class NearMissFinder {
  readonly #m: Machine;
  /** Who pinned each frame last, + 1, and how many pins of it are held, as far as events tell. */
  readonly #pinners: Uint8Array;
  readonly #pins: Uint16Array;
  /** Open windows by actor. */
  readonly #open: NotifierWindow[][] = [];
  readonly #recent: NotifierWindow[] = [];

  constructor(m: Machine) {
    this.#m = m;
    this.#pinners = new Uint8Array(m.frames);
    this.#pins = new Uint16Array(m.frames);
  }

  /** Looks at event `i`, whose names have been read. Returns what it shows, or null. */
  look(batch: EventBatch, i: number, names: PageNames): FoundNearMiss | null {
    const type = batch.type(i);
    if (WATCHED[type] === 0) return null;
    const actor = batch.actor(i);
    const { userPage, pfn } = names;
    switch (type) {
      case EVENT.notifier_start:
        this.#opens({ actor, mechanism: batch.d(i), first: userPage, end: userPage + names.pages });
        return null;
      case EVENT.notifier_end:
        this.#open[actor]?.pop();
        return null;
      case EVENT.page_pin:
        this.#pinned(pfn, actor);
        return null;
      case EVENT.page_unpin:
        if (pfn > 0 && pfn < this.#m.frames && (this.#pins[pfn] as number) > 0)
          this.#pins[pfn] = (this.#pins[pfn] as number) - 1;
        return null;
      case EVENT.stage2_unmap:
        return batch.d(i) === 0 ? null : this.#found('pinned_unmap', batch, i, userPage, this.#pinnedOf(pfn, userPage));
      case EVENT.stage2_retry: {
        const window = this.#recent.findLast(({ first, end }) => userPage >= first && userPage < end);
        if (window === undefined || window.actor === actor) return null;
        const mechanism = mechanismName(window.mechanism);
        const actors = [window.actor, actor];
        return { kind: 'retry_saved', mechanism, actors, userPage, pfn: -1, time: batch.time(i) };
      }
      case EVENT.ksm_write_protect:
        return batch.d(i) === 0 ? null : this.#backOut('ksm', batch, i, userPage, pfn);
      case EVENT.migrate:
        // a target means that the entries were replaced before it gave up
        return batch.c(i) === 0 || batch.b(i) <= 0 ? null : this.#backOut('numa_migrate', batch, i, -1, pfn);
      case EVENT.split_folio:
        // the counts agreed at the first look: somebody came in between
        return batch.b(i) === 0 || batch.c(i) !== batch.d(i) ? null : this.#backOut('thp_split', batch, i, -1, pfn);
      default:
        return batch.d(i) !== SCAN_PAGE_COUNT
          ? null
          : this.#found('back_out', batch, i, userPage, { pfn: -1, userPage }, 'khugepaged');
    }
  }

  /** A back-out, if the frame (or a page of the huge page that begins there) is pinned. */
  #backOut(mechanism: string, batch: EventBatch, i: number, userPage: number, head: number): FoundNearMiss | null {
    const at = userPage >= 0 ? userPage : this.#pageOf(head);
    const hit = this.#pinnedOf(head, at);
    return (this.#pins[hit.pfn] ?? 0) === 0 ? null : this.#found('back_out', batch, i, at, hit, mechanism);
  }

  #found(
    kind: NearMissKind,
    batch: EventBatch,
    i: number,
    page: number,
    { pfn, userPage }: PinnedPage,
    mechanism?: string,
  ): FoundNearMiss {
    const actor = batch.actor(i);
    const window = this.#open[actor]?.at(-1) ?? this.#recent.findLast(({ first, end }) => page >= first && page < end);
    const pinner = pfn > 0 && pfn < this.#m.frames ? (this.#pinners[pfn] as number) - 1 : -1;
    return {
      kind,
      mechanism: mechanism ?? mechanismName(window?.mechanism ?? 0),
      actors: pinner < 0 || pinner === actor ? [actor] : [actor, pinner],
      userPage,
      pfn,
      time: batch.time(i),
    };
  }

  #pinned(pfn: number, actor: number): void {
    if (pfn <= 0 || pfn >= this.#m.frames) return;
    this.#pinners[pfn] = actor + 1;
    if ((this.#pins[pfn] as number) < PINS_MAX) this.#pins[pfn] = (this.#pins[pfn] as number) + 1;
  }

  /** The pinned page that a frame stands for: itself, or where it begins a huge page, the first pinned one of that. */
  #pinnedOf(pfn: number, userPage: number): PinnedPage {
    const mask = this.#m.thpPages - 1;
    if (pfn <= 0 || (pfn & mask) !== 0 || (this.#pins[pfn] as number) > 0) return { pfn, userPage };
    for (let n = 1; n <= mask; n++) {
      if ((this.#pins[pfn + n] ?? 0) === 0) continue;
      return { pfn: pfn + n, userPage: userPage < 0 || (userPage & mask) !== 0 ? userPage : userPage + n };
    }
    return { pfn, userPage };
  }

  #opens(window: NotifierWindow): void {
    (this.#open[window.actor] ??= []).push(window);
    this.#recent.push(window);
    if (this.#recent.length > 2 * WINDOWS_MAX) this.#recent.splice(0, WINDOWS_MAX);
  }

  #pageOf(pfn: number): number {
    return pfn > 0 && pfn < this.#m.frames ? userPageOf(this.#m, pfn) : -1;
  }
}
