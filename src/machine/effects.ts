/**
 * What a coroutine yields: one packed integer, `word << 4 | kind`. It declares the effect that follows the
 * schedule point, or what the actor waits for. Strategies, the checking build and diagrams read it.
 */

/** The effect kinds (bits 0 to 3 of a yielded integer). */
export const EFFECT_READ = 0;
export const EFFECT_WRITE = 1;
/** An atomic read-modify-write. */
export const EFFECT_RMW = 2;
export const EFFECT_ACQUIRE = 3;
export const EFFECT_RELEASE = 4;
/** No shared word: cond_resched, a turn of a loop that is counted. */
export const EFFECT_LOCAL = 5;
/** A lock taken together with others: the order of two such acquisitions does not matter, nor that of their releases. */
export const EFFECT_ACQUIRE_READ = 6;
export const EFFECT_RELEASE_READ = 7;
/** One attempt to take a lock that may fail and then does not wait: a trylock. */
export const EFFECT_TRY = 8;
/**
 * No shared word: the top of a loop that goes on for as long as it takes. Each time the actor stands here in the same state of its
 * own: a turn after which every word it touched holds what it did before has led nowhere, and so would the next.
 */
export const EFFECT_RETRY = 9;
/** An atomic addition whose result nobody looks at: the order of two does not matter. */
export const EFFECT_ADD = 10;
/** Waits while a lock word (its WAITERS bit apart) holds `ctx.waitValue`; the unlock rings if that bit is set. */
export const WAIT_LOCK = 11;
/** Waits while a plain word holds `ctx.waitValue`; whoever changes it calls `wake`. */
export const WAIT_WORD = 12;
/** As WAIT_WORD, between two operations: the actor holds nothing, and counts as drained. */
export const IDLE_WORD = 13;
/** Between two operations, until `ctx.sleepMicros` have passed (one-thread runs: no time passes, any moment will do). */
export const IDLE_SLEEP = 14;
/** Between two operations, nothing to wait for: a drain stops the actor here. */
export const IDLE_TOP = 15;

/** Everything from here on is a wait or an idle point; below it, a plain schedule point. */
export const FIRST_WAIT = WAIT_LOCK;
/** Everything from here on is idle: no lock, reference or window is held. */
export const FIRST_IDLE = IDLE_WORD;

/** A schedule point before a marked load of `word`. */
export const reads = (word: number): number => (word << 4) | EFFECT_READ;
/** A schedule point before a marked store to `word`. */
export const writes = (word: number): number => (word << 4) | EFFECT_WRITE;
/** A schedule point before an atomic read-modify-write of `word`. */
export const updates = (word: number): number => (word << 4) | EFFECT_RMW;
/** A schedule point before an atomic addition to `word` of which nobody looks at the result. */
export const adds = (word: number): number => (word << 4) | EFFECT_ADD;
/** A schedule point before the attempt to take the lock at `word`, waiting for it if need be. For trylocks: {@link tries}. */
export const acquires = (word: number): number => (word << 4) | EFFECT_ACQUIRE;
/** A schedule point before the release of the lock at `word`. */
export const releases = (word: number): number => (word << 4) | EFFECT_RELEASE;
/** As {@link acquires}, for reading. The lock of a VMA may refuse too. */
export const acquiresRead = (word: number): number => (word << 4) | EFFECT_ACQUIRE_READ;
/** A schedule point before a reader's release of the lock at `word`. */
export const releasesRead = (word: number): number => (word << 4) | EFFECT_RELEASE_READ;
/** A schedule point before a trylock of the lock at `word`. */
export const tries = (word: number): number => (word << 4) | EFFECT_TRY;
/** A schedule point that touches nothing shared. */
export const LOCAL = EFFECT_LOCAL;
/** A schedule point at the top of a loop without bound. */
export const RETRY = EFFECT_RETRY;

export const effectKind = (effect: number): number => effect & 15;
export const effectWord = (effect: number): number => effect >>> 4;

/** The words a diagram or a report uses for each kind. */
export const EFFECT_NAMES: Readonly<Record<number, string>> = {
  [EFFECT_READ]: 'read',
  [EFFECT_WRITE]: 'write',
  [EFFECT_RMW]: 'update',
  [EFFECT_ACQUIRE]: 'acquire',
  [EFFECT_RELEASE]: 'release',
  [EFFECT_LOCAL]: 'local',
  [EFFECT_ACQUIRE_READ]: 'acquire for reading',
  [EFFECT_RELEASE_READ]: 'release for reading',
  [EFFECT_TRY]: 'try',
  [EFFECT_RETRY]: 'retry',
  [EFFECT_ADD]: 'add',
  [WAIT_LOCK]: 'wait for lock',
  [WAIT_WORD]: 'wait for word',
  [IDLE_WORD]: 'idle',
  [IDLE_SLEEP]: 'sleep',
  [IDLE_TOP]: 'top of loop',
};
