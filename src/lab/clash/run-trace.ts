/** One run of a schedule, step by step: who, what it touched, what the word held before and after, and in which functions it stood. */
import { guestAccess, hostAccess } from '../../machine/access.js';
import {
  EFFECT_ACQUIRE,
  EFFECT_ACQUIRE_READ,
  EFFECT_ADD,
  EFFECT_READ,
  EFFECT_RELEASE,
  EFFECT_RELEASE_READ,
  EFFECT_RMW,
  EFFECT_TRY,
  EFFECT_WRITE,
  WAIT_LOCK,
  effectKind,
  effectWord,
} from '../../machine/effects.js';
import type { OneThread, StepObserver } from '../../engine/one-thread/one-thread.js';
import type { StepTrace } from '../../engine/one-thread/races.js';
import type { Strategy } from '../../engine/strategies/strategy.js';

/** What a step is to others that touch its word. */
export const NOTHING = 0;
/** It sees what the word holds. */
export const LOOK = 1;
/** It changes that. */
export const CHANGE = 2;
/** It takes the lock in it, for itself or with others: what the lock protects may be touched without a step. */
export const LOCK = 3;
export const LOCK_SHARED = 4;
export const UNLOCK = 5;

/** Step i of the schedule is entry i - 1 of each. */
export interface RunTrace extends StepTrace {
  readonly choices: Uint8Array;
  /** NOTHING to UNLOCK. */
  readonly kinds: readonly number[];
  /** What the step's word held. */
  readonly before: readonly number[];
  readonly after: readonly number[];
  /** Numbers of the two innermost functions. */
  readonly sites: readonly number[];
  /** Whether the MMU does it, and no function of the kernel. */
  readonly mmu: readonly boolean[];
  /** For whom it is done: of a server (EL2) who called it, else the actor itself. */
  readonly who: readonly number[];
  /** Where that one's call began; of steps that are nobody else's, themselves. */
  readonly calls: readonly number[];
  /** Numbers of operations: what an actor's loop calls, from its beginning to its end. */
  readonly operations: readonly number[];
}

const MMU: ReadonlySet<unknown> = new Set([hostAccess.prototype, guestAccess.prototype]);

/** Numbers for functions: a generator's prototype is its function's own. */
const numbers = new WeakMap<object, number>();
let functions = 0;

function numberOf(coroutine: object | undefined): number {
  if (coroutine === undefined) return 0;
  const own = Object.getPrototypeOf(coroutine) as object;
  let number = numbers.get(own);
  if (number === undefined) numbers.set(own, (number = ++functions));
  return number;
}

function kindOf(effect: number, before: number, after: number): number {
  switch (effectKind(effect)) {
    case EFFECT_READ:
      return LOOK;
    case EFFECT_WRITE:
    case EFFECT_ADD:
      return CHANGE;
    case EFFECT_RMW:
      return before === after ? LOOK : CHANGE;
    case EFFECT_ACQUIRE:
    case EFFECT_TRY:
    case WAIT_LOCK:
      return LOCK;
    case EFFECT_ACQUIRE_READ:
      return LOCK_SHARED;
    case EFFECT_RELEASE:
    case EFFECT_RELEASE_READ:
      return UNLOCK;
    default:
      // somebody waits: that it goes on is no decision
      return NOTHING;
  }
}

/**
 * Runs a schedule by `strategy`, which has begun, and writes it down. `thread` holds the end.
 * @param meddler is told of each step before and after this is
 */
export function traceRun(
  thread: OneThread,
  strategy: Strategy,
  variation: number,
  meddler: StepObserver | null = null,
): RunTrace {
  const { words } = thread.program;
  const actors: number[] = [];
  const effects: number[] = [];
  const kinds: number[] = [];
  const before: number[] = [];
  const after: number[] = [];
  const sites: number[] = [];
  const mmu: boolean[] = [];
  const operations: number[] = [];
  const operation = thread.program.actors.map(() => ({ call: undefined as object | undefined, number: 0 }));
  let opened = 0;
  const { observer } = thread;
  const note: StepObserver = {
    beforeStep(actor, effect, step) {
      if (step === 0) return;
      meddler?.beforeStep(actor, effect, step);
      const calls = thread.calls(actor);
      const inner = calls.at(-1);
      const open = operation[actor] as { call: object | undefined; number: number };
      if (open.call !== calls[1] || opened === 0) [open.call, open.number] = [calls[1], ++opened];
      operations.push(open.number);
      actors.push(actor);
      effects.push(effect);
      before.push(words[effectWord(effect)] as number);
      sites.push(numberOf(inner) * 4096 + numberOf(calls.at(-2)));
      mmu.push(inner !== undefined && MMU.has(Object.getPrototypeOf(inner)));
    },
    afterStep(actor, next, step) {
      if (step === 0) return;
      meddler?.afterStep(actor, next, step);
      const effect = effects.at(-1) as number;
      const now = words[effectWord(effect)] as number;
      after.push(now);
      kinds.push(kindOf(effect, before.at(-1) as number, now));
    },
  };
  thread.observer = note;
  try {
    thread.run(strategy, variation);
  } finally {
    thread.observer = observer;
  }
  // a step that threw has no end
  actors.length = effects.length = kinds.length;
  onlyWhereTaken(actors, effects, kinds);
  const { who, calls } = servedFor(thread, actors, effects, before);
  const done = thread.choices.slice(0, kinds.length);
  return { choices: done, actors, effects, kinds, before, after, sites, mmu, who, calls, operations };
}

/** An attempt that had to wait has taken nothing: the step after the wait has. */
function onlyWhereTaken(actors: readonly number[], effects: readonly number[], kinds: number[]): void {
  const last = new Map<number, number>();
  actors.forEach((actor, step) => {
    const earlier = last.get(actor);
    last.set(actor, step);
    const effect = effects[step] as number;
    if (earlier === undefined || effectKind(effect) !== WAIT_LOCK) return;
    if (effectWord(effects[earlier] as number) !== effectWord(effect) || (kinds[earlier] as number) < LOCK) return;
    kinds[step] = kinds[earlier] as number;
    kinds[earlier] = NOTHING;
  });
}

/**
 * For whom servers work: from the moment in which one begins to wait for a request until it has answered it, for the one who asked.
 * The request began where that one wrote it.
 */
function servedFor(
  { program }: OneThread,
  actors: readonly number[],
  effects: readonly number[],
  before: readonly number[],
): { who: number[]; calls: number[] } {
  const who = actors.slice();
  const calls = actors.map((_, step) => step);
  if (program.requester === undefined) return { who, calls };
  const posted = new Map<number, number>();
  /** By server: its first step since it has answered the last one; for whom it works now, and since when that one waits. */
  const idleSince = new Map<number, number>();
  const serves = new Map<number, { caller: number; call: number }>();
  actors.forEach((actor, step) => {
    const effect = effects[step] as number;
    const caller = effectWord(effect) === 0 ? -1 : (program.requester?.(effectWord(effect)) ?? -1);
    const writes = effectKind(effect) === EFFECT_WRITE;
    if (caller === actor && writes) posted.set(actor, step);
    const begins = caller >= 0 && caller !== actor && !writes && before[step] === 1;
    if (begins) {
      const call = posted.get(caller) ?? step;
      serves.set(actor, { caller, call });
      for (let at = idleSince.get(actor) ?? step; at < step; at++) {
        if (actors[at] !== actor) continue;
        who[at] = caller;
        calls[at] = call;
      }
    }
    const served = serves.get(actor);
    if (served === undefined) {
      if (!idleSince.has(actor)) idleSince.set(actor, step);
      return;
    }
    who[step] = served.caller;
    calls[step] = served.call;
    if (caller === served.caller && writes) {
      serves.delete(actor);
      idleSince.set(actor, step + 1);
    }
  });
  return { who, calls };
}

/** Whether the order of the two steps, of two actors at one word, can matter. */
export function conflict({ kinds, effects }: RunTrace, x: number, y: number): boolean {
  const [one, other] = [kinds[x] as number, kinds[y] as number];
  if (one >= LOCK || other >= LOCK) {
    return (one === LOCK && (other === LOCK || other === LOCK_SHARED)) || (one === LOCK_SHARED && other === LOCK);
  }
  if (one === NOTHING || other === NOTHING || (one === LOOK && other === LOOK)) return false;
  // the order of two additions is never seen
  return effectKind(effects[x] as number) !== EFFECT_ADD || effectKind(effects[y] as number) !== EFFECT_ADD;
}
