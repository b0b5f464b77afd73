/**
 * Which steps race: two actors' effects whose order can matter. Same word, and one of them changes it. A release and the
 * acquisition of the same lock do not: that acquisition cannot come first.
 */
import {
  EFFECT_ACQUIRE,
  EFFECT_ACQUIRE_READ,
  EFFECT_LOCAL,
  EFFECT_READ,
  EFFECT_RELEASE,
  EFFECT_RELEASE_READ,
  EFFECT_RETRY,
  IDLE_SLEEP,
  IDLE_WORD,
  WAIT_LOCK,
  WAIT_WORD,
} from '../../machine/effects.js';

const NONE = 0;
const LOADS = 1;
const CHANGES = 2;
const TAKES = 3;
const GIVES = 4;

/** By effect kind. */
const CLASS = new Uint8Array(16).fill(CHANGES);
for (const kind of [EFFECT_READ, EFFECT_ACQUIRE_READ, WAIT_WORD, IDLE_WORD]) CLASS[kind] = LOADS;
for (const kind of [EFFECT_ACQUIRE, WAIT_LOCK]) CLASS[kind] = TAKES;
for (const kind of [EFFECT_RELEASE, EFFECT_RELEASE_READ]) CLASS[kind] = GIVES;
for (const kind of [EFFECT_LOCAL, EFFECT_RETRY]) CLASS[kind] = NONE;
for (let kind = IDLE_SLEEP; kind < 16; kind++) CLASS[kind] = NONE;

/** Whether an effect is about a shared word that others may race for: the end of a critical section is not. */
export const isAccess = (effect: number): boolean => {
  const its = CLASS[effect & 15] as number;
  return its !== NONE && its !== GIVES;
};

/** Whether an effect changes its word (or takes the lock at it). */
export const isChange = (effect: number): boolean => (CLASS[effect & 15] as number) >= CHANGES;

/** Whether the order of the two can matter. */
export function races(effect: number, other: number): boolean {
  if (effect >>> 4 !== other >>> 4) return false;
  const one = CLASS[effect & 15] as number;
  const two = CLASS[other & 15] as number;
  if (one === NONE || two === NONE || (one === LOADS && two === LOADS)) return false;
  return !(one >= TAKES && two >= TAKES && one + two > TAKES + TAKES);
}
