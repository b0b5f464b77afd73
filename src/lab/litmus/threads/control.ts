/**
 * What the workers of a litmus run on real threads share, beside the machines: a barrier, the number of machines per round, what the
 * actors of each machine have begun and ended, and the stop.
 *
 *   word 0         stop: 1 = after this round
 *   word 16        barrier: workers arrived
 *   word 32        barrier: rounds passed
 *   word 48, 49    machines of this round; how far apart the workers begin
 *   word 50        the machine where the round begins
 *   word 51        machines in which actors wait for what nobody will change
 *   word 64 +      by machine, a line each: begun, ended, whether actors overlapped, whether it is stuck, whether a rule was broken
 */
export const STOP = 0;
const ARRIVED = 16;
export const PASSED = 32;
export const BATCH = 48;
export const SPREAD = 49;
export const FIRST = 50;
const MACHINES_AT = 64;
const LINE = 16;
const BEGUN = 0;
const ENDED = 1;
const OVERLAPPED = 2;
const STUCK = 3;
const BROKEN = 4;
/** Values of STUCK. */
const WAITING = 1;
const ROUND = 2;
/** Looks at the barrier before its worker sleeps, where every worker has a core. */
const SPINS = 20_000;

export class LitmusControl {
  readonly words: Int32Array;
  readonly #workers: number;
  readonly #spins: number;

  /** @param spins whether waiting workers may keep their cores */
  constructor(buffer: SharedArrayBuffer, workers: number, spins: boolean) {
    this.words = new Int32Array(buffer);
    this.#workers = workers;
    this.#spins = spins ? SPINS : 0;
  }

  static bytes(machines: number): number {
    return 4 * (MACHINES_AT + LINE * machines);
  }

  /** Returns when every worker has come here. */
  barrier(): void {
    const { words } = this;
    const round = Atomics.load(words, PASSED);
    if (Atomics.add(words, ARRIVED, 1) === this.#workers - 1) {
      Atomics.store(words, ARRIVED, 0);
      Atomics.add(words, PASSED, 1);
      Atomics.notify(words, PASSED);
      return;
    }
    for (let i = 0; i < this.#spins; i++) if (Atomics.load(words, PASSED) !== round) return;
    while (Atomics.load(words, PASSED) === round) Atomics.wait(words, PASSED, round);
  }

  resetMachine(machine: number): void {
    this.words.fill(0, MACHINES_AT + LINE * machine, MACHINES_AT + LINE * (machine + 1));
  }

  /** An actor of `machine` begins; others may be at work there. */
  begin(machine: number): void {
    const { words } = this;
    const at = MACHINES_AT + LINE * machine;
    const begun = Atomics.add(words, at + BEGUN, 1);
    if (begun > Atomics.load(words, at + ENDED)) Atomics.store(words, at + OVERLAPPED, 1);
  }

  /** An actor of `machine` has ended. Returns how many have. */
  end(machine: number): number {
    return Atomics.add(this.words, MACHINES_AT + LINE * machine + ENDED, 1) + 1;
  }

  ended(machine: number): number {
    return Atomics.load(this.words, MACHINES_AT + LINE * machine + ENDED);
  }

  overlapped(machine: number): boolean {
    return this.words[MACHINES_AT + LINE * machine + OVERLAPPED] === 1;
  }

  /** An actor of this machine has broken a rule. */
  breaks(machine: number): void {
    Atomics.store(this.words, MACHINES_AT + LINE * machine + BROKEN, 1);
  }

  isBroken(machine: number): boolean {
    return Atomics.load(this.words, MACHINES_AT + LINE * machine + BROKEN) === 1;
  }

  /** Its actors wait for each other for good, or go round for good: nobody waits for them any more. */
  giveUp(machine: number, round = false): void {
    Atomics.store(this.words, MACHINES_AT + LINE * machine + STUCK, round ? ROUND : WAITING);
  }

  isStuck(machine: number): boolean {
    return Atomics.load(this.words, MACHINES_AT + LINE * machine + STUCK) !== 0;
  }

  /** Of one that is stuck: whether its actors went round. */
  wentRound(machine: number): boolean {
    return Atomics.load(this.words, MACHINES_AT + LINE * machine + STUCK) === ROUND;
  }
}
