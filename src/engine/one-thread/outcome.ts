/**
 * What an execution comes to, as a value: how it ended, which rules it broke, what came after, and its final state. Words are made of
 * it where somebody reads them ({@link outcomeText}); nobody takes them apart again.
 */
import { END_FINISHED, END_LIVELOCK, END_NAMES, END_VIOLATION, KNOWN_WINDOW } from './end-kinds.js';
import type { Violation } from '../../oracle/violation.js';

/** A program's final state. */
export interface FinalState {
  /** Its own words: `x=1 y=0`; empty where nothing is asked about it. */
  readonly words: string;
  /** Numbers, from 1, of the questions about every state whose condition held in one on the way. */
  readonly held: readonly number[];
  /** Rules that were broken on the way as real kernels are known to. */
  readonly known: readonly string[];
}

export interface Outcome {
  /** END_*, also of the part before it went on past a broken rule. */
  readonly end: number;
  /** The rule that was broken first; of an execution of a proof, all that one of its schedules breaks first. */
  readonly broken: readonly string[];
  /** Nothing but questions about final states was broken: the outcome is the state. */
  readonly isAnswer: boolean;
  /** It was to end at a known window, and did. */
  readonly isKnownWindow: boolean;
  /** END_* after it had gone on past broken rules; null where it stopped at the first, or nothing of its own came. */
  readonly after: number | null;
  /** Where it finished, at once or after it had gone on. */
  readonly state: FinalState | null;
}

/** The fields of an outcome in reports. */
export interface OutcomeFields {
  /** How it ended: finished, violation, deadlock, ... */
  readonly end: string;
  /** The rules that were broken; empty for none. */
  readonly broken: readonly string[];
  /** How it ended after it had gone on past a broken rule; null where it had not. */
  readonly after: string | null;
  /** Questions about every state that held on the way, and known windows that it went through. */
  readonly held: readonly number[];
  readonly known: readonly string[];
}

/** A state of which nothing is asked. */
export const plainState = (words = '', known: readonly string[] = []): FinalState => ({ words, held: [], known });

/** The rules of known windows, each once. */
export const knownRules = (known: readonly Violation[] | undefined): readonly string[] => [
  ...new Set((known ?? []).map(({ invariant }) => invariant)),
];

/** `x=1 held(2) known(I-COHERE)`; `finished` where there is nothing to say. */
export function stateText({ words, held, known }: FinalState): string {
  const parts = [words, held.length === 0 ? '' : `held(${held.join(',')})`].filter((part) => part !== '');
  return `${parts.length === 0 ? 'finished' : parts.join(' ')}${known.length === 0 ? '' : ` known(${known.join(',')})`}`;
}

/** `violation I-PIN`, `known window I-COHERE`, `deadlock`: an end in words, with the first rule that was broken. */
export function endText(end: number, [first]: readonly Violation[]): string {
  return first === undefined ? (END_NAMES[end] as string) : brokenText(end, [first.invariant], first.known === true);
}

const brokenText = (end: number, broken: readonly string[], isKnown: boolean): string =>
  `${isKnown ? KNOWN_WINDOW : (END_NAMES[end] as string)} ${broken.join(' + ')}`;

/** An outcome in words: its final state, or `violation I-RO`, or where it went on past a broken rule both: `violation I-RO, then x=1`. */
export function outcomeText({ end, broken, isAnswer, isKnownWindow, after, state }: Outcome): string {
  if (broken.length === 0 || isAnswer) return state === null ? (END_NAMES[end] as string) : stateText(state);
  const text = brokenText(end, broken, isKnownWindow);
  if (after === null) return text;
  const words = after === END_FINISHED && state !== null ? stateText(state) : (END_NAMES[after] as string);
  return words === 'finished' ? text : `${text}, then ${words}`;
}

/** An outcome for a report. */
export const outcomeFields = ({ end, broken, after, state }: Outcome): OutcomeFields => ({
  end: END_NAMES[end] as string,
  broken,
  after: after === null ? null : (END_NAMES[after] as string),
  held: state?.held ?? [],
  known: state?.known ?? [],
});

/** What is known of a schedule that has ended. */
interface Ended {
  /** END_*, and of one that went on past broken rules how it ended then. */
  readonly end: number;
  readonly ended: number;
  readonly goesOn: boolean;
  readonly breaches: readonly Violation[];
}

/** @param finalState asked only where the schedule finished */
export function outcomeOf({ end, ended, goesOn, breaches }: Ended, finalState: () => FinalState): Outcome {
  const [first] = breaches;
  const isAnswer = end === END_VIOLATION && areAnswers(breaches);
  const after = goesOn && first !== undefined && !isAnswer ? endAfter(ended, breaches) : null;
  const finished = end === END_FINISHED || isAnswer || after === END_FINISHED;
  return {
    end,
    broken: first === undefined ? [] : [first.invariant],
    isAnswer,
    isKnownWindow: first?.known === true,
    after,
    state: finished ? finalState() : null,
  };
}

/** Whether nothing but questions about final states was broken. */
const areAnswers = (breaches: readonly Violation[]): boolean =>
  breaches.length > 0 && breaches.every(({ answer }) => answer === true);

/**
 * How a schedule went on that went past its broken rules.
 * @returns END_*; null where that is told by the rules, or nothing came
 */
function endAfter(ended: number, breaches: readonly Violation[]): number | null {
  const isTold = ended === END_LIVELOCK && breaches.some(({ invariant }) => invariant === 'I-LIVE');
  return isTold || ended === END_VIOLATION ? null : ended;
}
