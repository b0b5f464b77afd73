/**
 * What a host does with a single actor while the others stand still: lets it leave for another worker (at a drain), or makes
 * one step of it (in a freeze).
 */
import { ownState, takeOver } from '../../machine/current/own-state.js';
import { FIRST_IDLE } from '../../machine/effects.js';
import { conditionChanged } from '../../machine/wait.js';
import type { MovedActor } from '../threads/control.js';
import type { HostLoop } from './host-loop.js';
import {
  type HostedActor,
  MODE_ON_LOCK,
  MODE_ON_TIMER,
  MODE_ON_WORD,
  MODE_RETURNED,
  MODE_STOPPED,
  NOT_STARTED,
} from './hosted-actor.js';

/** Resumes that an actor may need from its idle point to its end. */
const LEAVING_RESUMES_MAX = 1000;

/**
 * Takes an actor that a drain has stopped out of the loop, with what it needs to go on elsewhere.
 * @param now host clock, microseconds
 * @throws when it does not return from its idle point
 */
export function leave(loop: HostLoop, a: HostedActor, now: number): MovedActor {
  if (a.mode === MODE_RETURNED) {
    loop.remove(a);
    return { returned: true, own: null, sleepMicros: 0 };
  }
  if (a.mode !== MODE_STOPPED) throw new Error(`actor ${a.actor} is in the middle of an operation`);
  const sleepMicros = a.modeBeforeStop === MODE_ON_TIMER ? Math.max(0, a.wakeAt - now) : 0;
  const { ctx } = a;
  // one that has not begun has what it came with
  if (a.kind !== NOT_STARTED) {
    ctx.drain = false;
    ctx.finish = true;
    ctx.leaving = true;
    ctx.carried = null;
    for (let resumes = 0; !hasReturned(a); resumes++) {
      if ((isWaiting(a) && a.kind < FIRST_IDLE) || resumes === LEAVING_RESUMES_MAX)
        throw new Error(`actor ${a.actor} does not leave its idle point`);
      loop.resumeApart(a);
    }
  }
  loop.remove(a);
  return { returned: false, own: ownState(ctx), sleepMicros };
}

/** Gives an actor what it has brought from its last worker, before it is added to the loop. */
export function unpack(a: HostedActor, moved: MovedActor, now: number): void {
  if (moved.own !== null) takeOver(a.ctx, moved.own);
  if (moved.sleepMicros <= 0) return;
  a.mode = MODE_ON_TIMER;
  a.wakeAt = now + moved.sleepMicros;
}

/**
 * Makes one step of an actor: what it does at the schedule point where it stands, up to the next one.
 * @returns false when it waits for something that has not come yet, or has returned
 */
export function stepOnce(loop: HostLoop, a: HostedActor): boolean {
  if (hasReturned(a) || isWaiting(a)) return false;
  const usual = loop.quantum;
  loop.quantum = 0;
  try {
    loop.resumeApart(a);
  } finally {
    loop.quantum = usual;
  }
  return true;
}

/** A function, since a resume changes it behind the compiler's back. */
const hasReturned = (a: HostedActor): boolean => a.mode === MODE_RETURNED;

const isWaiting = (a: HostedActor): boolean =>
  (a.mode === MODE_ON_LOCK || a.mode === MODE_ON_WORD) && !conditionChanged(a.ctx.words, a.kind, a.word, a.value);
