/**
 * Wake-up trees (Abdulla, Aronis, Jonsson, Sagonas: Source Sets, a foundation for optimal dynamic partial order reduction, JACM 64(4),
 * 2017): at each node of the search what is still to be tried from there, as sequences of events that begin alike where they can.
 * Together with sleep sets, what has been tried there, they see to it that no execution is equivalent to one that ran before,
 * and that none has to be given up on its way.
 */
import { EFFECT_ACQUIRE } from '../../machine/effects.js';
import { BARS, NO_ACCESS, SLOTS, accessesDepend } from './dependence.js';

/** An event that may be done: who, and what it touches. */
export interface Move {
  readonly actor: number;
  /** Packed effects, SLOTS of them. */
  readonly accesses: readonly number[];
}

/** A move with what is to follow it. */
export interface Branch extends Move {
  readonly next: Branch[];
  /** It comes before what it was seen after, so it may touch something else than what it says. */
  readonly loose: boolean;
}

/** Whether two moves depend on each other. */
export function dependent(one: Move, other: Move): boolean {
  if (one.actor === other.actor) return true;
  for (let i = 0; i < SLOTS; i++) {
    const access = one.accesses[i] as number;
    if (access === NO_ACCESS) return false;
    for (let j = 0; j < SLOTS; j++) {
      const its = other.accesses[j] as number;
      if (its === NO_ACCESS) break;
      if (accessesDepend(access, its)) return true;
    }
  }
  return false;
}

/**
 * Whether `move` could be done first in place where `sequence` is to be done: it is in the sequence and nothing before it there orders it,
 * or it is not and does not depend on any of it. (A weak initial of the sequence.)
 * @returns where it is in the sequence, or sequence.length; -1 = it could not
 */
export function initialOf(move: Move, sequence: readonly Move[]): number {
  for (let i = 0; i < sequence.length; i++) {
    const each = sequence[i] as Move;
    if (each.actor === move.actor) {
      for (let j = 0; j < i; j++) if (dependent(sequence[j] as Move, each)) return -1;
      return i;
    }
  }
  for (const each of sequence) if (dependent(move, each)) return -1;
  return sequence.length;
}

/**
 * What follows on `branch`, whose move has touched `access`: where an attempt was to fail that did not, the actor's next move was to be
 * the acquisition that it has now.
 */
export function following({ actor, accesses, next }: Branch, access: number): Branch[] {
  const early = ((accesses[0] as number) & 15) === BARS && (access & 15) === EFFECT_ACQUIRE;
  return early ? withoutFirst(next, actor) : next;
}

const withoutFirst = (branches: readonly Branch[], actor: number): Branch[] =>
  branches.flatMap((branch) =>
    branch.actor === actor ? branch.next : [Object.assign({}, branch, { next: withoutFirst(branch.next, actor) })],
  );

/**
 * The sequences of a tree without the moves of some actors and what depends on those, as far as their last moves are left.
 * @param without actors, a bit each
 */
export function pruned(branch: Branch, without: number): Branch[][] {
  const found: Branch[][] = [];
  const kept: Branch[] = [];
  const left: Move[] = [];
  const visit = (each: Branch): void => {
    const goes = (without & (1 << each.actor)) !== 0 || left.some((move) => dependent(move, each));
    const list: Move[] = goes ? left : kept;
    list.push(each);
    if (each.next.length > 0) each.next.forEach(visit);
    else if (!goes) found.push(kept.slice());
    list.pop();
  };
  visit(branch);
  return found;
}

/**
 * Adds `sequence` to what is to be tried, unless a sequence there leads to the same.
 * @returns whether something was added
 */
export function insert(branches: Branch[], sequence: Branch[]): boolean {
  let at = branches;
  const rest = sequence.slice();
  for (;;) {
    let found: Branch | null = null;
    for (const branch of at) {
      const place = initialOf(branch, rest);
      if (place < 0 || (branch.loose && place === rest.length)) continue;
      if (place < rest.length) rest.splice(place, 1);
      found = branch;
      break;
    }
    if (found === null) break;
    if (found.next.length === 0 || rest.length === 0) return false;
    at = found.next;
  }
  let chain: Branch | null = null;
  for (let i = rest.length - 1; i >= 0; i--) {
    const { actor, accesses, loose } = rest[i] as Branch;
    chain = { actor, accesses, loose, next: chain === null ? [] : [chain] };
  }
  if (chain !== null) at.push(chain);
  return chain !== null;
}
