/**
 * The waits-for graph: who waits for which word, who holds it, and whether that closes a circle. Both engines make their
 * deadlock reports with it; it reads the actors' records and held locks in shared memory.
 */
import { IDLE_WORD, WAIT_LOCK } from '../../machine/effects.js';
import { ACTOR_SRCU, type Machine, SRCU_NESTED, actorWord } from '../../machine/layout.js';
import { conditionChanged } from '../../machine/wait.js';
import { describeWord } from '../../machine/layout/describe.js';
import { type Wait, heldLocks, waitOf } from './report-state.js';
import type { Plan } from '../../plan/plan.js';

interface WaitingActor extends Wait {
  readonly actor: number;
}

export interface WaitsForEdge {
  readonly actor: number;
  readonly name: string;
  readonly word: number;
  /** `PTL of table 3`. */
  readonly what: string;
  readonly lock: boolean;
  /** Between two operations: it waits for work, and holds nothing. */
  readonly idle: boolean;
  /** The word holds something else by now: it may go on, and only has not been looked at again yet. */
  readonly changed: boolean;
  /** Actors that hold the lock, with their mode; of an SRCU's reader count those inside. */
  readonly holders: readonly { readonly actor: number; readonly name: string; readonly mode: 'read' | 'write' }[];
}

export interface WaitsForGraph {
  readonly edges: readonly WaitsForEdge[];
  /** Actors that wait for each other in a circle, each for the next; empty when there is none. */
  readonly cycle: readonly number[];
  readonly lines: readonly string[];
}

/** The actors of the plan that wait for a word, as their records say. */
export function waitingActors(m: Machine, plan: Plan): WaitingActor[] {
  return plan.actors.flatMap((_, actor) => {
    const wait = waitOf(m, actor);
    return wait === null ? [] : [{ ...wait, actor }];
  });
}

/** Whether the word that the actor waits for still holds the value it saw. */
export const isDisabled = (m: Machine, wait: Wait): boolean =>
  !conditionChanged(m.words, wait.kind, wait.word, wait.value);

/**
 * Builds the graph.
 * @param waiting who waits for what; by default what the records say
 */
export function waitsFor(
  m: Machine,
  plan: Plan,
  waiting: readonly WaitingActor[] = waitingActors(m, plan),
): WaitsForGraph {
  const nameOf = (actor: number): string => plan.actors[actor]?.name ?? `actor ${actor}`;
  const held = plan.actors.map((_, actor) => heldLocks(m, actor));
  const edges = waiting.map((wait): WaitsForEdge => {
    const inside = plan.actors.flatMap((_, actor) =>
      isInside(m, actor, wait.word) ? [{ actor, name: nameOf(actor), mode: 'read' as const }] : [],
    );
    const locked = held.flatMap((locks, actor) => {
      const lock = locks.find((candidate) => candidate.word === wait.word);
      return lock === undefined ? [] : [{ actor, name: nameOf(actor), mode: lock.mode }];
    });
    const holders = wait.kind === WAIT_LOCK ? locked : [...locked, ...inside];
    const { actor, word } = wait;
    return {
      actor,
      name: nameOf(actor),
      word,
      what: describeWord(m, word),
      lock: wait.kind === WAIT_LOCK,
      idle: wait.kind === IDLE_WORD,
      changed: !isDisabled(m, wait),
      holders,
    };
  });
  const cycle = findCycle(edges);
  const lines = edges.map(describeEdge);
  if (cycle.length > 0) lines.push(`circle: ${[...cycle, cycle[0] as number].map(nameOf).join(' -> ')}`);
  return { edges, cycle, lines };
}

/** Whether the actor is inside an SRCU section of which `word` counts the readers. 0 stands for no section. */
function isInside(m: Machine, actor: number, word: number): boolean {
  if (word === 0) return false;
  for (let i = 0; i < SRCU_NESTED; i++) if (m.words[actorWord(m, actor, ACTOR_SRCU + i)] === word) return true;
  return false;
}

function describeEdge(edge: WaitsForEdge): string {
  const wish = edge.idle ? 'is idle until a change of' : edge.lock ? 'waits for' : 'waits for a change of';
  const holders = edge.holders.map((holder) => (holder.mode === 'read' ? `${holder.name} (read)` : holder.name));
  if (edge.changed) return `${edge.name} ${wish} ${edge.what}, which has changed: it has not gone on yet`;
  if (!edge.lock && holders.length > 0)
    return `${edge.name} ${wish} ${edge.what}, inside of which is ${edge.holders.map(({ name }) => name).join(', ')}`;
  const by = holders.length > 0 ? `held by ${holders.join(', ')}` : edge.lock ? 'held by nobody' : '';
  return `${edge.name} ${wish} ${edge.what}${by === '' ? '' : `, ${by}`}`;
}

/** A circle in the graph: every waiter needs all holders of its word to go on, so one path is enough. */
function findCycle(edges: readonly WaitsForEdge[]): number[] {
  const next = new Map(
    edges.filter((edge) => !edge.changed).map((edge) => [edge.actor, edge.holders.map((holder) => holder.actor)]),
  );
  const done = new Set<number>();
  const path: number[] = [];
  const visit = (actor: number): number[] | null => {
    const at = path.indexOf(actor);
    if (at >= 0) return path.slice(at);
    if (done.has(actor)) return null;
    path.push(actor);
    for (const holder of next.get(actor) ?? []) {
      const found = visit(holder);
      if (found !== null) return found;
    }
    path.pop();
    done.add(actor);
    return null;
  };
  for (const edge of edges) {
    const found = visit(edge.actor);
    if (found !== null) return found;
  }
  return [];
}
