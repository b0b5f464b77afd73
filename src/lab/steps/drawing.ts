/**
 * A schedule that has run, as a diagram: its events, the steps that decided, and the operations around them. Everything that draws a
 * schedule comes here: explore, explain, replay, the hand-over.
 */
import { type EventLog, recordActor, recordArg, recordTime, recordType } from '../../events/record.js';
import { EVENT } from '../../events/table.js';
import { ZERO_PFN } from '../../mm/folio.js';
import { PlanProgram } from '../../engine/one-thread/plan-program.js';
import type { Program, Waiting } from '../../engine/one-thread/program.js';
import type { Violation } from '../../oracle/violation.js';
import { Machine } from '../../machine/layout.js';
import { chooseRows } from '../../trace/diagram/diagram.js';
import type { Diagram, DiagramMark, Projection } from '../../trace/diagram/model.js';
import { type DiagramFocus, Relevance, isShown } from '../../trace/diagram/focus.js';
import type { Wanted } from '../litmus/compile.js';
import { type Named, namedByRule, namedIn, operationsOf } from '../litmus/drawing.js';
import { LitmusProgram } from '../litmus/program.js';
import { otherNames } from './mapped.js';
import { marksOf } from './marks.js';
import type { Step } from './recorder.js';
import { served } from './served.js';

/** What has run. */
interface Told {
  readonly program: Program;
  readonly choices: Uint8Array;
  readonly log: EventLog;
  readonly steps: readonly Step[];
  readonly breach: Violation | null;
  /** Who waits for what, in a deadlock. */
  readonly waiting: readonly Waiting[];
  /** The machine as it was before the first step. */
  readonly start: Machine | null;
  /** Steps that are pointed at. */
  readonly marks: readonly DiagramMark[];
  /** The outcome that was asked for. */
  readonly wanted: Wanted | null;
}

/** A copy of the machine as it is now; null for programs without one. */
export function snapshot(program: Program): Machine | null {
  if (!(program instanceof PlanProgram)) return null;
  const { machine } = program;
  const buffer = new SharedArrayBuffer(machine.buffer.byteLength);
  const copy = new Machine(machine.config, buffer);
  copy.words.set(machine.words);
  return copy;
}

const NOBODY: Named = { pages: [], actors: [] };

/** The pages that a broken rule names, and whom the outcome is about. */
function namedBy(told: Told): Named {
  const { program, breach, wanted } = told;
  const { pfn: frame, vm, gfn, mm, vpn } = (breach ?? {}) as Partial<Violation>;
  // everybody's page is nobody's
  const pfn = frame === ZERO_PFN ? undefined : frame;
  if (pfn !== undefined || gfn !== undefined || vpn !== undefined)
    return { pages: [{ pfn, vm, gfn, mm, vpn }], actors: [] };
  if (!(program instanceof LitmusProgram)) return NOBODY;
  if (breach === null) return namedIn(program.test, wanted);
  if (breach.answer === true || breach.invariant === 'forbidden' || breach.invariant === 'always')
    return namedByRule(program.test, breach.what);
  return { pages: underWay(told, breach.actor ?? -1), actors: [] };
}

/** The pages of the operation that an actor of a litmus test is in: what a rule without a page was broken for. */
function underWay({ program, log: { records, count } }: Told, actor: number): readonly DiagramFocus[] {
  if (!(program instanceof LitmusProgram)) return [];
  for (let i = count - 1; i >= 0; i--) {
    if (recordActor(records, i) !== actor || recordType(records, i) !== EVENT.litmus_call) continue;
    return operationsOf(program.test)[actor]?.[recordArg(records, i, 0)]?.pages ?? [];
  }
  return [];
}

/** The drawing of what has run, for each actor alone too. */
export function drawingOf(told: Told): (projection?: Projection) => Diagram {
  const { program, choices, log, steps, breach, waiting, start, marks: pointed, wanted } = told;
  const records = log.view();
  const thpOrder = program instanceof PlanProgram ? program.machine.thpOrder : 0;
  const named = namedBy(told);
  const focus = program instanceof PlanProgram ? allNames(program.machine, start, named.pages) : named.pages;
  const relevance = new Relevance(records, log.count, focus, thpOrder);
  const violation = breach ?? undefined;
  const marks = marksOf(program, steps, {
    isFocus: ({ of }) => of !== null && relevance.touchesWord(of.pfn, of.mm, of.vm, of.page, of.pages),
    pointed,
    broken: brokenAt(breach, choices, log),
    locks: new Set(waiting.map(({ word }) => word)),
  });
  // a server of hypercalls is there for somebody
  const whose = served(steps);
  const drawnAt = new Set(marks.map(({ time }) => time));
  const callers = steps.filter((step) => drawnAt.has(step.time) || step.time === choices.length).map(whose);
  const about = [...new Set([...callers, ...(wanted === null ? [] : named.actors)])];
  const operations = program instanceof LitmusProgram ? operationsOf(program.test) : undefined;
  return (projection) =>
    chooseRows(records, program.actors, {
      violation,
      marks,
      projection,
      operations,
      choices,
      thpOrder,
      named: about,
      ...(focus.length > 0 && { focus }),
    });
}

/** A page's names at the start and at the end: it may have been moved. */
function allNames(m: Machine, start: Machine | null, pages: readonly DiagramFocus[]): readonly DiagramFocus[] {
  return start === null ? otherNames(m, pages) : otherNames(m, otherNames(start, pages));
}

/** The step in which the rule was broken, where no event tells of it; 0: none in particular. */
function brokenAt(breach: Violation | null, choices: Uint8Array, { records, count }: EventLog): number {
  const { actor = -1, time = 0 } = breach ?? {};
  if (actor < 0 || time !== choices.length || choices.at(-1) !== actor) return 0;
  for (let i = count - 1; i >= 0 && recordTime(records, i) >= time; i--) {
    if (recordActor(records, i) === actor && isShown(recordType(records, i))) return 0;
  }
  return time;
}
