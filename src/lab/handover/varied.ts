/**
 * Tests beyond the recipes of variants.ts, drawn by a seed: other actors together, other operations of them (one more or less, the ones
 * before, the one that followed), with and without pins and states that the log tells of. Of two draws the one that is more
 * like what has worked is taken.
 */
import { Prng } from '../../engine/strategies/prng.js';
import { ACTORS_MAX, type LitmusTextOptions, litmusText } from './litmus-text.js';
import type { Lessons } from './lessons.js';
import type { SeenOperation } from './operations.js';
import { presumedOperations, silentActors } from './presumed.js';
import { isKsmd } from './incident/gather.js';
import type { Incident } from './incident/incident.js';
import {
  type Change,
  type Column,
  type Telling,
  type Variant,
  byWeight,
  devicesWrite,
  earlierThan,
  guestsWrite,
  notOnlyUnpin,
  onceEach,
  telling,
  twice,
} from './variants.js';

/** Draws in a row that only repeat what was there: the incident has no more to give. */
const MISSES_MAX = 60;
const DRAWS = 2;
const CHANGES: readonly (readonly [name: string, change: Change])[] = [
  ['guests write', guestsWrite],
  ['devices write', devicesWrite],
  ['all twice', twice],
  ['once each', onceEach],
];

interface Draw {
  readonly told: Telling;
  readonly options: LitmusTextOptions;
  readonly name: string;
  readonly traits: readonly string[];
}

/**
 * One test after the other, without end until the incident has no more to give.
 * @param known texts of tests that were tried; those given are added
 */
export function* variedTests(
  incident: Incident,
  seed: number,
  lessons: Lessons,
  known: Set<string>,
): Generator<Variant> {
  const alone = telling(incident, incident.huge, 1);
  const tellings = incident.pages.length > 1 && !incident.huge ? [alone, telling(incident, true, 1)] : [alone];
  const random = new Prng();
  for (let number = 1, misses = 0; misses < MISSES_MAX; number++) {
    random.seed(seed, number);
    const draws = Array.from({ length: DRAWS }, () =>
      draw(tellings, random, isKsmd(incident.plan, incident.suspicion)),
    );
    misses++;
    const [best] = lessons.sorted(draws);
    if (best === undefined || best.options.columns.size === 0) continue;
    const text = litmusText(best.told.incident, best.options);
    if (text === null || known.has(text)) continue;
    misses = 0;
    known.add(text);
    yield { name: `test ${number}: ${best.name}`, text, traits: best.traits };
  }
}

/** One chance in sixteen, `of` times. */
const chance = (random: Prng, of: number): boolean => random.below(16) < of;

function draw(tellings: readonly Telling[], random: Prng, pairs: boolean): Draw {
  const told = tellings[pairs || chance(random, 4) ? tellings.length - 1 : 0] as Telling;
  const { incident, operations } = told;
  // of actors that the log is silent about now one, now none takes part
  const silent = silentActors(incident, operations);
  const presumed = silent.length > 0 && chance(random, 8) ? (silent[random.below(silent.length)] as number) : -1;
  const acts = presumed < 0 ? [] : presumedOperations(incident, presumed);
  const more = acts.length === 0 ? [] : (acts[Math.min(random.below(acts.length), random.below(acts.length))] ?? []);
  const all = byWeight({ incident, operations: [...operations, ...more] });
  const columns = new Map<number, SeenOperation[]>();
  for (const [actor, own] of actorsOf(all, incident, random, presumed)) {
    const last = own.length - Math.min(own.length - 1, [0, 0, 0, 0, 0, 1, 1, 2][random.below(8)] as number);
    const count = [1, 1, 1, 1, 2, 2, 2, 3][random.below(8)] as number;
    const kept = own.slice(Math.max(0, last - count), last);
    columns.set(actor, count === 1 && chance(random, 8) ? notOnlyUnpin(kept, own) : kept);
  }
  const earlier = earlierThan(columns, all);
  const leading = columns.get(incident.suspicion.actor ?? -1) ?? [...columns.values()][0];
  const from = Math.min(leading?.[0]?.start ?? incident.until, incident.until);
  const plain = chance(random, 5);
  const gone = chance(random, 2);
  const pins = chance(random, 6) ? 'told' : 'returned';
  const [name, change] = chance(random, 6) ? (CHANGES[random.below(CHANGES.length)] as (typeof CHANGES)[number]) : [];
  change?.(columns, incident, operations);
  const who = [...columns].map(([actor, own]) => `${incident.plan.actors[actor]?.name ?? actor} ${own.length}`);
  const traits = [
    ...[...columns.keys()].map((actor) => `actor ${actor}`),
    `${columns.size} actors`,
    `${incident.pages.length} pages`,
    `pins ${pins}`,
    ...(gone ? ['unmapped in the process'] : plain ? ['plain set-up'] : []),
    ...(name === undefined ? [] : [name]),
  ];
  const what = [who.join(', '), ...traits.slice(columns.size + 2)].join('; ');
  return { told, options: { columns, earlier, from, plain, gone, pins }, name: what, traits };
}

/** Whoever broke the rule nearly always, and one to three others: those that matter most more often. */
function actorsOf(all: readonly Column[], { suspicion }: Incident, random: Prng, presumed: number): Column[] {
  const left = [...all];
  const chosen: Column[] = [];
  const own = left.findIndex(([actor]) => actor === suspicion.actor);
  if (own >= 0 && chance(random, 15)) chosen.push(...left.splice(own, 1));
  const guest = left.findIndex(([actor]) => actor === presumed);
  if (guest >= 0) chosen.push(...left.splice(guest, 1));
  const count = Math.min(ACTORS_MAX, chosen.length + ([1, 1, 1, 2, 2, 2, 2, 3][random.below(8)] as number));
  while (chosen.length < count && left.length > 0) {
    chosen.push(...left.splice(Math.min(random.below(left.length), random.below(left.length)), 1));
  }
  return chosen;
}
