/**
 * Drains the rings of a run and hands the events to subscribers. One source per run, since a ring has one reader.
 *
 *   rings --drain--> events$ (views, per worker)
 *              \---> merger --release--> merged$ (copies, by time and actor)
 *
 * Nothing is lost without being counted: written = delivered + unobserved + what still stands in the rings. Until
 * the first subscriber comes, records wait in their rings as long as there is room, so that whoever subscribes right after
 * the start sees the run from its first event; later ones that nobody subscribes to are counted as unobserved.
 */
import { Observable, type Subscriber } from 'rxjs';
import { RingReader } from '../events/ring.js';
import { EventBatch } from './batch.js';
import { Merger } from './merge.js';

/** The report's `events`. */
export interface EventCounters {
  /** Written into rings by the workers. */
  readonly written: number;
  /** Handed to at least one subscriber. */
  readonly delivered: number;
  /** Not written, for want of room, in lossy mode. */
  readonly dropped: number;
  /** Drained while nobody was subscribed. */
  readonly unobserved: number;
  /** Times a worker waited for room, in lossless mode. */
  readonly waits: number;
  /** Merged out of order, since a ring's bound stood still for too long. */
  readonly late: number;
}

interface EventSourceOptions {
  /** The rings, by worker. The array may grow: looked at each turn. */
  readonly rings: readonly SharedArrayBuffer[];
  /** Names by actor number. */
  readonly actorNames: readonly string[];
  /** Milliseconds between two looks at the rings; sooner while they fill faster. */
  readonly pollMs?: number;
  /** The rings only record for reports (ring.ts): nothing is drained, all events count as unobserved. */
  readonly recorder?: boolean;
}

export class EventSource {
  /** Batches as drained: each of one worker, in that worker's order; valid until the subscriber returns. */
  readonly events$: Observable<EventBatch>;
  /** Batches in merged order. Events written before the subscription and drained already are not in it. */
  readonly merged$: Observable<EventBatch>;
  readonly #rings: readonly SharedArrayBuffer[];
  readonly #readers: RingReader[] = [];
  readonly #actorNames: readonly string[];
  readonly #pollMs: number;
  readonly #direct = new Set<Subscriber<EventBatch>>();
  readonly #inOrder = new Set<Subscriber<EventBatch>>();
  #merger: Merger | undefined;
  readonly #recorder: boolean;
  #timer: NodeJS.Timeout | undefined;
  #immediate: NodeJS.Immediate | undefined;
  #subscribed = false;
  #closed = false;
  #delivered = 0;
  #unobserved = 0;
  #late = 0;

  constructor(options: EventSourceOptions) {
    this.#rings = options.rings;
    this.#readAll();
    this.#actorNames = options.actorNames;
    this.#pollMs = options.pollMs ?? 1;
    this.#recorder = options.recorder ?? false;
    this.events$ = this.#observable(this.#direct);
    this.merged$ = this.#observable(this.#inOrder);
    if (!this.#recorder) this.#poll();
  }

  get counters(): EventCounters {
    this.#readAll();
    let written = 0;
    let dropped = 0;
    let waits = 0;
    for (const reader of this.#readers) {
      const counters = reader.counters;
      written += counters.written;
      dropped += counters.dropped;
      waits += counters.waits;
    }
    return {
      written,
      dropped,
      waits,
      delivered: this.#delivered,
      unobserved: this.#recorder ? written : this.#unobserved,
      late: this.#late + (this.#merger?.late ?? 0),
    };
  }

  /** Open subscriptions: 0 once all have been given up. */
  get subscribers(): number {
    return this.#direct.size + this.#inOrder.size;
  }

  /** Takes what is in the rings now; the timer does this by itself. */
  pump(): void {
    if (!this.#closed && !this.#recorder) this.#turn();
  }

  /** The workers are done: delivers what is left, completes the observables, and gives everything back. */
  close(): void {
    if (this.#closed) return;
    clearTimeout(this.#timer);
    clearImmediate(this.#immediate);
    this.#subscribed = true;
    this.pump();
    this.#closed = true;
    this.#merger?.finish((records, count) => this.#deliverMerged(records, count));
    this.#dropMerger();
    for (const reader of this.#readers) reader.detach();
    for (const subscriber of [...this.#direct, ...this.#inOrder]) subscriber.complete();
    this.#direct.clear();
    this.#inOrder.clear();
  }

  #observable(subscribers: Set<Subscriber<EventBatch>>): Observable<EventBatch> {
    return new Observable<EventBatch>((subscriber) => {
      if (this.#closed) {
        subscriber.complete();
        return undefined;
      }
      this.#subscribed = true;
      subscribers.add(subscriber);
      return () => {
        subscribers.delete(subscriber);
        if (this.#inOrder.size === 0) this.#dropMerger();
      };
    });
  }

  #dropMerger(): void {
    this.#late += this.#merger?.late ?? 0;
    this.#merger = undefined;
  }

  #poll(): void {
    const turn = (): void => {
      if (this.#closed) return;
      this.#turn();
      if (!this.#closed) this.#poll();
    };
    if (this.#subscribed && this.#readers.some((reader) => reader.halfFull)) this.#immediate = setImmediate(turn);
    else this.#timer = setTimeout(turn, this.#pollMs);
  }

  #readAll(): void {
    for (const ring of this.#rings.slice(this.#readers.length)) this.#readers.push(new RingReader(ring));
  }

  #turn(): void {
    this.#readAll();
    if (this.#inOrder.size > 0) this.#merger ??= new Merger();
    const merger = this.#merger;
    let bound = Infinity;
    for (const reader of this.#readers) {
      // the bound before the drain: whatever it does not cover is not drained yet (ring.ts)
      if (merger !== undefined) bound = Math.min(bound, reader.lowerBound(merger.timeMax));
      if (!this.#subscribed && !reader.halfFull) continue;
      reader.drain((records, first, count) => this.#take(records, first, count));
    }
    merger?.release(bound, (records, count) => this.#deliverMerged(records, count));
  }

  #take(records: Int32Array, first: number, count: number): void {
    if (this.subscribers === 0) {
      this.#unobserved += count;
      return;
    }
    this.#delivered += count;
    this.#merger?.push(records, first, count);
    if (this.#direct.size === 0) return;
    const batch = new EventBatch(records, first, count, this.#actorNames);
    for (const subscriber of this.#direct) subscriber.next(batch);
  }

  #deliverMerged(records: Int32Array, count: number): void {
    const batch = new EventBatch(records, 0, count, this.#actorNames);
    for (const subscriber of this.#inOrder) subscriber.next(batch);
  }
}
