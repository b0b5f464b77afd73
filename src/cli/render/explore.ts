/** The reports of `explore` and `replay`, for people. */
import { pc } from './colour.js';
import type { Verdict } from '../../engine/campaign/range.js';
import { notAskedLine } from '../../lab/report/asked.js';
import type { ExploreReport } from '../../lab/explore/explore.js';
import type { ReportViolation } from '../../lab/report/violation.js';
import { broken, brokenRules } from './answer.js';
import { violationClash } from './clash.js';
import { knownWindowText } from './known-windows.js';
import { nextCommand } from './next.js';
import { number, table } from './table.js';

/** @param scheduleFile where the first violation's schedule was written, if it was */
export function renderExplore(report: ExploreReport, scheduleFile: string | undefined): string {
  const rate = report.elapsed_s > 0 ? `, ${number(Math.round(report.steps / report.elapsed_s))} steps/s` : '';
  const parts = [
    answer(report),
    `${pc.bold('pinfall explore')}  ${report.scenario}, policy ${report.policy}, strategy ${report.strategy}, seed ${report.seed}\n` +
      `${number(report.schedules)} schedules, ${number(report.steps)} steps, ${report.elapsed_s.toFixed(2)} s${rate}.`,
    table(
      ['outcome', 'schedules', 'verdict', 'first'],
      report.outcomes.map(({ state, count, verdict, first }) => [state, count, verdictText(verdict), String(first)]),
    ),
    report.members.length === 0
      ? ''
      : table(
          ['strategy', 'schedules', 'violations'],
          report.members.map(({ name, schedules, violations }) => [name, schedules, violations]),
        ),
    coverageText(report),
    ...report.violations.map(renderViolation),
    ...report.known_windows.map((known) => knownWindowText(known, report.schedules)),
    next(report, scheduleFile),
  ];
  return parts.filter((part) => part !== '').join('\n\n');
}

/** What broke, or what it says that nothing did. */
function answer(report: ExploreReport): string {
  const { not_asked: why, outcomes, violations, violation_count: found, exhaustive, schedules, guarantee } = report;
  if (why !== null) return pc.red(notAskedLine(why)) + (guarantee === '' ? '' : ` ${guarantee}`);
  const unit = exhaustive ? 'executions' : 'schedules tried';
  if (found > 0) {
    const ends = outcomes.filter(({ verdict }) => verdict === 'forbidden');
    // an access that nothing orders is no end of a schedule
    const what = ends.length === 0 ? brokenRules(violations, found) : broken(ends, schedules, unit);
    return pc.red(`Broken: ${what}.`);
  }
  if (exhaustive) return pc.green('No violation.') + (guarantee === '' ? '' : ` ${guarantee}`);
  const chance = guarantee === '' ? '' : `: ${guarantee}`;
  return `${pc.green(`No violation in ${number(schedules)} schedules`)}, which proves nothing about the others${chance}.`;
}

const verdictText = (verdict: Verdict): string => (verdict === 'forbidden' ? pc.red(verdict) : verdict);

function coverageText({ coverage, exhaustive }: ExploreReport): string {
  if (exhaustive) return 'Every schedule there is has been tried.';
  const pairs = coverage.pairs_both_orders + coverage.pairs_one_order;
  return (
    `${number(coverage.pairs_both_orders)} of ${number(pairs)} conflicting pairs of accesses were seen in both orders; ` +
    `${number(coverage.new_per_thousand)} new behaviours per thousand schedules in the last half.`
  );
}

function renderViolation(violation: ReportViolation): string {
  const by = violation.found_by === undefined ? '' : `  (found by ${violation.found_by})`;
  const head = `${pc.red(pc.bold(violation.invariant))} ${violation.what}${by}`;
  // of a livelock: what goes round
  const loops = violation.invariant === 'I-LIVE' ? (violation.details ?? []).join('\n') : '';
  return [head, loops, violation.diagram ?? '', violationClash(violation)].filter((part) => part !== '').join('\n\n');
}

function next(report: ExploreReport, scheduleFile: string | undefined): string {
  if (scheduleFile !== undefined) return nextCommand(['replay', scheduleFile], 'the same execution again');
  const policy = ['--policy', report.policy];
  return report.strategy === 'random'
    ? nextCommand(['explore', ...policy], 'other strategies too, with a bound on what was missed')
    : nextCommand(['stress', ...policy], 'the same kernel on real threads');
}
