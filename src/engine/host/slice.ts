/** What a host's loop and its surroundings tell each other. */
import type { HostedActor } from './hosted-actor.js';

/** Why a slice ended. */
export const SLICE_SPENT = 0;
/** Somebody wants the event loop. */
export const SLICE_CONTROL = 1;
export const SLICE_FREEZE = 2;
export const SLICE_END = 3;
export const SLICE_ABORT = 4;

/** Sleepers look up this often when `timeouts` is on. */
export const SLEEP_MS_MAX = 20;
/** How long the event loop waits while the worker waits for the reader of its ring. */
export const READER_MS_MAX = 5;

/** Turns of a retry loop that are made at once. */
const RETRIES_AT_ONCE = 4;
const BACKOFF_MICROS = 20;
const BACKOFF_MICROS_MAX = 1000;

/**
 * How long an actor that has retried `retries` times leaves the CPU to others, microseconds. A retry waits for an actor that has to get on:
 * a real machine has a CPU for it, or its scheduler takes this one away at the loop's cond_resched(). Our threads are more than the cores,
 * and a dozen that retry would keep the one that they all wait for from running.
 */
export function backoffMicros(retries: number): number {
  if (retries <= RETRIES_AT_ONCE) return 0;
  return Math.min(BACKOFF_MICROS * 2 ** (retries - RETRIES_AT_ONCE), BACKOFF_MICROS_MAX);
}

/** What the host does at moments that the loop finds. */
export interface HostHooks {
  /** Before the worker tells that its actors stand still. */
  readonly beforeDrained: () => void;
  readonly returned: (actor: HostedActor) => void;
}
