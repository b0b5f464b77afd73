/**
 * A machine's start, to go back to: a copy of what a run can change. Workers' doorbells and the wait table belong to sleeping workers,
 * of which a machine that goes back has none; of actors only the head of the record counts, locks beyond its count are never read;
 * of counters all but the latencies. So a litmus machine goes back by copying some KiB.
 */
import { ACTOR_HELD, type Machine, actorWord, statsBase } from '../../machine/layout.js';
import { STATS_LATENCIES_AT } from '../../machine/stats.js';

interface Part {
  readonly at: number;
  readonly words: Int32Array;
}

export class MachineImage {
  readonly #parts: readonly Part[];

  /** Of `m` as it is now. */
  constructor(m: Machine) {
    const part = (at: number, end: number): Part => ({ at, words: Int32Array.from(m.words.subarray(at, end)) });
    const actors = Array.from({ length: m.cpus }, (_, actor) => actor);
    this.#parts = [
      part(0, m.workersAt),
      ...actors.map((actor) => part(actorWord(m, actor, 0), actorWord(m, actor, ACTOR_HELD))),
      ...actors.map((actor) => part(statsBase(m, actor), statsBase(m, actor) + STATS_LATENCIES_AT)),
      part(m.cpusAt, m.totalWords),
    ];
  }

  /** Puts `words`, those of this machine or of another one like it, back. */
  restore(words: Int32Array): void {
    const parts = this.#parts;
    for (let i = 0; i < parts.length; i++) {
      const { at, words: saved } = parts[i] as Part;
      words.set(saved, at);
    }
  }

  /** Bytes copied each time. */
  get bytes(): number {
    return this.#parts.reduce((sum, { words }) => sum + 4 * words.length, 0);
  }
}
