/**
 * A program: what the one-thread engine runs. Any set of coroutines over some words fits: the simulated kernel
 * (one-thread-plan.ts), a small model in a file of its own (programs/), a litmus test.
 *
 * Between two schedule points a coroutine may touch only the one shared word that the point declared (effects.ts); what it
 * runs before its first point touches nothing shared. The engine then sees every interleaving that matters.
 */
import type { FinalState } from './outcome.js';
import type { Violation } from '../../oracle/violation.js';
import type { AccessOrder, Undeclared as UndeclaredAccess } from '../../machine/words/access-order.js';
import type { Coroutine, EventWriter } from '../../machine/context.js';

/** Where a program announces a broken rule at once; the engine looks at the length after each step. */
export interface Alarm {
  readonly violations: readonly Violation[];
  /** Rules broken in ways that real kernels are known for (`known: true`). No schedule ends for them, unless it is told to. */
  readonly knownWindows?: readonly Violation[];
}

/** An alarm that never rings: programs that are only checked at their end. */
export const SILENT: Alarm = { violations: [] };

/** Whoever wants the step number during a step: kernel contexts, for event times. */
export interface StepClock {
  time: number;
}

/** An actor that cannot go on: what it yielded (WAIT_LOCK, WAIT_WORD or IDLE_WORD), and the value the word must leave. */
export interface Waiting {
  readonly actor: number;
  readonly kind: number;
  readonly word: number;
  readonly value: number;
}

/** Actors of tier 0 end by themselves; those of tier n are told to when all of the tiers below have. */
export const TIERS = 3;

export interface Program {
  readonly name: string;
  /** Names; an actor's number is its index. At most 200. */
  readonly actors: readonly string[];
  /** Who ends by itself, and who when: 0 to TIERS - 1. */
  tierOf(actor: number): number;
  /** What waits are about: an actor that waits for (word, value) is disabled while `words[word]` holds value. */
  readonly words: Int32Array;
  /** One per actor, renewed by `reset`; null when nobody asks. */
  readonly clocks: readonly StepClock[] | null;
  readonly alarm: Alarm;
  /** Words of which every state on the way matters, not only the last: what a search must not take for the same. */
  readonly observed?: readonly number[];
  /** Its coroutines call others (`yield*`), to some depth: worth a {@link CoroutineStack}. */
  readonly deep: boolean;

  /**
   * Back to the start.
   * @param variation chooses among workloads where the program has several; 0 = the one that its seed names
   */
  reset(variation: number): void;
  /** A fresh coroutine of `actor`, after a reset. */
  start(actor: number): Coroutine<void>;
  /** The value that goes with the WAIT_* or IDLE_WORD that `actor` has just yielded. */
  waitValue(actor: number): number;
  /** All actors of the tiers below are done: those of `tier` shall return at their next idle point. */
  finish(tier: number): void;
  /**
   * What the last step of `actor` has touched beside the word it declared, as packed effects, and what those words held before: one
   * each. Absent: never anything. Asked after each step, so that it can compare with what it found then.
   * @returns how many; more than the arrays hold: not all were written
   */
  touchedBeside?(actor: number, effects: Int32Array, before: Int32Array): number;
  /** How many words `touchedBeside` and points may name, where that is more than there are: the others stand for no memory. */
  readonly wordsNamed?: number;
  /** From now on a known window ends a schedule as a broken rule does, so that it can be made small and drawn. */
  endAtKnownWindows?(): void;
  /** Told of every access to the words in each step (machine/words/words-ordered.ts). Absent: the program's accesses are its own business. */
  readonly order?: AccessOrder;
  /**
   * In words, what `order` has found in the schedule that has just run.
   * @param choices who ran in each of its steps
   */
  undeclared?(found: UndeclaredAccess, choices: Uint8Array, variation: number): Violation;
  /** Of which of its loops the RETRY points of `actor` are now: a number for each time one was begun. Absent: it has one. */
  retryLoop?(actor: number): number;
  /** Sends the events of the schedules to come there, or nowhere. False: the program writes none. */
  recordEvents(to: EventWriter | null): boolean;
  /** What is broken in the final state; empty when nothing is. */
  audit(): readonly Violation[];
  /** Which of the program's final states this is: a small number for the outcome table. */
  observe(): number;
  /** That state. */
  finalState(observation: number): FinalState;
  /** What a word is, in a reader's words: `PTL`, `mmu_lock of vm 0`. */
  describe(word: number): string;
  /** Whether a word only orders steps (locks, RCU, mailboxes): what is decided is decided elsewhere. Absent: none but locks do. */
  synchronises?(word: number): boolean;
  /** The actor whose request to another one, a server, `word` holds; -1: none. Absent: nobody serves another. */
  requester?(word: number): number;
  /** The locks that `actor` holds now, in a reader's words, in the order taken. */
  heldLocks?(actor: number): readonly string[];
  /** Who waits for what, and who holds it: a line for each of `waiting`. */
  explain(waiting: readonly Waiting[]): readonly string[];
}
