/**
 * The machine as it stood when all actors were last at rest: a copy of its words, at the start and at each drain, and how far each event
 * ring had come by then. From there on the log says what happened, if no ring has forgotten any of it.
 */
import { ringCounters } from '../../../events/ring.js';
import { lastRecords } from '../../../events/ring-history.js';
import { RECORD_WORDS } from '../../../events/record.js';
import { Machine } from '../../../machine/layout.js';
import type { Audit } from '../../../engine/threads/run.js';
import { mergeRecords } from '../../../trace/merge.js';

/** A state of rest. */
interface DrainedState {
  /** Its number: 0 = before the first step. */
  readonly drain: number;
  readonly words: Int32Array;
  /** Events written by then, by ring; rings that came later: 0. */
  readonly written: readonly number[];
}

/** A state of rest with the log since then. */
export interface Base {
  readonly drain: number;
  readonly words: Int32Array;
  /** Events since then, in merged order. */
  readonly since: Int32Array;
  /** Whether `since` holds all of them. */
  readonly complete: boolean;
}

/** Events since then that are kept of each ring, at most. */
const SINCE_MAX = 1 << 15;
/** A ring may hold so many records that its writer has not counted yet. */
const UNPUBLISHED_MAX = 32;
/** States that violations keep; what comes later is told from the log alone. */
const KEPT_MAX = 4;

export class DrainedStates {
  readonly #machine: Machine;
  #last: DrainedState | null = null;
  /** Overwritten next: the state before the last, unless a violation keeps it. */
  #spare: Int32Array | null = null;
  readonly #kept = new Set<Int32Array>();
  #drains = 0;
  /** Milliseconds that copying took, in all. */
  spentMs = 0;

  constructor(machine: Machine) {
    this.#machine = machine;
  }

  /** States copied so far. */
  get count(): number {
    return this.#drains;
  }

  /** Copies the machine. All actors are at rest. */
  take(rings: readonly SharedArrayBuffer[]): void {
    const began = performance.now();
    const { words } = this.#machine;
    const into = this.#spare ?? new Int32Array(new SharedArrayBuffer(words.byteLength));
    into.set(words);
    const before = this.#last?.words ?? null;
    this.#spare = before === null || this.#kept.has(before) ? null : before;
    const written = rings.map((ring) => ringCounters(ring).written);
    this.#last = { drain: this.#drains++, words: into, written };
    this.spentMs += performance.now() - began;
  }

  /** `audit`, with a copy of what it found in order; a state that breaks rules is none to begin with. */
  after(audit: Audit, rings: () => readonly SharedArrayBuffer[]): Audit {
    return (machine, plan, where, ledgers) => {
      const found = audit(machine, plan, where, ledgers);
      if (where !== 'end' && found.length === 0) this.take(rings());
      return found;
    };
  }

  /** The last state and the log since then, for a violation that keeps them. Null: there are enough of them. */
  base(rings: readonly SharedArrayBuffer[]): Base | null {
    const last = this.#last;
    if (last === null) return null;
    if (!this.#kept.has(last.words) && this.#kept.size >= KEPT_MAX) return null;
    this.#kept.add(last.words);
    let complete = true;
    const parts = rings.map((ring, i) => {
      const { written, dropped } = ringCounters(ring);
      const fresh = written - (last.written[i] ?? 0);
      const records = lastRecords(ring, Math.min(SINCE_MAX, Math.max(0, fresh) + UNPUBLISHED_MAX));
      const got = records.length / RECORD_WORDS;
      // records that are not published yet come on top: never less than what was written
      if (got < fresh || dropped > 0) complete = false;
      return records.subarray(Math.max(0, got - Math.max(0, fresh)) * RECORD_WORDS);
    });
    return { drain: last.drain, words: last.words, since: mergeRecords(parts), complete };
  }
}

/** A machine over words that were copied: to be looked at only. */
export function machineOver(config: Machine['config'], words: Int32Array): Machine {
  const { buffer } = words;
  if (buffer instanceof SharedArrayBuffer) return new Machine(config, buffer);
  const copy = new Int32Array(new SharedArrayBuffer(words.byteLength));
  copy.set(words);
  return new Machine(config, copy.buffer);
}
