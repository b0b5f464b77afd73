/** What `replay` prints. */
import type { ReplayReport } from '../../lab/replay/replay.js';
import { renderClash } from './clash.js';
import { pc } from './colour.js';
import { number } from './table.js';

/** Whether it ended as it was recorded, and in what. */
function answer({ reproduced, end, violations }: ReplayReport): string {
  const rules = [...new Set(violations.map(({ invariant }) => invariant))];
  const how = rules.length === 0 ? end.kind : `violation ${rules.join(', ')}`;
  return reproduced ? pc.green(`The same end: ${how}.`) : pc.red(`A different end: ${how}.`);
}

export function renderReplay(report: ReplayReport): string {
  const plan = report.same_plan ? '' : ' The scenario has changed since.';
  const { continued, clash } = report;
  return [
    answer(report),
    `${pc.bold('pinfall replay')}  ${report.scenario}, policy ${report.policy}, seed ${report.seed}\n` +
      `${number(report.steps)} steps, ${number(report.steps_recorded)} recorded; recorded end: ${report.recorded_end}.${plan}`,
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
