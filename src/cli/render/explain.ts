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
    return [`${head}\n${pc.red('Not found')} in ${number(schedules)} schedules (${why}), which ended in`, ...seen].join(
      '\n',
    );
  }
  return `${head}\n${outcome}: ${number(steps)} steps, made of schedule ${number(at ?? 0)}.\n\n${report.diagram}`;
}
