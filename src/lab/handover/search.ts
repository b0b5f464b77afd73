/**
 * Searches litmus tests on one thread until a rule breaks, and makes what was found small. Where the tests that were told find nothing it
 * goes on until its CPU time is used: with tests that are told differently, and with the tests that are left by other strategies,
 * seeds and depths.
 */
import { minimise } from '../../engine/one-thread/minimise.js';
import { OneThread } from '../../engine/one-thread/one-thread.js';
import { formatSchedule, parseSchedule } from '../../engine/one-thread/schedule-file.js';
import { clashIfAny, clashMarks } from '../clash/clash.js';
import type { Clash } from '../report/clash-row.js';
import type { Budget } from '../explore/budget.js';
import { explore } from '../explore/explore.js';
import { type LitmusSubject, litmusSubject } from '../litmus/subject.js';
import { tell } from '../tell/witness.js';
import { Arm, Arms, EXHAUSTIVE, type Turn } from './arms.js';
import { isEarlier } from './families.js';
import { goesOnTo } from './goes-on.js';
import { Lessons } from './lessons.js';
import { type Reduced, reduceOperations } from './reduce.js';
import type { Variant } from './variants.js';

interface SearchOptions {
  readonly invariant: string;
  /** Of the test's file, in messages and schedules. */
  readonly path: string;
  /** Instead of the policy or bug that the tests name. */
  readonly kernel?: string | undefined;
  readonly seed: number;
  readonly budget: Budget;
  /** What has worked before; what works here is added. */
  readonly lessons?: Lessons | undefined;
  readonly stop: () => boolean;
  readonly onProgress: (text: string) => void;
}

export interface Found {
  readonly variant: string;
  readonly text: string;
  /** As it was found, in the form of schedule files. */
  readonly schedule: string;
  /** Schedules of the round that found it: how hard it is to find. */
  readonly within: number;
  /** What it was found with: the seed, and the strategy (of a portfolio, its member). */
  readonly seed: number;
  readonly strategy: string;
}

/** Told, with its schedule made small. */
export interface Solved extends Reduced {
  readonly what: string;
  readonly schedule: string;
  readonly diagram: string;
  readonly clash: Clash | null;
}

/** Of what is left of the budget, for one try at most. */
const TRY_SHARE = 0.15;
/** Of the time left, for the rule itself once one was broken that the same mistake breaks earlier. */
const FAMILY_SHARE = 0.2;
/** While operations are left out, a test gets so many times the schedules that the first find took. */
const REDUCE_FACTOR = 6;
const REDUCE_SCHEDULES = [300, 6000] as const;
const FIRST: Turn = { strategy: 'portfolio', depth: undefined, schedules: 0 };

/** A find of another rule. */
export interface Related extends Found {
  readonly invariant: string;
  /** Gone on with, the schedule breaks the rule that is looked for. */
  readonly shown: boolean;
  /** The same mistake is known to break that rule before this one. */
  readonly earlier: boolean;
}

/** Schedules that are gone on with, of one search. */
const LOOKS_MAX = 12;

const worth = (shown: boolean, earlier: boolean): number => (shown ? 2 : 0) + (earlier ? 1 : 0);

/** What was tried, for those who wonder what a search without a find means. */
export interface Tried {
  /** Searches, each of one test by one strategy and seed. */
  readonly tries: number;
  /** Tests; those of them that were proved clean, or are none. */
  readonly tests: number;
  readonly clean: number;
  readonly strategies: readonly string[];
  /** The first seed and the last. */
  readonly seeds: readonly [number, number];
}

interface Outcome {
  readonly found: Found | null;
  /** Whether the test is proved clean, or no test. */
  readonly clean: boolean;
  /** Another rule was broken. */
  readonly other: boolean;
  readonly newPerThousand: number;
}

/** All schedules of a search so far. */
export class Searcher {
  schedules = 0;
  /** The first schedule that broke another rule: on one thread the same mistake may be seen at an earlier step. */
  related: Related | null = null;
  /** Schedules that were gone on with. */
  #looks = 0;
  readonly #options: SearchOptions;
  readonly #lessons: Lessons;
  #budget: Budget;
  #tries = 0;
  #tests = 0;
  #clean = 0;
  readonly #strategies = new Set<string>();

  constructor(options: SearchOptions) {
    this.#options = options;
    this.#budget = options.budget;
    this.#lessons = options.lessons ?? new Lessons();
  }

  get spent(): boolean {
    return this.#budget.end !== '' || this.#options.stop();
  }

  get tried(): Tried {
    const { seed } = this.#options;
    return {
      tries: this.#tries,
      tests: this.#tests,
      clean: this.#clean,
      strategies: [...this.#strategies],
      seeds: [seed, seed + Math.max(0, this.#tries - 1)],
    };
  }

  /**
   * Every test a little, then by turns a new one and one of those that are left, until one breaks the rule. Those proved clean leave.
   * @param more tests, when these have found nothing
   */
  async find(variants: readonly Variant[], more?: Iterator<Variant> | undefined): Promise<Found | null> {
    const arms = new Arms();
    for (const variant of this.#lessons.sorted(variants)) {
      if (this.#tries > 0 && this.spent) return null;
      const found = await this.#first(arms, variant);
      if (found !== null) return found;
    }
    while (!this.spent) {
      const next = more?.next();
      if (next !== undefined && next.done !== true) {
        const found = await this.#first(arms, next.value);
        if (found !== null) return found;
      }
      const arm = arms.next();
      if (arm === null && (next === undefined || next.done === true)) return null;
      if (arm === null || this.spent) continue;
      const found = await this.#try(arms, arm);
      if (found !== null) return found;
    }
    return null;
  }

  #first(arms: Arms, variant: Variant): Promise<Found | null> {
    this.#tests++;
    return this.#try(arms, new Arm(variant));
  }

  /** The test's next turn. */
  async #try(arms: Arms, arm: Arm): Promise<Found | null> {
    const before = this.#budget.used;
    const { found, clean, other, newPerThousand } = await this.#explore(
      arm.variant,
      arm.turn(),
      this.#options.seed + this.#tries++,
    );
    if (found !== null || other) this.#lessons.note(arm.variant.traits, found !== null);
    if (clean) {
      this.#clean++;
      arms.leave(arm);
    } else arms.stays(arm, { spent: this.#budget.used - before, other, newPerThousand });
    return found;
  }

  /** One that comes to break the rule, or of the family, is as good as found: what is left of the time is not spent on the rule itself. */
  #remember(found: Found & { readonly invariant: string }): void {
    const shown = this.related?.shown !== true && this.#looks++ < LOOKS_MAX && this.#comesTo(found);
    const earlier = isEarlier(this.#options.invariant, found.invariant);
    const before = this.related === null ? -1 : worth(this.related.shown, this.related.earlier);
    if (worth(shown, earlier) <= before) return;
    this.related = { ...found, shown, earlier };
    if (before <= 0 && worth(shown, earlier) > 0) this.#budget = this.#budget.part(FAMILY_SHARE);
  }

  /** Whether the schedule, gone on with past the rule that it breaks, comes to break this one too. */
  #comesTo({ text, schedule, seed }: Found): boolean {
    const { invariant } = this.#options;
    return goesOnTo(this.#subject(text).create(), schedule, invariant, seed, () => this.spent);
  }

  /** The test and its schedule made small. */
  async solve(found: Found): Promise<Solved> {
    const [least, most] = REDUCE_SCHEDULES;
    const schedules = Math.min(most, Math.max(least, REDUCE_FACTOR * found.within));
    let { schedule } = found;
    const reduced = await reduceOperations(found.text, async (text) => {
      if (this.spent) return false;
      const variant = { name: found.variant, text, traits: [] };
      const tried = await this.#explore(variant, { ...FIRST, schedules }, found.seed);
      if (tried.found !== null) schedule = tried.found.schedule;
      return tried.found !== null;
    });
    return { ...reduced, ...tellSchedule(this.#subject(reduced.text), schedule) };
  }

  #subject(text: string): LitmusSubject {
    const { path, seed, kernel } = this.#options;
    return litmusSubject({ path, text, options: { seed, kernel } });
  }

  async #explore(variant: Variant, { strategy, depth, schedules }: Turn, seed: number): Promise<Outcome> {
    const { invariant, stop, onProgress, path, kernel } = this.#options;
    const { name, text } = variant;
    let subject;
    try {
      subject = litmusSubject({ path, text, options: { seed, kernel } });
    } catch {
      // a test may ask for what its machine cannot have: it is no test then
      return { found: null, clean: true, other: false, newPerThousand: 0 };
    }
    this.#strategies.add(strategy);
    const { report } = await explore({
      subject,
      strategy,
      ...(depth !== undefined && { depth }),
      schedules,
      budget: this.#budget.part(TRY_SHARE),
      stepsMax: subject.test.stepsMax,
      until: invariant,
      lookOn: 0,
      minimise: false,
      stop: () => stop() || this.#budget.end === 'clock',
      onProgress: (now) => onProgress(`${this.schedules + now.schedules} schedules`),
    });
    this.schedules += report.schedules;
    const foundBy = (schedule: string): Found => ({
      variant: name,
      text,
      schedule,
      within: report.schedules,
      seed,
      strategy: strategy === EXHAUSTIVE ? strategy : parseSchedule(schedule).strategy,
    });
    const find = report.violations.find((each) => each.invariant === invariant)?.schedule;
    const next = report.violations.find((each) => each.invariant !== invariant);
    if (next?.schedule !== undefined) this.#remember({ ...foundBy(next.schedule), invariant: next.invariant });
    return {
      found: find === undefined ? null : foundBy(find),
      clean: report.exhaustive,
      other: next !== undefined,
      newPerThousand: report.coverage.new_per_thousand,
    };
  }
}

/** A schedule made small, run again and told. */
function tellSchedule(subject: LitmusSubject, text: string): Omit<Solved, keyof Reduced> {
  const found = parseSchedule(text);
  const thread = new OneThread(subject.create(), found.stepsMax);
  const choices = minimise(thread, found.variation, found.choices, found.end);
  const clash = clashIfAny(thread, found.variation, choices);
  const witness = tell(thread, found.variation, choices, { marks: clashMarks(clash, thread.program.actors) });
  return {
    what: witness.breach?.what ?? found.end,
    schedule: formatSchedule({
      ...found,
      breaks: witness.breach?.invariant,
      choices,
      seed: subject.seed,
      litmus: subject.litmus,
    }),
    diagram: witness.diagram,
    clash,
  };
}
