/**
 * What each actor was doing, read from its record in shared memory: for reports of runs that end badly. It works when
 * the actor's worker is gone, and while others still run (then it is a look in passing).
 */
import { LOCK_WRITE } from '../../machine/context.js';
import { EFFECT_NAMES, FIRST_WAIT, IDLE_SLEEP, IDLE_TOP, effectKind, effectWord } from '../../machine/effects.js';
import {
  ACTOR_EFFECT,
  ACTOR_HELD,
  ACTOR_HELD_COUNT,
  ACTOR_OPERATION,
  ACTOR_PREEMPT_COUNT,
  ACTOR_PROGRESS,
  ACTOR_RETRIES,
  ACTOR_STATE,
  ACTOR_STEPS,
  ACTOR_WAIT_KIND,
  ACTOR_WAIT_VALUE,
  ACTOR_WAIT_WORD,
  ACTOR_WORKER,
  HELD_MAX,
  type Machine,
  WORKER_CURRENT,
  actorWord,
  workerWord,
} from '../../machine/layout.js';
import { lockClass } from '../../locks/classes.js';
import { describeWord } from '../../machine/layout/describe.js';
import { ACTOR_BLOCKED, ACTOR_IDLE, ACTOR_STATE_NAMES } from './phase.js';
import type { Plan } from '../../plan/plan.js';

interface HeldLock {
  readonly word: number;
  /** `PTL of table 3`. */
  readonly name: string;
  /** The lock class: `PTL`. */
  readonly class: string;
  readonly mode: 'read' | 'write';
}

/** What an actor waits for: disabled while `word` (its WAITERS bit apart, when a lock) holds `value`. */
export interface Wait {
  readonly kind: number;
  readonly word: number;
  readonly value: number;
}

export interface ActorReport {
  readonly actor: number;
  readonly name: string;
  readonly kind: string;
  readonly worker: number;
  /** A name of ACTOR_STATE_NAMES. */
  readonly state: (typeof ACTOR_STATE_NAMES)[number];
  /** The operation under way (ACTOR_OPERATION), 0 = none. */
  readonly operation: number;
  /** The last schedule point it stood at: `acquire PTL of table 3`. */
  readonly last: string;
  readonly steps: number;
  readonly progress: number;
  readonly retries: number;
  readonly preemptCount: number;
  readonly wait: Wait | null;
  readonly held: readonly HeldLock[];
}

/** `acquire PTL of table 3`: a yielded effect in words. */
export function describeEffect(m: Machine, effect: number): string {
  const kind = effectKind(effect);
  const name = EFFECT_NAMES[kind] ?? `effect ${kind}`;
  const wordless = kind === IDLE_SLEEP || kind === IDLE_TOP || effectWord(effect) === 0;
  return wordless ? name : `${name} ${describeWord(m, effectWord(effect))}`;
}

/** The locks that `actor` holds, in the order taken. */
export function heldLocks(m: Machine, actor: number): HeldLock[] {
  const words = m.words;
  const count = Math.min(HELD_MAX, Math.max(0, words[actorWord(m, actor, ACTOR_HELD_COUNT)] as number));
  const held: HeldLock[] = [];
  for (let n = 0; n < count; n++) {
    const word = words[actorWord(m, actor, ACTOR_HELD + 2 * n)] as number;
    const packed = words[actorWord(m, actor, ACTOR_HELD + 2 * n + 1)] as number;
    const mode = (packed & 15) === LOCK_WRITE ? 'write' : 'read';
    held.push({ word, name: describeWord(m, word), class: lockClass(packed >> 4).name, mode });
  }
  return held;
}

/** What `actor` waits for, or null when it is not disabled by a word. */
export function waitOf(m: Machine, actor: number): Wait | null {
  const state = m.words[actorWord(m, actor, ACTOR_STATE)] as number;
  if (state !== ACTOR_BLOCKED && state !== ACTOR_IDLE) return null;
  const kind = m.words[actorWord(m, actor, ACTOR_WAIT_KIND)] as number;
  if (kind < FIRST_WAIT || kind >= IDLE_SLEEP) return null;
  const word = m.words[actorWord(m, actor, ACTOR_WAIT_WORD)] as number;
  return { kind, word, value: m.words[actorWord(m, actor, ACTOR_WAIT_VALUE)] as number };
}

/** The actor that runs on a worker, or ran there when it ended; -1 = none. */
export const runningActor = (m: Machine, worker: number): number =>
  (m.words[workerWord(m, worker, WORKER_CURRENT)] as number) - 1;

/** The record of one actor of the plan. */
export function actorReport(m: Machine, plan: Plan, actor: number): ActorReport {
  const get = (field: number): number => m.words[actorWord(m, actor, field)] as number;
  const spec = plan.actors[actor];
  return {
    actor,
    name: spec?.name ?? `actor ${actor}`,
    kind: spec?.kind ?? '',
    worker: get(ACTOR_WORKER),
    state: ACTOR_STATE_NAMES[get(ACTOR_STATE)] ?? 'absent',
    operation: get(ACTOR_OPERATION),
    last: describeEffect(m, get(ACTOR_EFFECT)),
    steps: get(ACTOR_STEPS) >>> 0,
    progress: get(ACTOR_PROGRESS) >>> 0,
    retries: get(ACTOR_RETRIES),
    preemptCount: get(ACTOR_PREEMPT_COUNT),
    wait: waitOf(m, actor),
    held: heldLocks(m, actor),
  };
}

/** The records of all actors of the plan. */
export const actorReports = (m: Machine, plan: Plan): ActorReport[] =>
  plan.actors.map((_, actor) => actorReport(m, plan, actor));

/** `dma holds mm0 mmap_lock (read), PTL of table 3`: one line about one actor. */
export function describeActor(report: ActorReport): string {
  const held = report.held.map((lock) => (lock.mode === 'read' ? `${lock.name} (read)` : lock.name));
  const last = report.steps === 0 ? 'has not run' : `last: ${report.last}`;
  return `${report.name} (worker ${report.worker}, ${report.state}): ${last}; holds ${held.length > 0 ? held.join(', ') : 'nothing'}`;
}
