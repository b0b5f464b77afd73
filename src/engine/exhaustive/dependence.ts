/**
 * Which steps depend on each other: those that touch one word, unless their order cannot be told (Mazurkiewicz, Trace theory, 1987).
 *
 *   two loads; two additions; two readers of one lock          commute
 *   a release and the next acquisition of the same lock        are ordered, but the acquisition cannot come first: the two
 *                                                              critical sections race by their acquisitions
 *   a writer's failed attempt, which bars later readers,       commutes with releases: who comes after it still waits for the
 *   (a fair reader-writer lock's PENDING)                      writer, and that is what its race with the readers is about
 *   everything else                                            races: either order is an execution of its own
 */
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
} from '../../machine/effects.js';

/** The kind of an attempt that failed and left a mark: EFFECT_ACQUIRE is what was declared. No effect kind is equal to it. */
export const BARS = 11;

/** Accesses that one step has at most: the declared one, and what it touched beside it. Unused ones are NO_ACCESS. */
export const SLOTS = 16;
export const NO_ACCESS = -1;

export const COMMUTE = 0;
const RACE = 1;
/** The later one could not have come first. */
export const ORDER = 2;

const KINDS = [
  EFFECT_READ,
  EFFECT_WRITE,
  EFFECT_RMW,
  EFFECT_ACQUIRE,
  EFFECT_RELEASE,
  EFFECT_ACQUIRE_READ,
  EFFECT_RELEASE_READ,
  EFFECT_TRY,
  EFFECT_ADD,
  BARS,
];

const isRelease = (kind: number): boolean => kind === EFFECT_RELEASE || kind === EFFECT_RELEASE_READ;
const isShared = (kind: number): boolean => kind === EFFECT_ACQUIRE_READ || kind === EFFECT_RELEASE_READ;
const isOfLock = (kind: number): boolean => kind === EFFECT_ACQUIRE || isShared(kind) || isRelease(kind);

function relationOf(earlier: number, later: number): number {
  if (earlier === later && (earlier === EFFECT_READ || earlier === EFFECT_ADD || earlier === BARS)) return COMMUTE;
  if (isShared(earlier) && isShared(later)) return COMMUTE;
  if ((earlier === BARS && isRelease(later)) || (later === BARS && isRelease(earlier))) return COMMUTE;
  return isOfLock(earlier) && isOfLock(later) && (isRelease(earlier) || isRelease(later)) ? ORDER : RACE;
}

/** By `kind of the earlier << 4 | kind of the later`, of two accesses to one word. */
const RELATIONS = new Uint8Array(256);
for (const earlier of KINDS) for (const later of KINDS) RELATIONS[(earlier << 4) | later] = relationOf(earlier, later);

/** COMMUTE, RACE or ORDER, of two accesses to one word by their kinds. */
export const relation = (earlier: number, later: number): number => RELATIONS[(earlier << 4) | later] as number;

/** Whether two accesses (packed effects) depend on each other. */
export const accessesDepend = (one: number, other: number): boolean =>
  one >>> 4 === other >>> 4 && RELATIONS[((one & 15) << 4) | (other & 15)] !== COMMUTE;

/** Everything earlier on the word comes before such an access. */
export const isBarrier = (kind: number): boolean =>
  kind === EFFECT_WRITE || kind === EFFECT_RMW || kind === EFFECT_TRY || kind === EFFECT_ACQUIRE;
