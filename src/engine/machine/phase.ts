/**
 * The words by which the main thread and the workers of a run on real threads understand each other.
 *
 * HDR_PHASE holds what all workers shall do: `sequence << 4 | PHASE_*`, the sequence growing with every command, so that
 * an answer names the command that it answers. A worker answers in two words of its own: WORKER_PARKED (it touches no
 * memory before it has looked at HDR_PHASE again) and WORKER_DRAINED (the command for which all its actors stand still).
 *
 *   RUN       actors run
 *   FREEZE    workers park where they are, between two resumes
 *   DRAIN_t   actors of tier t and below stop at their idle points (clients, then daemons, then servers)
 *   FINISH_t  actors of tier t and below return at the top of their loops
 *   END       hosts return
 */
import {
  ACTOR_EFFECT,
  ACTOR_STATE,
  ACTOR_STEPS,
  ACTOR_WORKER,
  HDR_ABORT,
  HDR_PHASE,
  type Machine,
  WAIT_TABLE_WORDS,
  WORKERS_MAX,
  WORKER_CURRENT,
  WORKER_DRAINED,
  WORKER_PARKED,
  WORKER_TIME,
  actorWord,
  workerWord,
} from '../../machine/layout.js';
import { ringDoorbell } from '../../machine/wait.js';
import type { ActorSpec } from '../../plan/plan.js';

export const PHASE_RUN = 0;
export const PHASE_FREEZE = 1;
/** PHASE_DRAIN + tier, PHASE_FINISH + tier. */
export const PHASE_DRAIN = 2;
export const PHASE_FINISH = 5;
export const PHASE_END = 8;

/** The order in which actors stop: a client's operation may need a daemon or a server, never the other way round. */
export const TIERS = ['client', 'daemon', 'server'] as const;
export const tierOf = (spec: ActorSpec): number => TIERS.indexOf(spec.tier);

export const phaseKind = (phase: number): number => phase & 15;
/** The highest tier that a DRAIN or FINISH speaks of, or -1. */
export function phaseTier(phase: number): number {
  const kind = phaseKind(phase);
  if (kind < PHASE_DRAIN || kind >= PHASE_END) return -1;
  return kind < PHASE_FINISH ? kind - PHASE_DRAIN : kind - PHASE_FINISH;
}
export const isDrain = (phase: number): boolean => phaseKind(phase) >= PHASE_DRAIN && phaseKind(phase) < PHASE_FINISH;
export const isFinish = (phase: number): boolean => phaseKind(phase) >= PHASE_FINISH && phaseKind(phase) < PHASE_END;

/** Values of WORKER_PARKED. All but 0 count as parked at a freeze. */
export const NOT_PARKED = 0;
export const PARKED_FROZEN = 1;
export const PARKED_ASLEEP = 2;
/** A lossless ring is full: the worker waits for its reader. */
export const PARKED_RING_FULL = 3;

/** Values of ACTOR_STATE. */
export const ACTOR_ABSENT = 0;
export const ACTOR_RUNNABLE = 1;
/** Waits for a word or a lock in the middle of an operation. */
export const ACTOR_BLOCKED = 2;
/** Between two operations: waits for a word, or for its time. */
export const ACTOR_IDLE = 3;
export const ACTOR_ASLEEP = 4;
/** Its coroutine returned, or threw. */
export const ACTOR_RETURNED = 5;
export const ACTOR_THREW = 6;

export const ACTOR_STATE_NAMES = ['absent', 'runnable', 'blocked', 'idle', 'asleep', 'returned', 'threw'] as const;

export const actorState = (m: Machine, actor: number): number =>
  Atomics.load(m.words, actorWord(m, actor, ACTOR_STATE));

/**
 * Forgets what an earlier run on the same machine left in the engine's words.
 * @param placement the worker of each actor
 */
export function resetWords(m: Machine, placement: readonly number[]): void {
  Atomics.store(m.words, HDR_ABORT, 0);
  m.words.fill(0, m.waitTableAt, m.waitTableAt + WAIT_TABLE_WORDS);
  for (let worker = 0; worker < WORKERS_MAX; worker++) {
    for (const field of [WORKER_PARKED, WORKER_DRAINED, WORKER_CURRENT, WORKER_TIME]) {
      m.words[workerWord(m, worker, field)] = 0;
    }
  }
  placement.forEach((worker, actor) => {
    for (const field of [ACTOR_STATE, ACTOR_EFFECT, ACTOR_STEPS]) m.words[actorWord(m, actor, field)] = 0;
    m.words[actorWord(m, actor, ACTOR_WORKER)] = worker;
  });
}

/** Gives all workers a command. Returns the phase word that their answers will name. */
export function command(m: Machine, workers: number, kind: number): number {
  const sequence = (Atomics.load(m.words, HDR_PHASE) >>> 4) + 1;
  const phase = ((sequence & 0x7ffffff) << 4) | kind;
  Atomics.store(m.words, HDR_PHASE, phase);
  for (let worker = 0; worker < workers; worker++) ringDoorbell(m, worker);
  return phase;
}

/** Whether every worker is parked. Ask only while the phase is FREEZE: then it stays true until the next command. */
export function allParked(m: Machine, workers: number): boolean {
  for (let worker = 0; worker < workers; worker++) {
    if (Atomics.load(m.words, workerWord(m, worker, WORKER_PARKED)) === NOT_PARKED) return false;
  }
  return true;
}

/** Whether every worker has answered the DRAIN or FINISH `phase`. */
export function allDrained(m: Machine, workers: number, phase: number): boolean {
  for (let worker = 0; worker < workers; worker++) {
    if (Atomics.load(m.words, workerWord(m, worker, WORKER_DRAINED)) !== phase) return false;
  }
  return true;
}

/** Stops everybody where he stands: what the machine holds is of no more use. */
export function abortAll(m: Machine, workers: number): void {
  Atomics.store(m.words, HDR_ABORT, 1);
  for (let worker = 0; worker < workers; worker++) ringDoorbell(m, worker);
}
