/** One actor as its host sees it: its coroutine, and what it waits for. */
import type { Context, Coroutine } from '../../machine/context.js';
import type { NoiseMaker } from './noise.js';
import { WAITERS } from '../../machine/wait.js';
import { ACTOR_STATE, ACTOR_WAIT_KIND, ACTOR_WAIT_VALUE, ACTOR_WAIT_WORD } from '../../machine/layout.js';

/** The coroutine may be resumed. */
export const MODE_RUNNABLE = 0;
/** Disabled while the lock word, its WAITERS bit apart, holds `value`. */
export const MODE_ON_LOCK = 1;
/** Disabled while the word holds `value`. */
export const MODE_ON_WORD = 2;
/** Disabled until `wakeAt`: it sleeps, or, in the middle of an operation, the noise maker holds it up. */
export const MODE_ON_TIMER = 3;
/** A drain holds it at an idle point. */
export const MODE_STOPPED = 4;
export const MODE_RETURNED = 5;

/**
 * The kind of an actor that has not been resumed yet: it stands at the top of its loop, as with IDLE_TOP, and waits for nothing. Behind
 * all kinds of effects: what equals one of them is taken for it by whoever reads the record (a worker that was slow to start was
 * reported as a deadlock on word 0).
 */
export const NOT_STARTED = 16;

/** All actors of a host have this one shape, so that the loop over them stays monomorphic. */
export class HostedActor {
  readonly actor: number;
  /** 0 client, 1 daemon, 2 server. */
  readonly tier: number;
  readonly ctx: Context;
  readonly coroutine: Coroutine<void>;
  mode = MODE_RUNNABLE;
  /** The kind of what it yielded last, or NOT_STARTED. */
  kind = NOT_STARTED;
  word = 0;
  value = 0;
  /** Host clock, microseconds. */
  wakeAt = 0;
  /** What it goes back to when the drain is over. */
  modeBeforeStop = MODE_RUNNABLE;
  /** To return by itself, whatever the others do. */
  retiring = false;
  /** Resumes out of an idle point since it was told to return. */
  nudges = 0;
  /** Who holds it up now and then; null = nobody. */
  readonly noise: NoiseMaker | null;

  constructor(actor: number, tier: number, ctx: Context, coroutine: Coroutine<void>, noise: NoiseMaker | null = null) {
    this.noise = noise;
    this.actor = actor;
    this.tier = tier;
    this.ctx = ctx;
    this.coroutine = coroutine;
  }
}

/** Says in the actor's shared record what it waits for, as ACTOR_STATE `state`. */
export function recordWait(a: HostedActor, state: number): void {
  const { words, recordAt } = a.ctx;
  words[recordAt + ACTOR_WAIT_KIND] = a.kind;
  words[recordAt + ACTOR_WAIT_WORD] = a.word;
  words[recordAt + ACTOR_WAIT_VALUE] = a.value;
  words[recordAt + ACTOR_STATE] = state;
}

/** Whether the actor waits for a word that has changed, by a plain load. */
export function isWaitOver(a: HostedActor, words: Int32Array): boolean {
  const now = words[a.word] as number;
  if (a.mode === MODE_ON_LOCK) return (now & ~WAITERS) !== a.value;
  return a.mode === MODE_ON_WORD && now !== a.value;
}
