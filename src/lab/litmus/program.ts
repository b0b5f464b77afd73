/**
 * A litmus test as a program of the one-thread engine: a plan whose final states are told apart by what the questions mention and by
 * the named results, and whose `forbidden` and `always` are rules like the oracles'.
 */
import type { EventWriter } from '../../machine/context.js';
import { PlanProgram } from '../../engine/one-thread/plan-program.js';
import { type FinalState, knownRules, plainState } from '../../engine/one-thread/outcome.js';
import type { Alarm } from '../../engine/one-thread/program.js';
import type { Violation } from '../../oracle/violation.js';
import { look as peek } from '#words';
import type { LitmusTest, Wanted } from './compile.js';
import { type Question, holds, needsTally } from './language/conditions.js';
import { type Observation, observationOf } from './observation.js';
import { observedWords } from './observed.js';
import { type LitmusState, startFrames } from './state.js';
import { Tally } from './tally.js';

/** The find of a schedule that `explain` looks for. */
export const OUTCOME = 'outcome';

/** What breaks when the condition of `question` comes to `holding`, or null. */
function broken({ word, text, during }: Question, holding: boolean): Violation | null {
  const answer = during ? {} : ({ answer: true } as const);
  // the keyword is the rule's name already
  const asked = text.slice(word.length + 1);
  if (word === 'forbidden' && holding) return { invariant: 'forbidden', what: `${asked} holds`, ...answer };
  return word === 'always' && !holding ? { invariant: 'always', what: `${asked} does not hold`, ...answer } : null;
}

/**
 * The oracles' alarm, with the questions about every state: the engine looks here after each step, so that is when they are
 * evaluated.
 */
class DuringAlarm implements Alarm {
  readonly #oracles: Alarm;
  readonly #look: () => readonly Violation[];

  constructor(oracles: Alarm, look: () => readonly Violation[]) {
    this.#oracles = oracles;
    this.#look = look;
  }

  get violations(): readonly Violation[] {
    const { violations } = this.#oracles;
    const asked = this.#look();
    return asked.length === 0 ? violations : [...violations, ...asked];
  }

  get knownWindows(): readonly Violation[] {
    return this.#oracles.knownWindows ?? [];
  }
}

export class LitmusProgram extends PlanProgram {
  readonly test: LitmusTest;
  /** What questions are evaluated in. */
  readonly state: LitmusState;
  /** Of the questions about every state. */
  readonly observed: readonly number[];
  readonly #tallied: boolean;
  /** Of each question about every state, whether its condition held in one of them; of `always`, whether it did in all. */
  readonly #during: readonly number[];
  readonly #seen: boolean[];
  #breaches: Violation[] = [];
  readonly #numbers = new Map<string, number>();
  readonly #observations: Observation[] = [];

  /** @throws RangeError when the plan cannot be set up */
  constructor(test: LitmusTest) {
    super(test.plan);
    this.test = test;
    const load = (word: number): number => peek(this.words, word);
    const tally = new Tally(this.machine);
    this.state = { m: this.machine, load, start: startFrames(this.machine, load), tally };
    this.#tallied = test.questions.some(({ predicate }) => needsTally(predicate));
    if (this.#tallied) super.recordEvents(tally);
    this.#during = test.questions.flatMap(({ during }, index) => (during ? [index] : []));
    this.observed = observedWords(
      this.machine,
      this.#during.map((index) => this.#question(index).predicate),
    );
    this.#seen = test.questions.map(({ word }) => word === 'always');
    if (this.#during.length > 0) this.alarm = new DuringAlarm(this.probe, () => this.#look());
  }

  override reset(variation: number): void {
    super.reset(variation);
    this.state.tally.reset();
    this.#breaches = [];
    for (const index of this.#during) this.#seen[index] = this.#question(index).word === 'always';
  }

  override recordEvents(to: EventWriter | null): boolean {
    const { tally } = this.state;
    tally.to = to;
    return super.recordEvents(this.#tallied ? tally : to);
  }

  /** The final state's broken rules, `forbidden` and `always` among them; the expected one first. */
  override audit(): readonly Violation[] {
    const { test, state } = this;
    const { wanted } = test;
    const breaches = super.audit();
    if (wanted !== null) return [...breaches, ...this.#ifWanted(wanted)];
    const asked = test.questions.flatMap((question) => {
      if (question.during || (question.word !== 'forbidden' && question.word !== 'always')) return [];
      return broken(question, holds(state, question.predicate)) ?? [];
    });
    const expected = test.expect?.kind === 'violation' ? test.expect.invariant : '';
    const isFirst = ({ invariant }: Violation): boolean => invariant === expected;
    return [...breaches.filter(isFirst), ...breaches.filter((breach) => !isFirst(breach)), ...asked];
  }

  #ifWanted(wanted: Wanted): Violation[] {
    const { text } = this.observation();
    const found = 'text' in wanted ? text.includes(wanted.text) : holds(this.state, wanted.predicate);
    return found ? [{ invariant: OUTCOME, what: text, answer: true }] : [];
  }

  override observe(): number {
    const observation = this.observation();
    const key = `${observation.text}\n${observation.yes.join(' ')}`;
    const known = this.#numbers.get(key);
    if (known !== undefined) return known;
    this.#observations.push(observation);
    this.#numbers.set(key, this.#observations.length - 1);
    return this.#observations.length - 1;
  }

  override finalState(observation = 0): FinalState {
    return this.#observations[observation]?.state ?? plainState();
  }

  /** The state that the schedule has ended in. */
  observation(): Observation {
    const { test, state } = this;
    const yes = test.questions.map(({ during, predicate }, index) =>
      during ? this.#seen[index] === true : holds(state, predicate),
    );
    return observationOf(test, state, yes, knownRules(this.alarm.knownWindows));
  }

  /** Evaluates the questions about every state, in this one. */
  #look(): readonly Violation[] {
    for (const index of this.#during) {
      const question = this.#question(index);
      const holding = holds(this.state, question.predicate);
      const was = this.#seen[index] === true;
      this.#seen[index] = question.word === 'always' ? was && holding : was || holding;
      const breach = was === this.#seen[index] ? null : broken(question, holding);
      if (breach !== null) this.#breaches.push(breach);
    }
    return this.#breaches;
  }

  #question(index: number): Question {
    return this.test.questions[index] as Question;
  }
}
