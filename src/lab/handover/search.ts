/** Searches litmus tests on one thread until a rule breaks, and makes what was found small. */
import { minimise } from '../../engine/minimise.js';
import { OneThread } from '../../engine/one-thread.js';
import { formatSchedule, parseSchedule } from '../../engine/schedule-file.js';
import { strategyKind } from '../../engine/strategies/index.js';
import { type Clash, clashIfAny, clashMarks } from '../clash.js';
import { explore } from '../explore.js';
import { type LitmusSubject, litmusSubject } from '../litmus/subject.js';
import { tell } from '../witness.js';
import { isEarlier } from './families.js';
import { type Reduced, reduceOperations } from './reduce.js';
import type { Variant } from './variants.js';

export interface SearchOptions {
  readonly invariant: string;
  /** Of the test's file, in messages and schedules. */
  readonly path: string;
  /** Instead of the policy or bug that the tests name. */
  readonly kernel?: string | undefined;
  readonly seed: number;
  /** Milliseconds on the clock of `performance.now()`. */
  readonly deadline: number;
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
  /** The seed that it was found with. */
  readonly seed: number;
}

/** Told, with its schedule made small. */
export interface Solved extends Reduced {
  readonly what: string;
  readonly schedule: string;
  readonly diagram: string;
  readonly clash: Clash | null;
}

/** Schedules that each test gets in the first round; each round has eight times as many. */
const FIRST_ROUND = 500;
const ROUND_FACTOR = 8;
const EXHAUSTIVE = 'exhaustive';
/** Of the time left, for the rule itself once one was broken that the same mistake breaks earlier. */
const FAMILY_SHARE = 0.2;
/** While operations are left out, a test gets so many times the schedules that the first find took. */
const REDUCE_FACTOR = 6;
const REDUCE_SCHEDULES = [300, 6000] as const;
const STRATEGY = 'portfolio';

/** All schedules of a search so far. */
export class Searcher {
  schedules = 0;
  /** The first schedule that broke another rule: on one thread the same mistake may be seen at an earlier step. */
  related: (Found & { readonly invariant: string }) | null = null;
  readonly #options: SearchOptions;
  #deadline: number;

  constructor(options: SearchOptions) {
    this.#options = options;
    this.#deadline = options.deadline;
  }

  get spent(): boolean {
    return performance.now() >= this.#deadline || this.#options.stop();
  }

  /** Tests by rounds: all of them a little, then all of them more, until one breaks the rule. Those proved clean leave. */
  async find(variants: readonly Variant[]): Promise<Found | null> {
    let open = variants;
    for (let round = 0, most = FIRST_ROUND; open.length > 0 && !this.spent; round++, most *= ROUND_FACTOR) {
      const still: Variant[] = [];
      for (const variant of open) {
        if (this.spent) return null;
        const { schedule, clean, schedules, other, seed } = await this.#explore(
          variant.text,
          most,
          round,
          still.length + 1,
        );
        if (other !== null)
          this.#remember({ variant: variant.name, text: variant.text, within: schedules, seed, ...other });
        if (schedule !== null) return { variant: variant.name, text: variant.text, schedule, within: schedules, seed };
        if (!clean) still.push(variant);
      }
      open = still;
    }
    return null;
  }

  /** One of the family is as good as found: what is left of the time is not spent on the rule itself. */
  #remember(found: Found & { readonly invariant: string }): void {
    const { invariant } = this.#options;
    const better = this.related === null || !isEarlier(invariant, this.related.invariant);
    if (!better || (this.related !== null && !isEarlier(invariant, found.invariant))) return;
    this.related = found;
    if (isEarlier(invariant, found.invariant)) {
      const now = performance.now();
      this.#deadline = Math.min(this.#deadline, now + (this.#deadline - now) * FAMILY_SHARE);
    }
  }

  /** The test and its schedule made small. */
  async solve(found: Found): Promise<Solved> {
    const [least, most] = REDUCE_SCHEDULES;
    const schedules = Math.min(most, Math.max(least, REDUCE_FACTOR * found.within));
    let { schedule } = found;
    const reduced = await reduceOperations(found.text, async (text) => {
      if (this.spent) return false;
      const tried = await this.#explore(text, schedules, 0, 0);
      if (tried.schedule !== null) schedule = tried.schedule;
      return tried.schedule !== null;
    });
    return { ...reduced, ...tellSchedule(this.#subject(reduced.text), schedule) };
  }

  #subject(text: string): LitmusSubject {
    const { path, seed, kernel } = this.#options;
    return litmusSubject({ path, text, options: { seed, kernel } });
  }

  async #explore(
    text: string,
    schedules: number,
    round: number,
    seeds: number,
  ): Promise<{
    readonly schedule: string | null;
    readonly clean: boolean;
    readonly schedules: number;
    readonly seed: number;
    readonly other: { readonly invariant: string; readonly schedule: string } | null;
  }> {
    const { invariant, stop, onProgress } = this.#options;
    const seed = this.#options.seed + round * 101 + seeds;
    let subject;
    try {
      const { path, kernel } = this.#options;
      subject = litmusSubject({ path, text, options: { seed, kernel } });
    } catch {
      // a draft may ask for what its machine cannot have: it is no test then
      return { schedule: null, clean: true, schedules: 0, seed, other: null };
    }
    // from the second round on half of the time may go into a proof
    const strategy = round === 1 && strategyKind(EXHAUSTIVE) !== undefined ? EXHAUSTIVE : STRATEGY;
    const { report } = await explore({
      subject,
      strategy,
      schedules,
      seconds: Math.max(0.01, (this.#deadline - performance.now()) / 1000),
      stepsMax: subject.test.stepsMax,
      until: invariant,
      lookOn: 0,
      minimise: false,
      stop,
      onProgress: (now) => onProgress(`${this.schedules + now.schedules} schedules`),
    });
    this.schedules += report.schedules;
    const find = report.violations.find((violation) => violation.invariant === invariant);
    const next = report.violations.find((violation) => violation.invariant !== invariant);
    const other = next?.schedule === undefined ? null : { invariant: next.invariant, schedule: next.schedule };
    return { schedule: find?.schedule ?? null, clean: report.exhaustive, schedules: report.schedules, seed, other };
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
    schedule: formatSchedule({ ...found, choices, seed: subject.seed, litmus: subject.litmus }),
    diagram: witness.diagram,
    clash,
  };
}
