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

/** What the host does at moments that the loop finds. */
export interface HostHooks {
  /** Before the worker tells that its actors stand still. */
  readonly beforeDrained: () => void;
  readonly returned: (actor: HostedActor) => void;
}
