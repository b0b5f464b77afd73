/** Which deeds of a story a test is made of: first the violation's last moments, then more of what went before, then more than was seen. */
import { ACTORS_MAX, type DraftOptions, draftText } from './draft.js';
import { type Deed, deedsOf } from './operations.js';
import { type Story, isKsmd } from './story.js';

export interface Variant {
  readonly name: string;
  readonly text: string;
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
  /** Of the daemons only this one, counted from the one that was active last. */
  readonly daemon?: number;
  /** The VM of the page ends, and somebody else wants memory: only of what was found while a run was torn down. */
  readonly ending?: boolean;
  readonly change?: (columns: Map<number, Deed[]>, story: Story, deeds: readonly Deed[]) => void;
}

/** Small tests are searched a hundred times faster than large ones: they come first. */
const RECIPES: readonly Recipe[] = [
  { name: 'one operation of three actors', reach: 1, most: 1, actors: 3 },
  { name: 'the end of the VM', reach: 1, most: 1, actors: 1, ending: true },
  { name: 'one operation of three actors, plain set-up', reach: 1, most: 1, actors: 3, plain: true },
  { name: 'clients and the last daemon', reach: 1, most: 2, daemon: 0 },
  { name: 'clients and the daemon before', reach: 1, most: 2, daemon: 1 },
  { name: 'clients and a third daemon', reach: 1, most: 2, daemon: 2 },
  { name: 'one operation each', reach: 1, most: 1 },
  { name: 'the last operations', reach: 1, most: 2 },
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
  const whole = { story, deeds: deedsOf(story) };
  const together = story.huge || isKsmd(story.plan, story.suspicion);
  const lone = together ? whole : aboutFirst(story);
  const texts = new Set<string>();
  return RECIPES.flatMap((recipe) => {
    if (recipe.ending === true && !story.ending) return [];
    const { story: told, deeds } = recipe.twins === true ? whole : lone;
    const options = choose(told, deeds, recipe);
    const text = options.columns.size === 0 ? null : draftText(told, options);
    if (text === null || texts.has(text)) return [];
    texts.add(text);
    return [{ name: recipe.name, text }];
  });
}

/** The story of the page in question alone. */
function aboutFirst(story: Story): { readonly story: Story; readonly deeds: readonly Deed[] } {
  const facts = story.facts.flatMap(({ event, pages }) => (pages.includes(0) ? [{ event, pages: [0] }] : []));
  const told = { ...story, pages: story.pages.slice(0, 1), facts };
  return { story: told, deeds: deedsOf(told) };
}

/** Who matters most: whoever broke the rule, those who pin where it is about pins, the guests where it is about stage 2. */
function weight({ suspicion, plan }: Story, actor: number, deeds: readonly Deed[]): number {
  if (actor === suspicion.actor) return 3;
  if (suspicion.invariant.includes('PIN') && deeds.some(({ op }) => op === 'pin_fast')) return 2;
  const kind = plan.actors[actor]?.kind ?? '';
  // what is lost, leaked or pinned shows to those who access it
  return kind === 'vcpu' || (kind === 'vmm' && !suspicion.invariant.includes('S2')) ? 1 : 0;
}

type Column = readonly [actor: number, deeds: Deed[]];

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
  const byActor = new Map<number, Deed[]>();
  for (const deed of deeds) byActor.set(deed.actor, [...(byActor.get(deed.actor) ?? []), deed]);
  const recent = [...byActor].toSorted(
    ([x, ofX], [y, ofY]) =>
      weight(story, y, ofY) - weight(story, x, ofX) || (ofY.at(-1)?.end ?? 0) - (ofX.at(-1)?.end ?? 0) || x - y,
  );
  const columns = new Map<number, Deed[]>();
  for (const [who, column] of ofDaemon(story, recent, recipe.daemon).slice(0, actors)) {
    const meanwhile = column.filter(({ end }) => end >= from);
    const kept = (meanwhile.length > 0 ? meanwhile : column.slice(-1)).slice(-most);
    columns.set(who, who === actor ? kept.slice(-reach) : most === 1 ? notOnlyUnpin(kept, column) : kept);
  }
  const earlier = deeds.filter((deed) => {
    const [first] = columns.get(deed.actor) ?? [];
    return first !== undefined && deed.end < first.start;
  });
  change?.(columns, story, deeds);
  const ending = recipe.ending === true;
  return { columns, earlier, from: Math.min(from, story.until), plain: recipe.plain === true, ending };
}

/** A pin's end alone says little: what was pinned before and after it is what others meet. */
function notOnlyUnpin(kept: Deed[], column: readonly Deed[]): Deed[] {
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
function guestsWrite(columns: Map<number, Deed[]>, { plan }: Story): void {
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
function devicesWrite(columns: Map<number, Deed[]>, { plan }: Story): void {
  for (const [actor, column] of columns) {
    const written = column.flatMap((deed) =>
      deed.op === 'pin_fast' ? [deed, deedOf(actor, 'pin_write', deed.pages, deed.pin)] : [deed],
    );
    const vmm = plan.actors[actor]?.kind === 'vmm';
    columns.set(actor, vmm ? [...written, deedOf(actor, 'read', [0])] : written);
  }
}

/** Each kind of operation that an actor was ever seen doing to the page in question. */
function onceEach(columns: Map<number, Deed[]>, _story: Story, deeds: readonly Deed[]): void {
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

function twice(columns: Map<number, Deed[]>): void {
  for (const [actor, column] of columns) {
    const again = column.map((deed) => (deed.pin < 0 ? deed : { ...deed, pin: deed.pin + 1_000_000 }));
    columns.set(actor, [...column, ...again]);
  }
}
