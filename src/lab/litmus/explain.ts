/**
 * `pinfall explain`: a schedule of a litmus test that ends in a given outcome, made small and drawn; good outcomes too. The search takes
 * the outcome for a rule that must break, so strategies, minimiser and replay work as they do for violations.
 */
import { OneThread } from '../../engine/one-thread/one-thread.js';
import { formatSchedule, parseSchedule } from '../../engine/one-thread/schedule-file.js';
import { INVARIANTS } from '../../oracle/table.js';
import { Budget } from '../explore/budget.js';
import { explore } from '../explore/explore.js';
import { InputError } from '../../errors/errors.js';
import { meant } from '../input/nearest.js';
import { type EndRow, REPORT_SCHEMA } from '../report/run-row.js';
import type { ReportViolation } from '../report/violation.js';
import type { Diagram } from '../../trace/diagram/model.js';
import { formatDiagram } from '../../trace/diagram/text.js';
import { actorNamed, tell } from '../tell/witness.js';
import type { Wanted } from './compile.js';
import { OUTCOME } from './program.js';
import { canProve, proveLitmus } from './prove.js';
import { LITMUS_DEFAULTS } from './run.js';
import { type LitmusSubject, litmusSubject } from './subject.js';
import type { LitmusSource } from './source.js';

interface ExplainOptions {
  readonly source: LitmusSource;
  /**
   * A part of an outcome as `litmus` prints it (`p=-EFAULT`), how a schedule ends (`violation I-PIN`, `I-PIN`, `deadlock`), or a
   * condition in parentheses.
   */
  readonly outcome: string;
  /** The diagram shows this actor alone: its name. */
  readonly actor?: string | undefined;
  readonly strategy?: string | undefined;
  readonly schedules?: number | undefined;
  /** CPU seconds, at most; the clock ends it at ten times that. */
  readonly seconds?: number | undefined;
  readonly workers?: number | undefined;
  readonly stop?: () => boolean;
}

export interface ExplainReport {
  readonly schema: typeof REPORT_SCHEMA;
  readonly command: 'explain';
  readonly scenario: string;
  readonly policy: string;
  readonly seed: number;
  /** What was looked for, and whether it was found. */
  readonly wanted: string;
  readonly found: boolean;
  /** Schedules tried, and the number of the one that was found. */
  readonly schedules: number;
  readonly found_in_schedule: number | null;
  /** How the small schedule ends: the outcome. */
  readonly outcome: string;
  readonly steps: number;
  readonly schedule: string;
  readonly diagram: string;
  /** Outcomes seen: what could have been asked for. */
  readonly outcomes: readonly string[];
  /** Why it stopped, as of `explore`. */
  readonly end: EndRow;
  readonly ok: boolean;
}

/** What is told of the schedule: NDJSON of its events beside the report. */
interface Explanation {
  readonly report: ExplainReport;
  /** The report's diagram, for other forms; null where nothing was found. */
  readonly drawing: Diagram | null;
  readonly events: string;
}

/**
 * Looks for the outcome.
 * @throws InputError for a file with mistakes, or a condition with some
 */
export async function explainLitmus(options: ExplainOptions): Promise<Explanation> {
  const { source, outcome, strategy, workers } = options;
  const rule = ruleNamed(outcome);
  const wanted = rule === null ? { outcome } : {};
  const subject = litmusSubject({ ...source, options: { ...source.options, ...wanted } });
  const only = actorNamed(subject.create(), options.actor);
  const until = rule ?? OUTCOME;
  const seconds = options.seconds ?? LITMUS_DEFAULTS.seconds;
  const isSought = ({ invariant }: ReportViolation): boolean => invariant === until;
  let { report } = await explore({
    subject,
    schedules: options.schedules ?? LITMUS_DEFAULTS.schedules,
    budget: new Budget(seconds / 2),
    stepsMax: subject.test.stepsMax,
    until,
    ...(strategy !== undefined && { strategy }),
    ...(workers !== undefined && { workers }),
    ...(options.stop !== undefined && { stop: options.stop }),
  });
  if (!report.violations.some(isSought) && strategy === undefined && canProve(subject) && options.stop?.() !== true) {
    ({ report } = await proveLitmus({ subject, budget: new Budget(seconds / 2), stop: options.stop }));
  }
  const find = report.violations.find(isSought);
  const told =
    find?.schedule === undefined ? null : retold(litmusSubject(source), find.schedule, only, subject.test.wanted);
  return {
    report: {
      schema: REPORT_SCHEMA,
      command: 'explain',
      scenario: subject.scenario,
      policy: subject.policy,
      seed: subject.seed,
      wanted: outcome,
      found: told !== null,
      schedules: report.schedules,
      found_in_schedule: find?.found_in_schedule ?? null,
      outcome: told?.outcome ?? '',
      steps: told?.steps ?? 0,
      schedule: told?.schedule ?? '',
      diagram: told === null ? '' : formatDiagram(told.drawing),
      outcomes: report.outcomes.map(({ state }) => state),
      end: report.end,
      ok: told !== null,
    },
    drawing: told?.drawing ?? null,
    events: told?.events ?? '',
  };
}

/** The invariant or end that `outcome` is the name of, or null. */
function ruleNamed(outcome: string): string | null {
  const name = outcome.replace(/^violation ([^\s,]+).*$/, '$1');
  if (name === 'livelock') return 'I-LIVE';
  const rules = ['deadlock', 'exception', ...INVARIANTS.map(({ id }) => id)];
  if (rules.includes(name)) return name;
  if (name === outcome) return null;
  throw new InputError(`--outcome: no invariant '${name}'${meant(name, rules)}`);
}

/** The schedule on the test as it is, where what was looked for is no broken rule. */
function retold(subject: LitmusSubject, text: string, only: number | undefined, wanted: Wanted | null) {
  const schedule = parseSchedule(text);
  const program = subject.create();
  const thread = new OneThread(program, schedule.stepsMax);
  const { draw, events, steps } = tell(thread, schedule.variation, schedule.choices, { wanted });
  const end = thread.outcomeText;
  const { hash } = subject;
  return { outcome: end, steps, drawing: draw(only), events, schedule: formatSchedule({ ...schedule, end, hash }) };
}
