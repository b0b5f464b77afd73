/**
 * What is read out of a run's events while it runs: the history of its pages, its near-misses, how much it races. One
 * subscription to merged$ serves them all; it lives while somebody wants near-misses, or for the whole run when the run was
 * started with `watch`.
 */
import { Observable, Subject } from 'rxjs';
import { type Machine, VM_MM, vmWord } from '../../machine/layout.js';
import { gfnOfVpn } from '../../oracle/view.js';
import type { EventBatch } from '../../trace/batch.js';
import { raceDiagram } from '../../trace/diagram/diagram.js';
import { EventHistory } from './history.js';
import { type FoundNearMiss, NearMissFinder } from './near-misses.js';
import { PageNames } from './page-names.js';
import { RaceMeter } from './races.js';
import type { NearMiss, RaceCounts } from './types.js';

/** Diagrams a second at most: of all, and of each kind and mechanism. */
const DIAGRAMS_PER_SECOND = 4;
const DIAGRAMS_OF_A_KIND = 1;
/** Steps of a diagram at most: the last ones. */
const DIAGRAM_ROWS = 16;
const SECOND_MS = 1000;

interface WatchSource {
  readonly machine: Machine;
  readonly actorNames: readonly string[];
  readonly merged$: Observable<EventBatch>;
  readonly elapsedMs: () => number;
}

export class EventWatch {
  readonly nearMisses$: Observable<NearMiss>;
  readonly #source: WatchSource;
  readonly #names: PageNames;
  readonly #misses = new Subject<NearMiss>();
  #history: EventHistory | null = null;
  #finder: NearMissFinder | null = null;
  #meter = new RaceMeter();
  /** Who wants the events; the first subscribes, the last unsubscribes. */
  #users = 0;
  #subscription: { unsubscribe(): void } | null = null;
  readonly #counts = new Map<string, number>();
  #total = 0;
  #withoutDiagram = 0;
  #second = -1;
  #diagrams = new Map<string, number>();
  #diagramsThisSecond = 0;
  #before = { distinct: 0, pairs: 0 };
  #rates = { distinct: 0, pairs: 0 };

  constructor(source: WatchSource) {
    this.#source = source;
    this.#names = new PageNames(source.machine);
    this.nearMisses$ = new Observable<NearMiss>((subscriber) => {
      const inner = this.#misses.subscribe(subscriber);
      const release = this.use();
      return () => {
        inner.unsubscribe();
        release();
      };
    });
  }

  /** The history, when events are being watched. */
  get history(): EventHistory | null {
    return this.#history;
  }

  /** Watches events until the returned function is called. */
  use(): () => void {
    if (++this.#users === 1) {
      this.#history = new EventHistory(this.#source.machine);
      this.#finder = new NearMissFinder(this.#source.machine);
      this.#subscription = this.#source.merged$.subscribe({
        next: (batch) => this.#take(batch),
        complete: () => this.#misses.complete(),
      });
    }
    let used = true;
    return () => {
      if (!used) return;
      used = false;
      if (--this.#users > 0) return;
      this.#subscription?.unsubscribe();
      this.#subscription = null;
      this.#history = null;
      this.#finder = null;
    };
  }

  counts(): RaceCounts {
    this.#tick();
    return {
      nearMisses: Object.fromEntries(this.#counts),
      total: this.#total,
      distinct: this.#meter.distinct,
      withoutDiagram: this.#withoutDiagram,
      pairsBothOrders: this.#meter.pairsBothOrders,
      pairs: this.#meter.pairs,
      distinctPerSecond: this.#rates.distinct,
      pairsPerSecond: this.#rates.pairs,
    };
  }

  #take(batch: EventBatch): void {
    const history = this.#history;
    const finder = this.#finder;
    if (history === null || finder === null) return;
    this.#tick();
    const names = this.#names;
    for (let i = 0; i < batch.length; i++) {
      const named = names.read(batch.records, batch.first + i);
      history.push(batch.records, batch.first + i, named ? names : null);
      if (!named) continue;
      if (names.pages === 1 && names.userPage >= 0) this.#meter.step(names.userPage, batch.actor(i), batch.type(i));
      const found = finder.look(batch, i, names);
      if (found !== null) this.#miss(found, history);
    }
  }

  #miss(found: FoundNearMiss, history: EventHistory): void {
    const { kind, mechanism, actors, userPage, pfn, time } = found;
    const key = `${kind} ${mechanism}`;
    const count = (this.#counts.get(key) ?? 0) + 1;
    this.#counts.set(key, count);
    this.#total++;
    this.#meter.nearMiss(kind, mechanism, actors, userPage);
    const ofKind = this.#diagrams.get(key) ?? 0;
    if (!this.#misses.observed || ofKind >= DIAGRAMS_OF_A_KIND || this.#diagramsThisSecond >= DIAGRAMS_PER_SECOND) {
      this.#withoutDiagram++;
      return;
    }
    this.#diagrams.set(key, ofKind + 1);
    this.#diagramsThisSecond++;
    const { machine: m, actorNames } = this.#source;
    const mm = userPage < 0 ? -1 : Math.trunc(userPage / m.mmPages);
    const vpn = userPage < 0 ? -1 : userPage % m.mmPages;
    const [vm, gfn] = guestPage(m, mm, vpn);
    const diagram = raceDiagram(history.last(), actorNames, {
      thpOrder: m.thpOrder,
      maxRows: DIAGRAM_ROWS,
      columns: 2,
      exact: true,
      violation: {
        invariant: 'near-miss',
        what: `${WORDS[kind]}${mechanism === 'none' ? '' : `, ${mechanism}`}`,
        actor: actors[0],
        actors,
        time,
        ...(pfn > 0 && { pfn }),
        ...(userPage >= 0 && { mm, vpn }),
        ...(gfn >= 0 && { vm, gfn }),
      },
    });
    this.#misses.next({
      kind,
      count,
      mechanism,
      actors: actors.map((actor) => actorNames[actor] ?? `actor ${actor}`),
      vm,
      gfn,
      pfn,
      time,
      at_s: this.#source.elapsedMs() / SECOND_MS,
      diagram,
    });
  }

  /** Begins a new second when one has passed. */
  #tick(): void {
    const second = Math.floor(this.#source.elapsedMs() / SECOND_MS);
    if (second === this.#second) return;
    const seconds = this.#second < 0 ? 1 : second - this.#second;
    const { distinct, pairsBothOrders: pairs } = this.#meter;
    this.#rates = {
      distinct: (distinct - this.#before.distinct) / seconds,
      pairs: (pairs - this.#before.pairs) / seconds,
    };
    this.#before = { distinct, pairs };
    this.#second = second;
    this.#diagrams.clear();
    this.#diagramsThisSecond = 0;
  }
}

const WORDS = {
  pinned_unmap: 'a pinned page was unmapped at stage 2',
  retry_saved: 'mmu_invalidate_retry saved the fault',
  back_out: 'a reference was found late, and it backed out',
} as const;

/** The guest page that user page (mm, vpn) stands for: VM and gfn, -1 when none. */
function guestPage(m: Machine, mm: number, vpn: number): [number, number] {
  for (let vm = 0; mm >= 0 && vm < m.vms; vm++) {
    if ((m.words[vmWord(m, vm, VM_MM)] as number) !== mm) continue;
    const gfn = gfnOfVpn(m, vm, vpn);
    if (gfn >= 0) return [vm, gfn];
  }
  return [-1, -1];
}
