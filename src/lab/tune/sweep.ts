/**
 * The sweep: stages of candidates, repetitions interleaved, forwards and backwards in turn, so that whatever else the machine does
 * falls on all of them alike. Each stage goes on from the best of those before it; the last one, `check`, runs the best and
 * the default alone.
 */
import { REPETITIONS_MIN, checkIsClear, leaderOf, stageIsClear, survivors } from './advice.js';
import { type Subject, el2Stage, engineStage, placementStage } from './candidates.js';
import type { Measurement } from './measure.js';
import { type Setting, settingId } from './setting.js';
import type { SweepState } from './state.js';

/** What can be swept, in this order. */
export const STAGES = ['placement', 'el2', 'engine'] as const;
export type StageName = (typeof STAGES)[number];
export const CHECK = 'check';
/** A check has at least so many repetitions, unless it is clear before: fewer prove nothing. */
const CHECK_REPETITIONS = 5;
const checkRepetitions = (repetitions: number): number =>
  repetitions < REPETITIONS_MIN ? REPETITIONS_MIN : Math.max(repetitions, CHECK_REPETITIONS);

interface SweepOptions {
  readonly subject: Subject;
  /** Worker counts, both included. */
  readonly range: readonly [number, number];
  readonly repetitions: number;
  readonly stages: readonly StageName[];
  readonly state: SweepState;
  readonly measure: (setting: Setting) => Promise<Measurement>;
  /** Before each measurement: what it is, how many are done, and about how many there will be. */
  readonly onRun?: (run: { setting: Setting; stage: string; done: number; expected: number }) => void;
}

export interface SweepResult {
  /** All settings that were tried, in the order in which they came up. */
  readonly settings: readonly Setting[];
  /** Of the stages before the check. */
  readonly best: Setting;
  /** Ids of those that were given up before their stage's last repetition. */
  readonly dropped: ReadonlySet<string>;
  readonly interrupted: boolean;
}

class Interrupted extends Error {}

export async function sweep(options: SweepOptions): Promise<SweepResult> {
  const run = new Sweep(options);
  return run.all();
}

class Sweep {
  readonly #options: SweepOptions;
  readonly #settings = new Map<string, Setting>();
  readonly #dropped = new Set<string>();
  #done = 0;
  #best: Setting;

  constructor(options: SweepOptions) {
    this.#options = options;
    this.#best = options.subject.standard;
  }

  async all(): Promise<SweepResult> {
    const { subject, range } = this.#options;
    let interrupted = false;
    try {
      await this.#stage('placement', () => placementStage(subject, range));
      await this.#stage('el2', () => el2Stage(subject, this.#best));
      await this.#stage('engine', () => engineStage(subject, this.#best));
      await this.#check();
    } catch (error) {
      if (!(error instanceof Interrupted)) throw error;
      interrupted = true;
    }
    return { settings: [...this.#settings.values()], best: this.#best, dropped: this.#dropped, interrupted };
  }

  async #stage(stage: StageName, candidates: () => readonly Setting[]): Promise<void> {
    const { state, repetitions, subject, stages } = this.#options;
    const settings = stages.includes(stage) ? candidates() : [];
    if (settings.length < 2) return;
    const standard = settingId(subject.standard);
    for (const setting of settings) this.#settings.set(settingId(setting), setting);
    let live = settings.map(settingId);
    for (let n = 0; n < repetitions; n++) {
      const order = n % 2 === 0 ? live : live.toReversed();
      const ahead = live.length * (repetitions - n);
      for (const [i, id] of order.entries()) await this.#sample(stage, n, id, ahead - i + this.#later(stage));
      const leader = leaderOf(state.samples, stage, live);
      this.#best = this.#settings.get(leader) as Setting;
      const next = survivors(state.samples, stage, live, standard);
      if (n + 1 < repetitions) for (const id of live) if (!next.includes(id)) this.#dropped.add(id);
      live = next;
      if (stageIsClear(live, leader, standard, n + 1)) return;
    }
  }

  async #check(): Promise<void> {
    const { state, repetitions, subject } = this.#options;
    const standard = settingId(subject.standard);
    const best = settingId(this.#best);
    if (best === standard) return;
    const most = checkRepetitions(repetitions);
    for (let n = 0; n < most; n++) {
      const order = n % 2 === 0 ? [standard, best] : [best, standard];
      for (const [i, id] of order.entries()) await this.#sample(CHECK, n, id, 2 * (most - n) - i);
      if (checkIsClear(state.samples, CHECK, best, standard)) return;
    }
  }

  async #sample(stage: string, repetition: number, id: string, ahead: number): Promise<void> {
    const { state, measure, onRun } = this.#options;
    this.#done++;
    if (state.has(stage, repetition, id)) return;
    const setting = this.#settings.get(id) as Setting;
    onRun?.({ setting, stage, done: this.#done - 1, expected: this.#done - 1 + ahead });
    const started = performance.now();
    const { value, violations, failed } = await measure(setting);
    const took = (performance.now() - started) / 1000;
    if (value !== null) state.add({ stage, repetition, id, value }, violations, took);
    else if (failed !== undefined) state.fail({ stage, repetition, id, why: failed }, violations, took);
    else throw new Interrupted();
  }

  /** About how many measurements the stages after this one take. */
  #later(stage: StageName): number {
    const { subject, repetitions, stages } = this.#options;
    const after = new Set(stages.filter((other) => STAGES.indexOf(other) > STAGES.indexOf(stage)));
    const el2 = after.has('el2') ? el2Stage(subject, this.#best).length : 0;
    const engine = after.has('engine') ? engineStage(subject, this.#best).length : 0;
    return (el2 + engine) * repetitions + 2 * checkRepetitions(repetitions);
  }
}
