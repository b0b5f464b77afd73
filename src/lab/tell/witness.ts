/**
 * One schedule, told: run again by its choices, with its events, as a diagram and as event lines. For programs that write
 * events (the simulated kernel) these are their events, for others their steps.
 */
import { EventLog, recordTime } from '../../events/record.js';
import { END_DEADLOCK, END_EXCEPTION, END_MISMATCH, type OneThread } from '../../engine/one-thread/one-thread.js';
import type { Program } from '../../engine/one-thread/program.js';
import { effectText } from '../../engine/one-thread/determinism-check.js';
import type { ContinuedScript } from '../../engine/strategies/continued.js';
import { ExactScript } from '../../engine/strategies/script.js';
import type { Violation } from '../../oracle/violation.js';
import type { Diagram, DiagramMark, Projection } from '../../trace/diagram/model.js';
import { formatDiagram } from '../../trace/diagram/text.js';
import { formatNdjson } from '../../trace/export/ndjson.js';
import { InputError } from '../../errors/errors.js';
import type { Wanted } from '../litmus/compile.js';
import { meant } from '../input/nearest.js';
import { StepText } from './step-diagram.js';
import { drawingOf, snapshot } from '../steps/drawing.js';
import { StepRecorder } from '../steps/recorder.js';

interface Witness {
  readonly end: number;
  readonly steps: number;
  /** The first broken rule; deadlocks, exceptions and mismatches count as one. Null when the schedule ends well. */
  readonly breach: Violation | null;
  /** What else there is to say: who waits for what. */
  readonly details: readonly string[];
  readonly diagram: string;
  /** The diagram as what it is made of: for other forms. With the number of an actor: what that one does alone. */
  readonly draw: (actor?: number) => Diagram;
  /** NDJSON. */
  readonly events: string;
}

interface TellOptions {
  /** Goes on where the choices end or do not fit. */
  readonly continued?: ContinuedScript | null | undefined;
  /** Steps that are pointed at: their times, their actors and what is said of them. */
  readonly marks?: readonly DiagramMark[] | undefined;
  /** The outcome that was asked for: what it names has a column. */
  readonly wanted?: Wanted | null | undefined;
}

/** Runs `choices` on `thread` again and tells what happens. */
export function tell(
  thread: OneThread,
  variation: number,
  choices: Uint8Array,
  { continued = null, marks = [], wanted = null }: TellOptions = {},
): Witness {
  const { program } = thread;
  const log = new EventLog();
  const text = new StepText(program);
  const recorder = new StepRecorder(thread);
  const script = continued?.exact ?? new ExactScript().load(choices, choices.length);
  program.reset(variation);
  const start = snapshot(program);
  const hasEvents = program.recordEvents(log);
  const strategy = continued ?? script;
  strategy.begin(0, program.actors.length);
  thread.observer = hasEvents ? recorder : text;
  const end = thread.run(strategy, variation);
  thread.observer = null;
  program.recordEvents(null);

  const breach = breachOf(thread, script);
  const waiting = end === END_DEADLOCK ? thread.waiting() : [];
  const details = end === END_DEADLOCK ? program.explain(waiting) : thread.livelock;
  // what the fair phase after the step limit wrote only goes round
  while (details === thread.livelock && details.length > 0 && log.count > 0) {
    if (recordTime(log.records, log.count - 1) <= thread.steps) break;
    log.count--;
  }
  const common = { end, steps: thread.steps, breach, details };
  const done = thread.choices.slice(0, thread.steps);
  const projectionOf = (actor: number | undefined): Projection | undefined =>
    actor === undefined ? undefined : { actor, choices: done };
  if (!hasEvents) {
    const verdict = breach === null ? '' : `${breach.invariant}: ${breach.what}`;
    const draw = (actor?: number): Diagram => text.diagram(verdict, projectionOf(actor));
    return { ...common, diagram: formatDiagram(draw()), draw, events: text.ndjson() };
  }
  const { steps } = recorder;
  const drawn = drawingOf({ program, choices: done, log, steps, breach, waiting, start, marks, wanted });
  const draw = (actor?: number): Diagram => drawn(projectionOf(actor));
  return {
    ...common,
    diagram: formatDiagram(draw()),
    draw,
    events: formatNdjson(log.records, log.count, program.actors),
  };
}

/**
 * The number of the actor that an option names.
 * @throws InputError when there is none of that name
 */
export function actorNamed(program: Program, name: string | undefined): number | undefined {
  if (name === undefined) return undefined;
  const actor = program.actors.indexOf(name);
  if (actor < 0) {
    const known = program.actors;
    throw new InputError(`--actor: no '${name}'; expected one of ${known.join(', ')}${meant(name, known)}`);
  }
  return actor;
}

/** What is wrong with the schedule that `thread` ran last, or null. */
export function breachOf(thread: OneThread, script: ExactScript | null = null): Violation | null {
  const [first] = thread.breaches;
  if (first !== undefined) return first;
  switch (thread.end) {
    case END_DEADLOCK:
      return { invariant: 'deadlock', what: thread.program.explain(thread.waiting()).join('; ') };
    case END_EXCEPTION:
      return { invariant: 'exception', what: errorText(thread.error), actor: thread.errorActor };
    case END_MISMATCH:
      return { invariant: 'mismatch', what: mismatchText(thread, script) };
    default:
      return null;
  }
}

const errorText = (error: unknown): string =>
  (error instanceof Error ? `${error.name}: ${error.message}` : String(error)).split('\n')[0] ?? '';

/** Where a recorded schedule stopped matching. */
function mismatchText(thread: OneThread, script: ExactScript | null): string {
  const { program, view, steps } = thread;
  const wanted = script?.wanted ?? -1;
  const can = Array.from(view.enabled.subarray(0, view.enabledCount), (actor) => program.actors[actor]).join(', ');
  if (wanted < 0) return `the record ends after step ${steps}, but ${can} can go on`;
  const name = program.actors[wanted] ?? `actor ${wanted}`;
  const why = thread.isDone(wanted)
    ? 'has returned'
    : `cannot run: it stands before '${effectText(thread, view.pending[wanted] as number)}'`;
  return `step ${steps + 1}: the record names ${name}, which ${why} (${can} can run)`;
}
