/**
 * Which operations of an incident a test is made of: first the violation's last moments, then more of what went before, then more than was seen.
 * When none of these breaks the rule, varied.ts goes on.
 */
import { ACTORS_MAX, type LitmusTextOptions, litmusText } from './litmus-text.js';
import { type SeenOperation, operationsSeen } from './operations.js';
import { withPresumed } from './presumed.js';
import { isKsmd } from './incident/gather.js';
import type { Incident } from './incident/incident.js';

export interface Variant {
  readonly name: string;
  readonly text: string;
  /** What it was made by, a word or two each: what has worked is tried more (lessons.ts). */
  readonly traits: readonly string[];
}

interface Recipe {
  readonly name: string;
  /** Operations of the violation's actor, from its last one back; what others did meanwhile comes along. */
  readonly reach: number;
  /** Operations of each actor at most: the last ones. */
  readonly most: number;
  /** Actors at most. */
  readonly actors?: number;
  /** Not only the page in question, but those that ksmd compared it with. */
  readonly twins?: boolean;
  readonly plain?: boolean;
  /** Guest pages are mapped at stage 2 only. */
  readonly gone?: boolean;
  /** No pin is held at the beginning but those that are given back. */
  readonly unpinned?: boolean;
  /** With what each actor did next after the violation: it may have been under way. */
  readonly after?: number;
  /** Of the daemons only this one, counted from the one that was active last. */
  readonly daemon?: number;
  /** The VM of the page ends, and somebody else wants memory: only of what was found while a run was torn down. */
  readonly ending?: boolean;
  readonly change?: Change;
}

/** Adds what no event tells of, or makes more of what was seen. */
export type Change = (
  columns: Map<number, SeenOperation[]>,
  incident: Incident,
  operations: readonly SeenOperation[],
) => void;

/** Small tests are searched a hundred times faster than large ones: they come first. */
const RECIPES: readonly Recipe[] = [
  { name: 'one operation of three actors', reach: 1, most: 1, actors: 3 },
  { name: 'the end of the VM', reach: 1, most: 1, actors: 1, ending: true },
  { name: 'the end of the VM, plain set-up', reach: 1, most: 1, actors: 1, ending: true, plain: true },
  {
    name: 'the end of the VM, pages that the process has no longer',
    reach: 1,
    most: 1,
    actors: 1,
    ending: true,
    gone: true,
  },
  { name: 'one operation of three actors, plain set-up', reach: 1, most: 1, actors: 3, plain: true },
  { name: 'one operation of three actors, nothing pinned', reach: 1, most: 1, actors: 3, unpinned: true },
  { name: 'clients and the last daemon', reach: 1, most: 2, daemon: 0 },
  { name: 'clients and the daemon before', reach: 1, most: 2, daemon: 1 },
  { name: 'clients and a third daemon', reach: 1, most: 2, daemon: 2 },
  { name: 'one operation each', reach: 1, most: 1 },
  { name: 'the last operations', reach: 1, most: 2 },
  { name: 'the last operations and the next ones', reach: 1, most: 2, actors: 3, after: 1 },
  { name: 'the last operations, equal pages', reach: 1, most: 1, actors: 3, twins: true },
  { name: 'guests write', reach: 1, most: 1, change: guestsWrite },
  { name: 'devices write', reach: 1, most: 2, change: devicesWrite },
  { name: 'one operation more', reach: 2, most: 3 },
  { name: 'all that was seen, once', reach: 1, most: 4, change: onceEach },
  { name: 'the last operations twice', reach: 1, most: 2, change: twice },
  { name: 'further back, equal pages', reach: 3, most: 3, twins: true },
];

/** The incident's tests, the likeliest first, without repetitions. */
export function variantsOf(incident: Incident): Variant[] {
  const together = incident.huge || isKsmd(incident.plan, incident.suspicion);
  const texts = new Set<string>();
  return RECIPES.flatMap((recipe) => {
    if (recipe.ending === true && !incident.ending) return [];
    const { incident: told, operations } = telling(incident, together || recipe.twins === true, recipe.after);
    const options = choose(told, operations, recipe);
    const text = options.columns.size === 0 ? null : litmusText(told, options);
    if (text === null || texts.has(text)) return [];
    texts.add(text);
    return [{ name: recipe.name, text, traits: [recipe.name] }];
  });
}

/** An incident with its operations. */
export interface Telling {
  readonly incident: Incident;
  readonly operations: readonly SeenOperation[];
}

/**
 * The incident of all its pages, or of the page in question alone.
 * @param after operations of each actor after the violation
 */
export function telling(whole: Incident, together: boolean, after = 0): Telling {
  if (together || whole.pages.length === 1)
    return { incident: whole, operations: withPresumed(whole, operationsSeen(whole, after)) };
  const facts = whole.facts.flatMap(({ event, pages }) => (pages.includes(0) ? [{ event, pages: [0] }] : []));
  const incident = { ...whole, pages: whole.pages.slice(0, 1), facts };
  return { incident, operations: withPresumed(incident, operationsSeen(incident, after)) };
}

/** Whether pins decided what the actor that broke the rule did: it looked for them. */
const pinsDecide = ({ suspicion, facts, until }: Incident): boolean =>
  suspicion.invariant.includes('PIN') ||
  facts.some(
    ({ event: { type, actor, time } }) =>
      actor === suspicion.actor && time <= until && (type === 'pin_look' || type === 'numa_skip_pinned'),
  );

/** Who matters most: whoever broke the rule, those who pin where it is about pins, the guests where it is about stage 2. */
function weight(
  { suspicion, plan }: Incident,
  actor: number,
  operations: readonly SeenOperation[],
  pins: boolean,
): number {
  if (actor === suspicion.actor) return 3;
  if (pins && operations.some(({ op }) => op === 'pin_fast' || op === 'unpin')) return 2;
  const kind = plan.actors[actor]?.kind ?? '';
  // what is lost, leaked or pinned shows to those who access it
  return kind === 'vcpu' || (kind === 'vmm' && !suspicion.invariant.includes('S2')) ? 1 : 0;
}

/** Each actor's operations in its own order; the actors that matter most first. */
export function byWeight({ incident, operations }: Telling): readonly Column[] {
  const byActor = new Map<number, SeenOperation[]>();
  for (const operation of operations)
    byActor.set(operation.actor, [...(byActor.get(operation.actor) ?? []), operation]);
  const pins = pinsDecide(incident);
  return [...byActor].toSorted(
    ([x, ofX], [y, ofY]) =>
      weight(incident, y, ofY, pins) - weight(incident, x, ofX, pins) ||
      (ofY.at(-1)?.end ?? 0) - (ofX.at(-1)?.end ?? 0) ||
      x - y,
  );
}

/** What each actor of `columns` did before its column begins; times do not order what was done at one logical time. */
export function earlierThan(
  columns: ReadonlyMap<number, readonly SeenOperation[]>,
  all: readonly Column[],
): SeenOperation[] {
  return all.flatMap(([actor, own]) => {
    const [first] = columns.get(actor) ?? [];
    return first === undefined ? [] : own.slice(0, Math.max(0, own.indexOf(first)));
  });
}

export type Column = readonly [actor: number, operations: SeenOperation[]];

/** Actors without daemons but one; none where there are not so many daemons. */
function ofDaemon({ plan, suspicion }: Incident, columns: readonly Column[], which?: number): readonly Column[] {
  if (which === undefined) return columns;
  const isDaemon = ([actor]: Column): boolean => plan.actors[actor]?.tier === 'daemon' && actor !== suspicion.actor;
  const daemon = columns.filter(isDaemon)[which];
  if (daemon === undefined) return [];
  const clients = columns.filter((column) => !isDaemon(column)).slice(0, ACTORS_MAX - 1);
  return [...clients, daemon];
}

function choose(incident: Incident, operations: readonly SeenOperation[], recipe: Recipe): LitmusTextOptions {
  const { reach, most, actors = ACTORS_MAX, change } = recipe;
  const { actor = -1 } = incident.suspicion;
  const own = operations.filter((operation) => operation.actor === actor);
  // an audit catches nobody in the act: what was done last, by whomever
  const leading = own.length > 0 ? own : operations;
  const from = leading.at(-reach)?.start ?? leading[0]?.start ?? 0;
  const recent = byWeight({ incident, operations });
  const columns = new Map<number, SeenOperation[]>();
  for (const [who, column] of ofDaemon(incident, recent, recipe.daemon).slice(0, actors)) {
    const meanwhile = column.filter(({ end }) => end >= from);
    const kept = (meanwhile.length > 0 ? meanwhile : column.slice(-1)).slice(-most);
    columns.set(who, who === actor ? kept.slice(-reach) : most === 1 ? notOnlyUnpin(kept, column) : kept);
  }
  const earlier = earlierThan(columns, recent);
  change?.(columns, incident, operations);
  const ending = recipe.ending === true;
  return {
    columns,
    earlier,
    from: Math.min(from, incident.until),
    plain: recipe.plain === true,
    gone: recipe.gone === true,
    pins: recipe.unpinned === true ? 'returned' : 'told',
    ending,
  };
}

/** A pin's end alone says little: what was pinned before and after it is what others meet. */
export function notOnlyUnpin(kept: SeenOperation[], column: readonly SeenOperation[]): SeenOperation[] {
  if (kept.some(({ op }) => op !== 'unpin')) return kept;
  const pin = column.findLast(({ op }) => op === 'pin_fast');
  return pin === undefined ? kept : [pin];
}

const operationOf = (actor: number, op: SeenOperation['op'], pages: readonly number[], pin = -1): SeenOperation => ({
  actor,
  op,
  pages,
  flags: 0,
  pin,
  start: 0,
  end: 0,
});

/** Accesses that hit the TLB leave no event: each vCPU writes the page in question at the beginning and at the end. */
export function guestsWrite(columns: Map<number, SeenOperation[]>, { plan }: Incident): void {
  plan.actors.forEach(({ kind }, actor) => {
    const column = columns.get(actor);
    if (kind !== 'vcpu' || (column === undefined && columns.size >= ACTORS_MAX)) return;
    if (column === undefined && [...columns.keys()].some((other) => plan.actors[other]?.kind === 'vcpu')) return;
    columns.set(
      actor,
      [...(column ?? []), operationOf(actor, 'guest_write', [0]), operationOf(actor, 'guest_read', [0])].slice(-3),
    );
  });
}

/** What a device writes through a pin leaves no event; what its process reads from the TLB neither. */
export function devicesWrite(columns: Map<number, SeenOperation[]>, { plan }: Incident): void {
  for (const [actor, column] of columns) {
    const written = column.flatMap((operation) =>
      operation.op === 'pin_fast'
        ? [operation, operationOf(actor, 'pin_write', operation.pages, operation.pin)]
        : [operation],
    );
    const vmm = plan.actors[actor]?.kind === 'vmm';
    columns.set(actor, vmm ? [...written, operationOf(actor, 'read', [0])] : written);
  }
}

/** Each kind of operation that an actor was ever seen doing to the page in question. */
export function onceEach(
  columns: Map<number, SeenOperation[]>,
  _story: Incident,
  operations: readonly SeenOperation[],
): void {
  for (const actor of columns.keys()) {
    const kinds = new Map<string, SeenOperation>();
    for (const operation of operations) {
      if (operation.actor !== actor || !operation.pages.includes(0) || operation.op === 'unpin') continue;
      kinds.set(`${operation.op} ${operation.op === 'mprotect' ? operation.flags : ''}`, operation);
    }
    const once = [...kinds.values()].toSorted((x, y) => x.end - y.end).slice(-3);
    if (once.length > 0) columns.set(actor, once);
  }
}

export function twice(columns: Map<number, SeenOperation[]>): void {
  for (const [actor, column] of columns) {
    const again = column.map((operation) =>
      operation.pin < 0 ? operation : { ...operation, pin: operation.pin + 1_000_000 },
    );
    columns.set(actor, [...column, ...again]);
  }
}
