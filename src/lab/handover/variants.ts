/**
 * Which deeds of a story a test is made of: first the violation's last moments, then more of what went before, then more than was seen.
 * When none of these breaks the rule, varied.ts goes on.
 */
import { ACTORS_MAX, type DraftOptions, draftText } from './draft.js';
import { type Deed, deedsOf } from './operations.js';
import { withPresumed } from './presumed.js';
import { type Story, isKsmd } from './story.js';

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
export type Change = (columns: Map<number, Deed[]>, story: Story, deeds: readonly Deed[]) => void;

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

/** The story's tests, the likeliest first, without repetitions. */
export function variantsOf(story: Story): Variant[] {
  const together = story.huge || isKsmd(story.plan, story.suspicion);
  const texts = new Set<string>();
  return RECIPES.flatMap((recipe) => {
    if (recipe.ending === true && !story.ending) return [];
    const { story: told, deeds } = telling(story, together || recipe.twins === true, recipe.after);
    const options = choose(told, deeds, recipe);
    const text = options.columns.size === 0 ? null : draftText(told, options);
    if (text === null || texts.has(text)) return [];
    texts.add(text);
    return [{ name: recipe.name, text, traits: [recipe.name] }];
  });
}

/** A story with its deeds. */
export interface Telling {
  readonly story: Story;
  readonly deeds: readonly Deed[];
}

/**
 * The story of all its pages, or of the page in question alone.
 * @param after deeds of each actor after the violation
 */
export function telling(whole: Story, together: boolean, after = 0): Telling {
  if (together || whole.pages.length === 1) return { story: whole, deeds: withPresumed(whole, deedsOf(whole, after)) };
  const facts = whole.facts.flatMap(({ event, pages }) => (pages.includes(0) ? [{ event, pages: [0] }] : []));
  const story = { ...whole, pages: whole.pages.slice(0, 1), facts };
  return { story, deeds: withPresumed(story, deedsOf(story, after)) };
}

/** Whether pins decided what the actor that broke the rule did: it looked for them. */
const pinsDecide = ({ suspicion, facts, until }: Story): boolean =>
  suspicion.invariant.includes('PIN') ||
  facts.some(
    ({ event: { type, actor, time } }) =>
      actor === suspicion.actor && time <= until && (type === 'pin_look' || type === 'numa_skip_pinned'),
  );

/** Who matters most: whoever broke the rule, those who pin where it is about pins, the guests where it is about stage 2. */
function weight({ suspicion, plan }: Story, actor: number, deeds: readonly Deed[], pins: boolean): number {
  if (actor === suspicion.actor) return 3;
  if (pins && deeds.some(({ op }) => op === 'pin_fast' || op === 'unpin')) return 2;
  const kind = plan.actors[actor]?.kind ?? '';
  // what is lost, leaked or pinned shows to those who access it
  return kind === 'vcpu' || (kind === 'vmm' && !suspicion.invariant.includes('S2')) ? 1 : 0;
}

/** Each actor's deeds in its own order; the actors that matter most first. */
export function byWeight({ story, deeds }: Telling): readonly Column[] {
  const byActor = new Map<number, Deed[]>();
  for (const deed of deeds) byActor.set(deed.actor, [...(byActor.get(deed.actor) ?? []), deed]);
  const pins = pinsDecide(story);
  return [...byActor].toSorted(
    ([x, ofX], [y, ofY]) =>
      weight(story, y, ofY, pins) - weight(story, x, ofX, pins) ||
      (ofY.at(-1)?.end ?? 0) - (ofX.at(-1)?.end ?? 0) ||
      x - y,
  );
}

/** What each actor of `columns` did before its column begins; times do not order what was done at one logical time. */
export function earlierThan(columns: ReadonlyMap<number, readonly Deed[]>, all: readonly Column[]): Deed[] {
  return all.flatMap(([actor, own]) => {
    const [first] = columns.get(actor) ?? [];
    return first === undefined ? [] : own.slice(0, Math.max(0, own.indexOf(first)));
  });
}

export type Column = readonly [actor: number, deeds: Deed[]];

/** Actors without daemons but one; none where there are not so many daemons. */
function ofDaemon({ plan, suspicion }: Story, columns: readonly Column[], which?: number): readonly Column[] {
  if (which === undefined) return columns;
  const isDaemon = ([actor]: Column): boolean => plan.actors[actor]?.tier === 'daemon' && actor !== suspicion.actor;
  const daemon = columns.filter(isDaemon)[which];
  if (daemon === undefined) return [];
  const clients = columns.filter((column) => !isDaemon(column)).slice(0, ACTORS_MAX - 1);
  return [...clients, daemon];
}

function choose(story: Story, deeds: readonly Deed[], recipe: Recipe): DraftOptions {
  const { reach, most, actors = ACTORS_MAX, change } = recipe;
  const { actor = -1 } = story.suspicion;
  const own = deeds.filter((deed) => deed.actor === actor);
  // an audit catches nobody in the act: what was done last, by whomever
  const leading = own.length > 0 ? own : deeds;
  const from = leading.at(-reach)?.start ?? leading[0]?.start ?? 0;
  const recent = byWeight({ story, deeds });
  const columns = new Map<number, Deed[]>();
  for (const [who, column] of ofDaemon(story, recent, recipe.daemon).slice(0, actors)) {
    const meanwhile = column.filter(({ end }) => end >= from);
    const kept = (meanwhile.length > 0 ? meanwhile : column.slice(-1)).slice(-most);
    columns.set(who, who === actor ? kept.slice(-reach) : most === 1 ? notOnlyUnpin(kept, column) : kept);
  }
  const earlier = earlierThan(columns, recent);
  change?.(columns, story, deeds);
  const ending = recipe.ending === true;
  return {
    columns,
    earlier,
    from: Math.min(from, story.until),
    plain: recipe.plain === true,
    gone: recipe.gone === true,
    pins: recipe.unpinned === true ? 'returned' : 'told',
    ending,
  };
}

/** A pin's end alone says little: what was pinned before and after it is what others meet. */
export function notOnlyUnpin(kept: Deed[], column: readonly Deed[]): Deed[] {
  if (kept.some(({ op }) => op !== 'unpin')) return kept;
  const pin = column.findLast(({ op }) => op === 'pin_fast');
  return pin === undefined ? kept : [pin];
}

const deedOf = (actor: number, op: Deed['op'], pages: readonly number[], pin = -1): Deed => ({
  actor,
  op,
  pages,
  flags: 0,
  pin,
  start: 0,
  end: 0,
});

/** Accesses that hit the TLB leave no event: each vCPU writes the page in question at the beginning and at the end. */
export function guestsWrite(columns: Map<number, Deed[]>, { plan }: Story): void {
  plan.actors.forEach(({ kind }, actor) => {
    const column = columns.get(actor);
    if (kind !== 'vcpu' || (column === undefined && columns.size >= ACTORS_MAX)) return;
    if (column === undefined && [...columns.keys()].some((other) => plan.actors[other]?.kind === 'vcpu')) return;
    columns.set(
      actor,
      [...(column ?? []), deedOf(actor, 'guest_write', [0]), deedOf(actor, 'guest_read', [0])].slice(-3),
    );
  });
}

/** What a device writes through a pin leaves no event; what its process reads from the TLB neither. */
export function devicesWrite(columns: Map<number, Deed[]>, { plan }: Story): void {
  for (const [actor, column] of columns) {
    const written = column.flatMap((deed) =>
      deed.op === 'pin_fast' ? [deed, deedOf(actor, 'pin_write', deed.pages, deed.pin)] : [deed],
    );
    const vmm = plan.actors[actor]?.kind === 'vmm';
    columns.set(actor, vmm ? [...written, deedOf(actor, 'read', [0])] : written);
  }
}

/** Each kind of operation that an actor was ever seen doing to the page in question. */
export function onceEach(columns: Map<number, Deed[]>, _story: Story, deeds: readonly Deed[]): void {
  for (const actor of columns.keys()) {
    const kinds = new Map<string, Deed>();
    for (const deed of deeds) {
      if (deed.actor !== actor || !deed.pages.includes(0) || deed.op === 'unpin') continue;
      kinds.set(`${deed.op} ${deed.op === 'mprotect' ? deed.flags : ''}`, deed);
    }
    const once = [...kinds.values()].toSorted((x, y) => x.end - y.end).slice(-3);
    if (once.length > 0) columns.set(actor, once);
  }
}

export function twice(columns: Map<number, Deed[]>): void {
  for (const [actor, column] of columns) {
    const again = column.map((deed) => (deed.pin < 0 ? deed : { ...deed, pin: deed.pin + 1_000_000 }));
    columns.set(actor, [...column, ...again]);
  }
}
