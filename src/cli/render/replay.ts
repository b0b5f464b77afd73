/** What `replay` prints. */
import type { ReplayReport } from '../../lab/replay.js';
import { renderClash } from './clash.js';
import { pc } from './colour.js';
import { number } from './table.js';

export function renderReplay(report: ReplayReport): string {
  const matched = report.reproduced ? pc.green('the same end') : pc.red(`a different end: ${report.end.kind}`);
  const plan = report.same_plan ? '' : ' The scenario has changed since.';
  const { continued, clash } = report;
  return [
    `${pc.bold('pinfall replay')}  ${report.scenario}, policy ${report.policy}, seed ${report.seed}\n` +
      `${number(report.steps)} steps, ${number(report.steps_recorded)} recorded; recorded end: ${report.recorded_end}; ${matched}.${plan}`,
    continued === null
      ? ''
      : `Followed the record for ${number(continued.after_step)} steps (${continued.why}), then went on with ${continued.strategy}.`,
    report.end.detail ?? '',
    ...report.violations.map((violation) => `${pc.red(pc.bold(violation.invariant))} ${violation.what}`),
    ...report.known_windows.map((known) => `${pc.yellow(pc.bold(`Known window ${known.invariant}`))} ${known.what}`),
    report.diagram,
    clash === null ? '' : renderClash(clash),
  ]
    .filter((part) => part !== '')
    .join('\n\n');
}
