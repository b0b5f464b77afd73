/**
 * The nodes of the search tree on the way to where it stands: node i is the state before event i of the trace. At each, what has
 * been tried from there and sleeps (Godefroid, Partial-order methods for the verification of concurrent systems, LNCS 1032,
 * 1996), and the wake-up tree of what is to be.
 */
import { NO_ACCESS, SLOTS } from './dependence.js';
import type { Trace } from './trace.js';
import { type Branch, type Move, dependent, initialOf, insert } from './wakeup-tree.js';

/** A list of moves that have been tried; those of one node follow on what it has inherited. */
interface Sleeper extends Move {
  readonly next: Sleeper | null;
}

/** A node as plain data: what was tried at it, without what it inherited, and what is open. */
export interface SavedNode {
  /** The event that was to come, and the number of steps that lead there. */
  readonly at: number;
  readonly step: number;
  /** The move by which the search has gone on from it; null at the last node. */
  readonly chosen: Move | null;
  readonly tried: readonly Move[];
  readonly open: Branch[];
}

export class Nodes {
  readonly #trace: Trace;
  #sleep: (Sleeper | null)[] = [null];
  #tried: number[] = [0];
  #open: Branch[][] = [[]];
  /** Nodes to come that are known already, by number. */
  #saved = new Map<number, SavedNode>();
  readonly #moves: (Branch | null)[] = [];

  constructor(trace: Trace) {
    this.#trace = trace;
  }

  /** Back to the root, with what is known of it and nodes to come. */
  reset(saved: readonly SavedNode[]): void {
    this.#saved = new Map(saved.map((node) => [node.at, node]));
    this.#moves.length = 0;
    this.#sleep = [];
    this.#tried = [];
    this.#open = [];
    this.#enter(0, null, []);
  }

  /** Event `event` has been appended: there is a node behind it, with `open` to be tried. */
  advance(event: number, open: Branch[]): void {
    this.#moves[event] = null;
    const sleep = this.#sleep[event] ?? null;
    this.#enter(event + 1, sleep === null ? null : this.#awake(sleep, this.move(event)), open);
  }

  /** Which actors sleep at `node`, a bit each. */
  asleep(node: number): number {
    let mask = 0;
    for (let each = this.#sleep[node] ?? null; each !== null; each = each.next) mask |= 1 << each.actor;
    return mask;
  }

  sleepers(node: number): Sleeper | null {
    return this.#sleep[node] ?? null;
  }

  open(node: number): Branch[] {
    return this.#open[node] as Branch[];
  }

  /** Event `event` as a move. One object, until the event is another. */
  move(event: number): Branch {
    let move = this.#moves[event] ?? null;
    if (move === null) {
      const accesses: number[] = [];
      for (let slot = 0; slot < SLOTS; slot++) accesses.push(this.#trace.accesses[event * SLOTS + slot] as number);
      move = { actor: this.#trace.actor[event] as number, accesses, next: [], loose: false };
      this.#moves[event] = move;
    }
    return move;
  }

  /** What was chosen at `node` has been tried: it sleeps, and the trace goes back to there. Returns what is next there. */
  retry(node: number): Branch {
    if (node < this.#trace.length) {
      const { actor, accesses } = this.move(node);
      this.#sleep[node] = { actor, accesses, next: this.#sleep[node] ?? null };
      this.#tried[node] = (this.#tried[node] as number) + 1;
    }
    this.#sleep.length = node + 1;
    this.#tried.length = node + 1;
    this.#open.length = node + 1;
    this.#moves.length = node;
    return this.#open[node]?.shift() as Branch;
  }

  /** Puts sequences to what is open at `node`, unless what has been tried there leads to the same. */
  add(node: number, sequences: readonly Branch[][]): void {
    for (const sequence of sequences) {
      let known = false;
      for (let each = this.sleepers(node); each !== null; each = each.next) known ||= initialOf(each, sequence) >= 0;
      if (!known) insert(this.open(node), sequence);
    }
  }

  /** The deepest node with something open, or -1. */
  deepest(): number {
    let node = this.#open.length - 1;
    while (node >= 0 && this.#open[node]?.length === 0) node--;
    return node;
  }

  /** Branches that are open, of all nodes. */
  openCount(): number {
    return this.#open.reduce((sum, open) => sum + open.length, 0);
  }

  /** What share of the tree has been searched, if branches of a node are as large as one another (after Knuth 1975). */
  share(): number {
    let share = 0;
    let weight = 1;
    for (let node = 0; node < this.#open.length; node++) {
      const tried = this.#tried[node] as number;
      const known = tried + 1 + (this.#open[node] as Branch[]).length;
      share += (weight * tried) / known;
      weight /= known;
    }
    return share;
  }

  /** Nodes up to `last` as plain data, for {@link reset}: those where something was tried or is open, and the last. */
  save(last: number, steps: ArrayLike<number>): SavedNode[] {
    const saved: SavedNode[] = [];
    for (let at = 0; at <= last; at++) {
      const tried = this.tried(at);
      const open = this.#open[at] ?? [];
      if (at < last && tried.length === 0 && open.length === 0) continue;
      const chosen = at < last ? plain(this.move(at)) : null;
      saved.push({ at, step: steps[at] as number, chosen, tried, open: structuredClone(open) });
    }
    return saved;
  }

  /** What was tried at `node` itself, the first one first. */
  tried(node: number): Move[] {
    const moves: Move[] = [];
    let each = this.#sleep[node] ?? null;
    for (let i = this.#tried[node] ?? 0; i > 0 && each !== null; i--) {
      moves.unshift({ actor: each.actor, accesses: each.accesses });
      each = each.next;
    }
    return moves;
  }

  #enter(node: number, inherited: Sleeper | null, open: Branch[]): void {
    const saved = this.#saved.get(node);
    let sleep = inherited;
    if (saved !== undefined) {
      this.#saved.delete(node);
      for (const { actor, accesses } of saved.tried) sleep = { actor, accesses, next: sleep };
    }
    this.#sleep[node] = sleep;
    this.#tried[node] = saved?.tried.length ?? 0;
    this.#open[node] = saved === undefined ? open : structuredClone([...saved.open]);
  }

  /** Who of `sleepers` sleeps on after `move`: those whose moves do not depend on it. */
  #awake(sleepers: Sleeper | null, move: Move): Sleeper | null {
    if (sleepers === null) return null;
    const rest = this.#awake(sleepers.next, move);
    if (dependent(sleepers, move)) return rest;
    return rest === sleepers.next ? sleepers : { actor: sleepers.actor, accesses: sleepers.accesses, next: rest };
  }
}

/** A move without what follows it. */
export const plain = ({ actor, accesses }: Move): Move => ({ actor, accesses });

/** An access list as moves hold it. */
export const accessList = (effect: number): number[] => [effect, ...Array.from({ length: SLOTS - 1 }, () => NO_ACCESS)];
