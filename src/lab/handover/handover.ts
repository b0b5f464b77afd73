/**
 * From real threads to one: a violation that `stress` or `litmus --threads` came across is handed to the explorer. What the event log
 * says about the page in question becomes a small litmus test, which is searched on one thread until the same rule breaks; the result
 * is a schedule that `replay` takes, and the test, which people can read and change. README.md tells how, and how often it succeeds.
 */
import type { Handover } from '../report/handover-row.js';
import { RECORD_WORDS } from '../../events/record.js';
import type { Plan } from '../../plan/plan.js';
import { Budget } from '../explore/budget.js';
import type { LitmusSubject } from '../litmus/subject.js';
import { HANDOVER_SECONDS } from './defaults.js';
import { ACTORS_MAX, handoverName } from './litmus-text.js';
import type { Base } from './incident/drained.js';
import { type SeenOperation, operationsSeen } from './operations.js';
import { Lessons } from './lessons.js';
import { withPresumed } from './presumed.js';
import { type Found, Searcher, type Solved, type Tried } from './search.js';
import { incidentOf } from './incident/gather.js';
import type { Incident, SinceDrain, Suspicion } from './incident/incident.js';
import { variedTests } from './varied.js';
import { type Variant, variantsOf } from './variants.js';

export type { Suspicion } from './incident/incident.js';

export interface HandoverOptions {
  /** Of the run on real threads. */
  readonly plan: Plan;
  /** The log around the violation, in merged order. */
  readonly records: Int32Array;
  readonly violation: Suspicion;
  /** The machine at the last drain before it, and the log since then. */
  readonly base?: Base | null | undefined;
  /** Found while the run was torn down. */
  readonly ending?: boolean | undefined;
  /** CPU seconds for all of it, making it small included; the clock ends it at ten times that. */
  readonly seconds?: number | undefined;
  readonly seed?: number | undefined;
  readonly stop?: (() => boolean) | undefined;
  readonly onProgress?: ((text: string) => void) | undefined;
  /** What has worked for other violations of the run; what works here is added. */
  readonly lessons?: Lessons | undefined;
}

/** Of the time, for making the test small; the search has the rest. */
const REDUCE_SHARE = 0.25;

const NOTHING: Handover = {
  found: false,
  family: false,
  reason: '',
  invariant: '',
  schedules: 0,
  tries: 0,
  elapsed_s: 0,
  cpu_s: 0,
  variant: '',
  variants: 0,
  what: '',
  litmus: '',
  schedule: '',
  diagram: '',
  clash: null,
  seed: null,
  strategy: '',
  cut: [],
};

type SearchOptions = Pick<HandoverOptions, 'seconds' | 'seed' | 'stop' | 'onProgress' | 'lessons'>;

/** Looks for the violation on one thread. Never throws: what goes wrong is the reason that nothing was found. */
export const handOver = (options: HandoverOptions): Promise<Handover> =>
  neverThrows(options, (budget) => fromLog(options, budget));

/** A litmus test's violation on real threads: the test is there already, nothing has to be cut. Never throws. */
export const handOverLitmus = (
  subject: LitmusSubject,
  { invariant }: { readonly invariant: string },
  options: SearchOptions = {},
): Promise<Handover> =>
  neverThrows(options, (budget) => {
    const test = { name: 'the test itself', text: subject.litmus, traits: [] };
    const place = { path: subject.scenario, kernel: subject.policy };
    return search({ variants: [test], invariant, place, options, budget, cut: () => [] });
  });

async function neverThrows(
  { seconds = HANDOVER_SECONDS }: SearchOptions,
  look: (budget: Budget) => Promise<Handover>,
): Promise<Handover> {
  const budget = new Budget(seconds);
  let handover: Handover;
  try {
    handover = await look(budget);
  } catch (error) {
    handover = { ...NOTHING, reason: error instanceof Error ? error.message : String(error) };
  }
  return { ...handover, elapsed_s: budget.elapsed, cpu_s: budget.used };
}

async function fromLog(options: HandoverOptions, budget: Budget): Promise<Handover> {
  const { plan, records, violation, base, ending, seed = 1 } = options;
  const told = incidentOf(plan, records, violation, { base, ending });
  if ('reason' in told) return { ...NOTHING, reason: told.reason };
  const { incident } = told;
  const operations = operationsSeen(incident);
  const variants = variantsOf(incident);
  if (variants.length === 0) return { ...NOTHING, reason: 'the log says of no actor what it did to the page' };
  const lessons = options.lessons ?? new Lessons();
  return search({
    variants,
    more: variedTests(incident, seed, lessons, new Set(variants.map(({ text }) => text))),
    invariant: violation.invariant,
    place: { path: `${handoverName(violation.invariant)}.litmus` },
    options: { ...options, lessons },
    budget,
    cut: (solved) => cutOf(incident, operations, records.length / RECORD_WORDS, solved),
  });
}

interface Search {
  readonly variants: readonly Variant[];
  readonly more?: Iterator<Variant>;
  readonly invariant: string;
  readonly place: { readonly path: string; readonly kernel?: string };
  readonly options: SearchOptions;
  readonly budget: Budget;
  readonly cut: (solved: Solved | null) => string[];
}

async function search({ variants, more, invariant, place, options, budget, cut }: Search): Promise<Handover> {
  const { seed = 1, stop = () => false, onProgress = () => {}, lessons } = options;
  const common = { invariant, ...place, seed, stop, onProgress, lessons };
  const looking = budget.part(1 - REDUCE_SHARE);
  const searcher = new Searcher({ ...common, budget: looking });
  const same: Found | null = await searcher.find(variants, more);
  const found = same ?? searcher.related;
  const { tried } = searcher;
  const shared = { ...NOTHING, variants: tried.tests, tries: tried.tries };
  if (found === null) {
    const why = stop() ? 'interrupted' : looking.end === '' ? '' : looking.tell(looking.end);
    return {
      ...shared,
      reason: triedText(tried, searcher.schedules, why),
      schedules: searcher.schedules,
      litmus: variants[0]?.text ?? '',
      cut: cut(null),
    };
  }
  const broken = same === null ? (searcher.related?.invariant ?? invariant) : invariant;
  const { shown = false, earlier = false } = (same === null ? searcher.related : null) ?? {};
  const family = shown || earlier;
  const reducer = new Searcher({ ...common, invariant: broken, budget: budget.part(REDUCE_SHARE) });
  const solved = await reducer.solve(found);
  return {
    ...shared,
    found: same !== null,
    family,
    reason: same !== null ? '' : relatedText(invariant, broken, family, shown),
    invariant: broken,
    schedules: searcher.schedules + reducer.schedules,
    variant: found.variant,
    what: solved.what,
    litmus: solved.text,
    schedule: solved.schedule,
    diagram: solved.diagram,
    clash: solved.clash,
    seed: found.seed,
    strategy: found.strategy,
    cut: cut(solved),
  };
}

/** What was tried in vain, and what ended it. */
function triedText({ tries, tests, clean, strategies, seeds }: Tried, schedules: number, why: string): string {
  if (tries === 0) return why;
  if (clean === tests)
    return `${tests === 1 ? 'the test' : `all ${tests} tests`} cannot break the rule: every schedule was tried`;
  const proved = clean === 0 ? '' : `, ${clean} of them proved clean`;
  const by = `by ${strategies.join(', ')} with seeds ${seeds[0]} to ${seeds[1]}`;
  return `not found in ${schedules} schedules: ${tries} tries of ${tests} tests${proved}, ${by}${why === '' ? '' : `; ${why}`}`;
}

function relatedText(invariant: string, broken: string, family: boolean, shown: boolean): string {
  if (shown) return `on one thread ${broken} is broken first; the same schedule, gone on with, breaks ${invariant}`;
  return family
    ? `seen earlier on one thread: as ${broken}, which the same mistake breaks before ${invariant}`
    : `not as ${invariant}; on one thread the same operations break ${broken}`;
}

/** Which drain, and how much of what came after it is known. */
function sinceDrainText({ drain, facts, complete }: SinceDrain): string {
  const where = drain === 0 ? 'the start of the run' : `drain ${drain}`;
  if (complete) return `read from memory at ${where}; ${facts.length} events of these pages since then`;
  return `read from memory at ${where}; the log since then has gaps`;
}

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);

/** What of the run is not in the test. */
function cutOf(
  incident: Incident,
  operations: readonly SeenOperation[],
  events: number,
  solved: Solved | null,
): string[] {
  const { plan, pages, huge, facts, sinceDrain, standsFor } = incident;
  const { machine, actors, mappings, vms } = plan;
  const hosts = actors.filter(({ tier }) => tier !== 'server');
  const all = withPresumed(incident, operations);
  const lost = [...new Set(all.slice(operations.length).map(({ actor }) => actors[actor]?.name ?? ''))];
  const seen = new Set(operations.map(({ actor }) => actor));
  const unseen = hosts.filter((actor) => !seen.has(actors.indexOf(actor))).map(({ name }) => name);
  const names = pages.map(
    ({ mm, vpn }, i) => `page 0x${vpn.toString(16)} of process ${mm} is ${huge ? `a[${i}]` : 'abc'[i]}`,
  );
  const guest = sum(vms.flatMap(({ slots }) => slots.map(({ pages: all }) => all)));
  const cut = [
    `pages: ${pages.length} of ${sum(mappings.map(({ pages: all }) => all))} (${guest} of guests); ${names.join(', ')}`,
    `VMAs: ${mappings.length} of the scenario; the test has one for each process or page`,
    `frames: ${machine.nodes * machine.framesPerNode}; the test has 24 on each node`,
    sinceDrain === null
      ? 'state before it: from the log and the scenario'
      : `state before it: ${sinceDrainText(sinceDrain)}`,
    `events: ${facts.length} of the last ${events} name these pages, ${operations.length} operations`,
  ];
  if (standsFor !== null) {
    const which = standsFor === 'unknown' ? 'what page it was' : `page 0x${standsFor.vpn.toString(16)}`;
    cut.push(`of ${which} the log tells nothing: page ${huge ? 'a[0]' : 'a'} stands for it`);
  }
  if (lost.length > 0) cut.push(`events are lost of ${lost.join(', ')}: what they did is presumed`);
  if (huge && machine.thpOrder !== 1) cut.push(`huge pages: ${1 << machine.thpOrder} pages each; in the test 2`);
  if (unseen.length > 0) cut.push(`actors that did nothing to these pages: ${unseen.join(', ')}`);
  if (seen.size > ACTORS_MAX) cut.push(`actors: ${seen.size} did something; a test has ${ACTORS_MAX} at most`);
  if (solved !== null && solved.operations > 0) cut.push(`operations that are not needed: ${solved.operations}`);
  if (solved !== null && solved.actors.length > 0) cut.push(`actors that are not needed: ${solved.actors.join(', ')}`);
  if (solved !== null && solved.setup > 0) cut.push(`set-up that is not needed: ${solved.setup} operations`);
  return cut;
}
