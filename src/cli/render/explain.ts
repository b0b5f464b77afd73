/** The report of `explain`, for people. */
import type { ExplainReport } from '../../lab/litmus/explain.js';
import { pc } from './colour.js';
import { number } from './table.js';

export function renderExplain(report: ExplainReport): string {
  const { end, scenario, policy, wanted, found, schedules, found_in_schedule: at, outcome, steps } = report;
  const head = `${pc.bold('pinfall explain')}  ${scenario}, policy ${policy}, outcome ${wanted}`;
  if (!found) {
    const seen = report.outcomes.map((state) => `  ${state}`);
    const why =
      end.kind === 'exhausted' ? 'all that differ' : `stopped: ${end.detail ?? end.kind}; there may be others`;
    return [
      `${pc.red(`No schedule ends in ${wanted}`)} of ${number(schedules)} tried (${why}).`,
      '',
      `${head}\nThey ended in`,
      ...seen,
    ].join('\n');
  }
  const can = `It can end so: ${outcome}, in ${number(steps)} steps (made of schedule ${number(at ?? 0)}, the first found of ${number(schedules)} tried).`;
  return `${can}\n\n${head}\n\n${report.diagram}`;
}
