/** The noise maker among actors that run as coroutines: one that is held up waits for a timer, and the others of its worker run. */
import { FIRST_IDLE } from '../../machine/effects.js';
import type { Machine } from '../../machine/layout.js';
import { STAT, countStat } from '../../machine/stats.js';
import { type HostedActor, MODE_ON_TIMER } from './hosted-actor.js';
import type { NoiseMaker } from './noise.js';
import { PHASE_RUN, phaseKind } from '../machine/phase.js';

/** Points between two questions of the noise maker, where it has nothing in view. */
const LOOK_POINTS = 1024;

/** The others of its worker may soon wait for what it holds, and then all of them stand still. */
const CAP_MICROS = 4000;

/** Whether the actor is held up in the middle of an operation. */
export const isHeldUp = (a: HostedActor): boolean => a.mode === MODE_ON_TIMER && a.kind < FIRST_IDLE;

/**
 * The noise maker's turn: the actor stands at a point, having been given so many of them.
 * @param phase HDR_PHASE as the host knows it: nobody is held up but in a run
 * @param clock the host's, microseconds
 * @returns whether the actor waits for its timer now
 */
export function holdUp(
  m: Machine,
  a: HostedActor,
  noise: NoiseMaker,
  given: number,
  phase: number,
  clock: () => number,
): boolean {
  // nor asked: where an actor is stepped, its quantum tells where it stands (step-trace.ts)
  if (phaseKind(phase) !== PHASE_RUN) return false;
  const micros = Math.min(CAP_MICROS, noise.at(a.kind, a.kind, clock, given - a.ctx.quantum, LOOK_POINTS));
  if (micros === 0) return false;
  const now = clock();
  noise.held(now + micros, micros);
  countStat(m, a.actor, STAT.noise_delays, 1);
  countStat(m, a.actor, STAT.noise_us, micros);
  a.mode = MODE_ON_TIMER;
  a.wakeAt = now + micros;
  return true;
}
