/** Which deeds of a story a test is made of: first the violation's last moments, then more of what went before, then more than was seen. */
import { ACTORS_MAX, type DraftOptions, draftText } from './draft.js';
import type { Deed } from './operations.js';
import type { Story } from './story.js';

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
  readonly change?: (columns: Map<number, Deed[]>, story: Story, deeds: readonly Deed[]) => void;
}

const RECIPES: readonly Recipe[] = [
  { name: 'the last operations', reach: 1, most: 2 },
  { name: 'one operation more', reach: 2, most: 3 },
  { name: 'guests write', reach: 1, most: 2, change: guestsWrite },
  { name: 'devices write', reach: 2, most: 3, change: devicesWrite },
  { name: 'further back', reach: 3, most: 5 },
  { name: 'all that was seen, once', reach: 1, most: 4, change: onceEach },
  { name: 'the last operations twice', reach: 1, most: 2, change: twice },
];

/** The story's tests, the likeliest first, without repetitions. */
export function variantsOf(story: Story, deeds: readonly Deed[]): Variant[] {
  const texts = new Set<string>();
  return RECIPES.flatMap((recipe) => {
    const options = choose(story, deeds, recipe);
    const text = options.columns.size === 0 ? null : draftText(story, options);
    if (text === null || texts.has(text)) return [];
    texts.add(text);
    return [{ name: recipe.name, text }];
  });
}

function choose(story: Story, deeds: readonly Deed[], { reach, most, change }: Recipe): DraftOptions {
  const { actor = -1 } = story.suspicion;
  const own = deeds.filter((deed) => deed.actor === actor);
  // an audit catches nobody in the act: what was done last, by whomever
  const leading = own.length > 0 ? own : deeds;
  const from = leading.at(-reach)?.start ?? leading[0]?.start ?? 0;
  const byActor = new Map<number, Deed[]>();
  for (const deed of deeds) {
    const column = byActor.get(deed.actor) ?? [];
    byActor.set(deed.actor, [...column, deed]);
  }
  const recent = [...byActor].toSorted(
    ([x, ofX], [y, ofY]) =>
      Number(y === actor) - Number(x === actor) || (ofY.at(-1)?.end ?? 0) - (ofX.at(-1)?.end ?? 0) || x - y,
  );
  const columns = new Map<number, Deed[]>();
  for (const [who, column] of recent.slice(0, ACTORS_MAX)) {
    const meanwhile = column.filter(({ end }) => end >= from);
    const kept = (meanwhile.length > 0 ? meanwhile : column.slice(-1)).slice(-most);
    columns.set(who, who === actor ? kept.slice(-reach) : kept);
  }
  const earlier = deeds.filter((deed) => {
    const [first] = columns.get(deed.actor) ?? [];
    return first !== undefined && deed.end < first.start;
  });
  const begins = Math.min(from, ...[...columns.values()].map(([first]) => first?.start ?? from));
  change?.(columns, story, deeds);
  return { columns, earlier, from: Math.max(begins, Math.min(from, story.until)) };
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
    columns.set(actor, [...(column ?? []), deedOf(actor, 'guest_write', [0]), deedOf(actor, 'guest_read', [0])].slice(-3));
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
