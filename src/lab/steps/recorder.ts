/**
 * The steps of one schedule, written down while it runs: who touched which word, what it held before and after, and inside which calls.
 * Diagrams and the step-by-step replay are told from these; searches never record.
 */
import type { StepObserver } from '../../engine/one-thread/step-observer.js';
import type { OneThread } from '../../engine/one-thread/one-thread.js';
import type { Plan } from '../../plan/plan.js';
import { PlanProgram } from '../../engine/one-thread/plan-program.js';
import { type WordOf, wordOf } from '../../engine/machine/word-kind.js';
import type { Coroutine } from '../../machine/context.js';
import {
  EFFECT_ACQUIRE,
  EFFECT_ACQUIRE_READ,
  EFFECT_READ,
  EFFECT_RELEASE,
  EFFECT_RELEASE_READ,
  EFFECT_TRY,
  FIRST_WAIT,
  WAIT_LOCK,
  effectKind,
  effectWord,
} from '../../machine/effects.js';
import type { Machine } from '../../machine/layout.js';
import { guestMaps, hostMaps } from './mapped.js';

/** One step. */
export interface Step {
  /** From 1. */
  readonly time: number;
  readonly actor: number;
  effect: number;
  /** The word that it declared, or the page's content that a translation led to; 0 for none. */
  word: number;
  /** What that word is; null for programs without a machine. */
  of: WordOf | null;
  before: number;
  after: number;
  /** It tried to take a lock that others hold, and waits. */
  blocked: boolean;
  /** An access through a translation that no table allows any more. */
  stale: boolean;
  /** The calls around it, the outermost first; their names are asked for later, of few. */
  readonly calls: readonly Coroutine<unknown>[];
}

const LOCK_KINDS: ReadonlySet<number> = new Set([EFFECT_ACQUIRE, EFFECT_ACQUIRE_READ, EFFECT_TRY, WAIT_LOCK]);
const RELEASES: ReadonlySet<number> = new Set([EFFECT_RELEASE, EFFECT_RELEASE_READ]);

/** It takes, or tries to take, a lock. */
export const isAcquire = ({ effect }: Step): boolean => LOCK_KINDS.has(effectKind(effect));
export const isRelease = ({ effect }: Step): boolean => RELEASES.has(effectKind(effect));
export const isRead = ({ effect }: Step): boolean =>
  effectKind(effect) === EFFECT_READ || (effectKind(effect) >= FIRST_WAIT && effectKind(effect) !== WAIT_LOCK);
/** It has changed its word, and is no part of a lock. */
export const isStore = (step: Step): boolean =>
  step.word !== 0 && step.before !== step.after && !isAcquire(step) && !isRelease(step) && step.of?.kind !== 'lock';

const BESIDE_MAX = 16;

/** Actors that run a guest. */
const guestsOf = ({ actors, litmus }: Plan): boolean[] =>
  actors.map(({ kind }, actor) => {
    const column = litmus?.columns[actor];
    return column === undefined ? kind === 'vcpu' || kind === 'replay' : column.task.vm >= 0;
  });

/** Observes one run. */
export class StepRecorder implements StepObserver {
  readonly steps: Step[] = [];
  readonly #thread: OneThread;
  readonly #machine: Machine | null;
  readonly #effects = new Int32Array(BESIDE_MAX);
  readonly #held = new Int32Array(BESIDE_MAX);
  /** By actor: its accesses are a guest's. */
  readonly #guests: readonly boolean[];

  constructor(thread: OneThread) {
    this.#thread = thread;
    const { program } = thread;
    this.#machine = program instanceof PlanProgram ? program.machine : null;
    this.#guests = program instanceof PlanProgram ? guestsOf(program.plan) : [];
  }

  beforeStep(actor: number, effect: number, step: number): void {
    if (step === 0) return;
    const word = effectWord(effect);
    this.steps.push({
      time: step,
      actor,
      effect,
      word,
      of: word === 0 || this.#machine === null ? null : wordOf(this.#machine, word),
      before: word === 0 ? 0 : this.#load(word),
      after: 0,
      blocked: false,
      stale: false,
      calls: this.#thread.calls(actor),
    });
  }

  afterStep(actor: number, next: number, step: number): void {
    const last = this.steps.at(-1);
    if (step === 0 || last === undefined) {
      // what set-up and starts have touched is nobody's step
      this.#touched(actor);
      return;
    }
    if (this.#machine !== null) this.#access(this.#machine, last, actor);
    if (last.word === 0) return;
    last.after = this.#load(last.word);
    last.blocked = next >= 0 && effectKind(next) >= FIRST_WAIT && effectWord(next) === last.word && isAcquire(last);
  }

  #touched(actor: number): number {
    return Math.min(BESIDE_MAX, this.#thread.program.touchedBeside?.(actor, this.#effects, this.#held) ?? 0);
  }

  #load(word: number): number {
    return this.#thread.program.words[word] as number;
  }

  /** An access through a translation touches the page itself, whatever its step declared: one that hits the TLB declares no page. */
  #access(m: Machine, step: Step, actor: number): void {
    const count = this.#touched(actor);
    // the kernel's own glances at a page are no accesses
    if (step.of?.kind !== 'inUse' && step.of?.kind !== 'content') return;
    for (let i = 0; i < count; i++) {
      const effect = this.#effects[i] as number;
      const of = wordOf(m, effectWord(effect));
      if (of.kind !== 'content') continue;
      step.effect = effect;
      step.word = effectWord(effect);
      step.of = of;
      step.before = this.#held[i] as number;
      const write = effectKind(effect) !== EFFECT_READ;
      step.stale = !(this.#guests[actor] === true ? guestMaps : hostMaps)(m, of.pfn, write);
    }
  }
}
