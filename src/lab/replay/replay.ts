/**
 * `pinfall replay`: a recorded schedule again, step by step the same. Where the record does not fit any more (the code or
 * the scenario has changed), it stops at that step and says so: the end `mismatch`.
 */
import { END_MISMATCH, END_NAMES, KNOWN_WINDOW, OneThread } from '../../engine/one-thread/one-thread.js';
import { ExactScript } from '../../engine/strategies/script.js';
import { type OutcomeFields, outcomeFields, outcomeText } from '../../engine/one-thread/outcome.js';
import { type Schedule, parseSchedule } from '../../engine/one-thread/schedule-file.js';
import { ScheduleSyntaxError, InputError } from '../../errors/errors.js';
import { ContinuedScript } from '../../engine/strategies/continued.js';
import { STRATEGIES, strategyKind } from '../../engine/strategies/index.js';
import type { Strategy } from '../../engine/strategies/strategy.js';
import { clashIfAny, clashMarks } from '../clash/clash.js';
import type { Clash } from '../report/clash-row.js';
import { EXPLORE_DEFAULTS } from '../explore/explore.js';
import { meant } from '../input/nearest.js';
import { type EndRow, REPORT_SCHEMA } from '../report/run-row.js';
import { type ReportViolation, violationRow } from '../report/violation.js';
import type { Subject } from '../explore/explored.js';
import { undeclaredRows } from '../tell/undeclared.js';
import type { Diagram } from '../../trace/diagram/model.js';
import { formatDiagram } from '../../trace/diagram/text.js';
import { actorNamed, tell } from '../tell/witness.js';

export interface ReplayReport {
  readonly schema: typeof REPORT_SCHEMA;
  readonly command: 'replay';
  readonly scenario: string;
  readonly policy: string;
  readonly seed: number;
  readonly workers: 1;
  readonly strategy: 'replay';
  readonly schedules: 1;
  /** Steps done, and steps of the record. */
  readonly steps: number;
  readonly steps_recorded: number;
  readonly elapsed_s: number;
  readonly exhaustive: false;
  readonly outcomes: readonly (OutcomeFields & { readonly state: string; readonly count: 1 })[];
  /** The broken rule, or where the record stopped matching. */
  readonly violations: readonly ReportViolation[];
  readonly violation_count: number;
  /** What the schedule was recorded for, where real kernels are known to do it too. */
  readonly known_windows: readonly ReportViolation[];
  /** How the schedule was recorded to end, and whether it did. */
  readonly recorded_end: string;
  readonly reproduced: boolean;
  /** The scenario comes to the same plan as when the schedule was recorded. */
  readonly same_plan: boolean;
  /** What went on where the record ended or did not fit (`--then`); null when nothing had to. */
  readonly continued: ContinuedRow | null;
  /** Of a violation or deadlock: the two steps that clash. */
  readonly clash: Clash | null;
  readonly diagram: string;
  readonly end: EndRow;
  /** No rule broke: false also when that is what was recorded. */
  readonly ok: boolean;
}

interface Replay {
  readonly report: ReplayReport;
  /** The report's diagram, for other forms. */
  readonly drawing: Diagram;
  /** NDJSON. */
  readonly events: string;
}

/**
 * Reads a schedule file's text.
 * @param path for messages
 * @throws InputError with the file, line and column, and what was expected
 */
export function readSchedule(text: string, path: string): Schedule {
  try {
    // a byte order mark is some editors' doing
    return parseSchedule(text.startsWith('\ufeff') ? text.slice(1) : text);
  } catch (error) {
    if (error instanceof ScheduleSyntaxError)
      throw new InputError(`${path}:${error.line}:${error.column}: ${error.what}`);
    throw error;
  }
}

/** Where a record stopped, and what went on. */
interface ContinuedRow {
  readonly strategy: string;
  /** Steps that followed the record. */
  readonly after_step: number;
  readonly why: string;
}

interface ReplayOptions {
  /** A strategy that goes on where the record ends or stops fitting: a name of STRATEGIES. Its seed is the schedule's. */
  readonly continueWith?: string | undefined;
  /** The diagram shows this actor alone: its name. */
  readonly actor?: string | undefined;
}

/**
 * Runs a schedule again.
 * @param subject what the schedule names, made by the caller
 * @throws InputError when it has other actors than the schedule, or `then` is no strategy
 */
export function replay(schedule: Schedule, subject: Subject, path: string, options: ReplayOptions = {}): Replay {
  const started = performance.now();
  const plain = threadOf(schedule, subject);
  const [had, has] = [schedule.actors.join(' '), plain.program.actors.join(' ')];
  if (had !== has) {
    throw new InputError(`${path}: recorded with the actors ${had}; ${schedule.scenario} has ${has}`);
  }
  const thread = asRecorded(schedule, subject, plain);
  const { program } = thread;
  const only = actorNamed(program, options.actor);
  const continued =
    options.continueWith === undefined
      ? null
      : new ContinuedScript(schedule.choices, strategyOf(options.continueWith, schedule));
  const witness = tell(thread, schedule.variation, schedule.choices, { continued });
  const { breach } = witness;
  const choices = thread.choices.slice(0, thread.steps);
  const { outcome } = thread;
  const state = outcomeText(outcome);
  const mismatch = witness.end === END_MISMATCH;
  const told: ReportViolation[] =
    breach === null
      ? []
      : [
          violationRow(breach, program, {
            seed: schedule.seed,
            steps: witness.steps,
            details: witness.details,
            diagram: witness.diagram,
          }),
        ];
  const known = breach?.known === true;
  const undeclared = thread.undeclared.list.map((each) => Object.assign({ first: 0, by: 'replay' }, each));
  const violations = [...(known ? [] : told), ...undeclaredRows(program, undeclared, schedule.seed)];
  const row =
    continued === null || !continued.left ? null : continuedRow(continued, options.continueWith ?? '', program.actors);
  const clash = breach === null || mismatch ? null : clashIfAny(thread, schedule.variation, choices);
  const shown =
    clash === null ? witness : tell(thread, schedule.variation, choices, { marks: clashMarks(clash, program.actors) });
  const drawing = shown.draw(only);
  const report: ReplayReport = {
    schema: REPORT_SCHEMA,
    command: 'replay',
    scenario: schedule.scenario,
    policy: schedule.policy,
    seed: schedule.seed,
    workers: 1,
    strategy: 'replay',
    schedules: 1,
    steps: witness.steps,
    steps_recorded: schedule.choices.length,
    elapsed_s: (performance.now() - started) / 1000,
    exhaustive: false,
    outcomes: [{ state, ...outcomeFields(outcome), count: 1 }],
    violations,
    violation_count: violations.length,
    known_windows: known ? told : [],
    recorded_end: schedule.end,
    reproduced:
      (state === schedule.end || thread.endText === schedule.end) && witness.steps === schedule.choices.length,
    same_plan: subject.hash === schedule.hash,
    continued: row,
    clash,
    diagram: formatDiagram(drawing),
    end: mismatch
      ? { kind: 'mismatch', detail: breach?.what ?? '' }
      : { kind: known ? KNOWN_WINDOW : (END_NAMES[witness.end] as string) },
    ok: violations.length === 0,
  };
  return { report, drawing, events: witness.events };
}

/** A thread for the schedule: to stop at the first broken rule, or to go on past it, or to end at a known window. */
function threadOf({ choices, stepsMax }: Schedule, subject: Subject, goesOn = false, atWindows = false): OneThread {
  const program = subject.create();
  if (atWindows) program.endAtKnownWindows?.();
  const thread = new OneThread(program, Math.max(stepsMax, choices.length));
  thread.goesOn = goesOn;
  return thread;
}

/** The thread that is set up as the one that recorded the schedule was: which makes it end as it did; else `plain`. */
function asRecorded(schedule: Schedule, subject: Subject, plain: OneThread): OneThread {
  const { end, choices, variation } = schedule;
  const endsSo = (thread: OneThread): boolean => {
    const script = new ExactScript().load(choices, choices.length);
    script.begin();
    thread.run(script, variation);
    return thread.outcomeText === end || thread.endText === end;
  };
  if (endsSo(plain)) return plain;
  const goingOn = threadOf(schedule, subject, true);
  if (endsSo(goingOn)) return goingOn;
  const atWindows = threadOf(schedule, subject, false, true);
  return endsSo(atWindows) ? atWindows : plain;
}

function strategyOf(name: string, { seed }: Schedule): Strategy {
  const kind = strategyKind(name);
  if (kind !== undefined) return kind.create({ seed, depth: EXPLORE_DEFAULTS.depth });
  const known = STRATEGIES.map((each) => each.name);
  throw new InputError(`--then: no '${name}'; expected one of ${known.join(', ')}${meant(name, known)}`);
}

function continuedRow({ matched, wanted }: ContinuedScript, strategy: string, actors: readonly string[]): ContinuedRow {
  const why =
    wanted < 0
      ? 'the record ends there'
      : `the record names ${actors[wanted] ?? `actor ${wanted}`}, which cannot run there`;
  return { strategy, after_step: matched, why };
}
