/**
 * From events to operations: what each actor did to the pages of an incident, as operations of litmus files. An operation that was under
 * way when the log ends is told from what it had done by then.
 */
import { FAULT_FLAG_WRITE } from '../../machine/abi.js';
import type { PinfallEvent } from '../../trace/event.js';
import type { Fact, Incident } from './incident/incident.js';

/** Names of operations (actors/litmus/operations.ts); `dontneed` and `collapse` are advices of `madvise`. */
export type OperationName =
  | 'guest_read'
  | 'guest_write'
  | 'read'
  | 'write'
  | 'pin_fast'
  | 'unpin'
  | 'pin_write'
  | 'dontneed'
  | 'mprotect'
  | 'collapse'
  | 'split_pmd'
  | 'numa_scan'
  | 'ksm_scan'
  | 'khugepaged_scan'
  | 'swap_out';

/** One operation of one actor. */
export interface SeenOperation {
  readonly actor: number;
  readonly op: OperationName;
  /** Pages of the incident. */
  readonly pages: readonly number[];
  /** FOLL_* of a pin, VM_* of mprotect. */
  readonly flags: number;
  /** Of pins and their ends: which pin of its actor, by number; -1: none. */
  readonly pin: number;
  /** Times of its first and last event. */
  readonly start: number;
  readonly end: number;
}

const LATE_DEEDS = 4;

/** A pin that an actor took before the log begins: all that is known of it is its end. */
export const PIN_UNSEEN_FLAGS = -1;

/**
 * All operations of an incident by their end. Rings forget: of an actor whose events of that time are gone, what it did soonest afterwards
 * stands for what it did before. Workloads repeat themselves.
 * @param after so many operations of each actor after the violation come along: an event is written after what it tells of, and logical
 * clocks of actors that have not met say nothing of their order
 */
export function operationsSeen(incident: Incident, after = 0): SeenOperation[] {
  const byActor = new Map<number, Fact[]>();
  for (const fact of incident.facts) {
    const { actor } = fact.event;
    const own = byActor.get(actor);
    if (own === undefined) byActor.set(actor, [fact]);
    else own.push(fact);
  }
  return [...byActor]
    .flatMap(([actor, facts]) => {
      const operations = new Reader(actor, incident.plan.actors[actor]?.kind ?? '').read(facts);
      const before = operations.filter(({ start }) => start <= incident.until);
      return before.length > 0 ? operations.slice(0, before.length + after) : operations.slice(0, LATE_DEEDS);
    })
    .toSorted((x, y) => x.end - y.end || x.actor - y.actor);
}

interface OpenPin {
  readonly pin: number;
  readonly pfn: number;
}

/** Reads the events of one actor. */
class Reader {
  readonly #actor: number;
  readonly #kind: string;
  readonly #operations: SeenOperation[] = [];
  readonly #pins: OpenPin[] = [];
  #pinCount = 0;
  /** Events since the last operation's end. */
  #open: Fact[] = [];
  /** What the scan under way has come past. */
  #passed = new Set<string>();

  constructor(actor: number, kind: string) {
    this.#actor = actor;
    this.#kind = kind;
  }

  read(facts: readonly Fact[]): readonly SeenOperation[] {
    const daemon = SCANS[this.#kind];
    for (const fact of facts) {
      if (daemon === undefined) this.#event(fact);
      else this.#scan(fact, daemon);
    }
    if (this.#open.length === 0) return this.#operations;
    if (daemon !== undefined) this.#close(daemon, this.#open.at(-1) as Fact);
    else this.#unfinished();
    return this.#operations;
  }

  /** The operation that ends with this event, if any does. */
  #event(fact: Fact): void {
    const { event } = fact;
    this.#open.push(fact);
    if (this.#kind === 'vcpu') {
      if (event.type === 'stage2_fault') this.#close(event.write ? 'guest_write' : 'guest_read', fact);
      return;
    }
    switch (event.type) {
      case 'page_pin':
        this.#pins.push({ pin: this.#pinCount, pfn: event.pfn });
        return this.#close('pin_fast', fact, event.flags, this.#pinCount++);
      case 'gup_failed':
        return this.#close('pin_fast', fact, event.flags, this.#pinCount++);
      case 'page_unpin':
        return this.#unpin(fact, event.pfn);
      case 'fault':
        // a pin's own fault comes before its pin
        if (this.#kind !== 'dma') this.#close((event.flags & FAULT_FLAG_WRITE) !== 0 ? 'write' : 'read', fact);
        return;
      case 'zap':
        return this.#close('dontneed', fact);
      case 'mprotect':
        return this.#close('mprotect', fact, event.flags);
      case 'collapse':
        return this.#close('collapse', fact);
    }
  }

  #unpin(fact: Fact, pfn: number): void {
    const at = this.#pins.findIndex((each) => each.pfn === pfn);
    const [known] = at < 0 ? [] : this.#pins.splice(at, 1);
    this.#close('unpin', fact, PIN_UNSEEN_FLAGS, known?.pin ?? this.#pinCount++);
  }

  /** Scanning daemons come past each page once in a round. */
  #scan(fact: Fact, { op, opens }: Scan): void {
    const page = opens(fact.event) ? fact.pages.join() : null;
    if (page !== null && this.#passed.has(page)) this.#close({ op, opens }, this.#open.at(-1) ?? fact);
    this.#open.push(fact);
    if (page !== null) this.#passed.add(page);
  }

  #close(what: OperationName | Scan, last: Fact, flags = 0, pin = -1): void {
    const op = typeof what === 'string' ? what : what.op;
    const [first = last] = this.#open;
    const pages = typeof what === 'string' ? last.pages : [...new Set(this.#open.flatMap(({ pages: named }) => named))];
    this.#operations.push({ actor: this.#actor, op, pages, flags, pin, start: first.event.time, end: last.event.time });
    this.#open = [];
    this.#passed.clear();
  }

  /** What an operation that has not ended was, from the events that it has written. */
  #unfinished(): void {
    const last = this.#open.at(-1) as Fact;
    if (this.#kind === 'vcpu') return this.#close('guest_write', last);
    if (this.#kind === 'dma') return this.#close('pin_fast', last, PIN_UNSEEN_FLAGS, this.#pinCount++);
    for (const { event } of this.#open) {
      if (event.type !== 'notifier_start') continue;
      const op = BEGUN[event.mech];
      if (op !== undefined) return this.#close(op, last);
    }
    this.#close('write', last);
  }
}

const BEGUN: Readonly<Partial<Record<string, OperationName>>> = {
  zap: 'dontneed',
  mprotect: 'mprotect',
  thp_split: 'split_pmd',
  khugepaged: 'collapse',
  wp_fault: 'write',
  numa_migrate: 'read',
  reclaim: 'swap_out',
};

interface Scan {
  readonly op: OperationName;
  /** The event with which a daemon comes to a page. */
  readonly opens: (event: PinfallEvent) => boolean;
}

/** Daemons that scan, by the kind of their actor. */
const SCANS: Readonly<Partial<Record<string, Scan>>> = {
  'numa-balancer': { op: 'numa_scan', opens: ({ type }) => type === 'numa_protect' || type === 'numa_skip_pinned' },
  ksmd: { op: 'ksm_scan', opens: ({ type }) => type === 'ksm_scan' },
  khugepaged: { op: 'khugepaged_scan', opens: ({ type }) => type === 'khugepaged_scan' },
  kswapd: { op: 'swap_out', opens: ({ type }) => type === 'swap_out' || type === 'reclaim' },
};
