/**
 * What a failing schedule comes down to: the two steps that clash, and the smallest change of order that avoids the failure. The races
 * of the schedule are turned round one at a time, the most telling first; the first one whose other order ends well is the answer.
 */
import { effectWord } from '../machine/effects.js';
import { END_DEADLOCK, END_FINISHED, END_VIOLATION, type OneThread, type StepObserver } from '../engine/one-thread.js';
import { HappensBefore, type Race, type StepTrace, traceSteps } from '../engine/races.js';
import { effectText } from '../engine/recheck.js';
import { ExactScript, GuidedScript } from '../engine/strategies/script.js';
import { type Place, Positions } from '../engine/where.js';
import type { DiagramMark } from '../trace/diagram.js';

/** One of the two steps. */
export interface ClashStep {
  readonly actor: string;
  /** From 1. */
  readonly step: number;
  /** `acquire PTL of table 0`: what it does to which word. */
  readonly does: string;
  /** `changePteRange (src/mm/mprotect-ptes.ts:71)`; empty where it is not known. */
  readonly at: string;
  /** The calls around it, the outermost first: function names. */
  readonly calls: readonly string[];
  /** Locks its actor held. */
  readonly held: readonly string[];
}

export interface Clash {
  readonly steps: readonly [ClashStep, ClashStep];
  /** One sentence: which order would have been well, and what comes of it. */
  readonly avoided: string;
}

/** As {@link findClash}; a report is printed with what there is, whatever goes wrong here. */
export function clashIfAny(thread: OneThread, variation: number, choices: Uint8Array): Clash | null {
  try {
    return findClash(thread, variation, choices);
  } catch {
    return null;
  }
}

const kernelName = (fn: string): string => fn.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);

/** The two steps for the diagram, in the kernel's own names. */
export function clashMarks(clash: Clash | null, actors: readonly string[]): DiagramMark[] {
  if (clash === null) return [];
  return clash.steps.map((step, i) => markOf(step, actors, `step ${i + 1} of the clash`));
}

const ACCESSES: Readonly<Record<string, string>> = { hostAccess: 'user access', guestAccess: 'guest access' };

/** A step as two lines of a diagram: who calls, and below what is done there. */
function markOf({ actor, step, does, calls }: ClashStep, actors: readonly string[], note: string): DiagramMark {
  const caller = calls.at(-2);
  const own = calls.at(-1) ?? '';
  // what no function of the kernel does: the MMU
  const access = ACCESSES[own];
  return {
    time: step,
    actor: actors.indexOf(actor),
    inside: access !== undefined || caller === undefined ? '' : `${kernelName(caller)}()`,
    text: `${access ?? `${kernelName(own)}()`}: ${inDiagram(does)}`,
    note,
  };
}

/** `acquire PTL of table 0` as commit messages say it: `lock PTL`; entries as events name them: `PTE(0x1)`. */
const inDiagram = (does: string): string =>
  does
    .replace(/^acquire /, 'lock ')
    .replace(/^release /, 'unlock ')
    .replace(/^(lock|unlock) PTL of table \d+$/, '$1 PTL')
    .replace(/\b(PTE|PMD) of mm0 vpn (0x[0-9a-f]+)$/, '$1($2)');

/**
 * The step in which a rule was found broken, for the diagram: the last one of `choices`, of which no event tells.
 * @param thread runs the schedule again: what it holds of its last run stays the same
 */
export function lastMark(thread: OneThread, variation: number, choices: Uint8Array): DiagramMark[] {
  try {
    const trace = traceSteps(thread, variation, choices);
    const last = trace.actors.length - 1;
    const [step] = describeSteps(thread, variation, choices, trace, [last, last]);
    return step.at === '' ? [] : [markOf(step, thread.program.actors, '')];
  } catch {
    return [];
  }
}

const TRIES = 120;
const STEPS_BUDGET = 2_000_000;

/**
 * Looks for the clash of a schedule that breaks a rule.
 * @param thread what it holds of the last schedule is lost
 * @returns null when no single change of order avoids the failure
 */
export function findClash(thread: OneThread, variation: number, choices: Uint8Array): Clash | null {
  const trace = traceSteps(thread, variation, choices);
  if (thread.end !== END_VIOLATION && thread.end !== END_DEADLOCK) return null;
  const order = new HappensBefore(trace, thread.program.actors.length);
  const isAbout = aboutFailure(thread);
  const script = new GuidedScript();
  let budget = STEPS_BUDGET;
  for (const race of tellingFirst(order.races, trace, isAbout).slice(0, TRIES)) {
    const wish = turnedRound(trace, order, race);
    script.load(wish, wish.length).begin();
    const end = thread.run(script, variation);
    budget -= thread.steps;
    if (end === END_FINISHED) return clashOf(thread, variation, choices, trace, race);
    if (budget < 0) return null;
  }
  return null;
}

/**
 * What tells most comes first: races about the page that the rule was broken for (of a deadlock: about the words waited for), then
 * all others; of these the latest, since what is decided late is what matters.
 */
function tellingFirst(races: readonly Race[], { effects }: StepTrace, isAbout: (word: number) => boolean): Race[] {
  const rank = ({ second }: Race): number => (isAbout(effectWord(effects[second] as number)) ? 0 : 1);
  return races.toSorted((x, y) => rank(x) - rank(y) || y.second - x.second || y.first - x.first);
}

/** Which words the failure that `thread` has just run into is about. */
function aboutFailure(thread: OneThread): (word: number) => boolean {
  const { program } = thread;
  if (thread.end === END_DEADLOCK) {
    const waited = new Set(thread.waiting().map(({ word }) => word));
    return (word) => waited.has(word);
  }
  const subject = (thread.breaches[0] ?? {}) as Partial<Record<'pfn' | 'gfn' | 'vpn', number>>;
  // most guests begin at page 0 of their process: the same number names both
  const page = { ...subject, vpn: subject.vpn ?? subject.gfn };
  const names = (['pfn', 'gfn', 'vpn'] as const).flatMap((kind) => {
    const value = page[kind];
    return value === undefined ? [] : [`${kind} 0x${value.toString(16)}`];
  });
  return (word) => {
    const name = program.describe(word);
    // that a page table is there at all is seldom the point
    return !name.startsWith('PMD') && names.some((part) => name.endsWith(part));
  };
}

/** The schedule with the second step of the race before the first: what the first brought about comes after both. */
function turnedRound(trace: StepTrace, order: HappensBefore, { first, second }: Race): Uint8Array {
  const { actors } = trace;
  const before = actors.slice(0, first);
  const free: number[] = [];
  const late: number[] = [actors[first] as number];
  for (let step = first + 1; step < second; step++) {
    const own = actors[step] === actors[second];
    (own || !order.before(first, step) ? free : late).push(actors[step] as number);
  }
  return Uint8Array.from([...before, ...free, actors[second] as number, ...late, ...actors.slice(second + 1)]);
}

function clashOf(thread: OneThread, variation: number, choices: Uint8Array, trace: StepTrace, race: Race): Clash {
  const outcome = thread.outcome;
  const [first, second] = describeSteps(thread, variation, choices, trace, [race.first, race.second]);
  const avoided = `with ${nameStep(second)} before ${nameStep(first)} the same schedule ends well (${outcome})`;
  return { steps: [first, second], avoided };
}

const nameStep = ({ actor, does, calls }: ClashStep): string => {
  const inside = calls.slice(-2).map((fn) => `${fn}()`);
  return inside.length === 0 ? `${actor}'s '${does}'` : `${actor}'s '${does}' in ${inside.join(' > ')}`;
};

/** Runs `choices` again and looks where the actors of two steps stand just before them. */
function describeSteps(
  thread: OneThread,
  variation: number,
  choices: Uint8Array,
  trace: StepTrace,
  wanted: readonly [number, number],
): [ClashStep, ClashStep] {
  const { program } = thread;
  const found = new Map<number, Omit<ClashStep, 'does' | 'step' | 'actor'>>();
  const positions = new Positions();
  const look: StepObserver = {
    beforeStep(actor, _effect, step) {
      if (!wanted.includes(step - 1)) return;
      const places = thread.calls(actor).map((call) => positions.placeOf(call));
      found.set(step - 1, {
        at: placeText(places.at(-1)),
        calls: places.map(({ fn }) => fn),
        held: program.heldLocks?.(actor) ?? [],
      });
    },
    afterStep() {},
  };
  const { observer } = thread;
  thread.observer = look;
  try {
    const script = new ExactScript().load(choices, choices.length);
    script.begin();
    thread.run(script, variation);
  } finally {
    thread.observer = observer;
    positions.close();
  }
  const step = (index: number): ClashStep => ({
    actor: program.actors[trace.actors[index] as number] ?? '',
    step: index + 1,
    does: effectText(thread, trace.effects[index] as number),
    ...(found.get(index) ?? { at: '', calls: [], held: [] }),
  });
  return [step(wanted[0]), step(wanted[1])];
}

function placeText(place: Place | undefined): string {
  if (place === undefined || place.file === '') return '';
  return `${place.fn} (${place.file}:${place.line})`;
}
