/** What the bar says of a run that has ended. */
import { SCENARIO_OVER } from '../../lab/report/asked.js';
import type { Report } from '../../lab/report/run-row.js';

/** `run 2 ended (finished) after 3.0 s: 1 violation`. */
export function endedNote(run: number, report: Report): string {
  const { end, duration_s: duration } = report;
  const after = `after ${duration.toFixed(1)} s: ${outcome(report)}`;
  return end.kind === SCENARIO_OVER
    ? `run ${run} is done: ${end.detail ?? 'all its actors have ended'}, ${after}`
    : `run ${run} ended (${end.kind}) ${after}`;
}

function outcome({ not_asked: why, violation_count: count }: Report): string {
  if (why !== null) return 'nothing was asked, so that nothing broke says nothing';
  return count === 0 ? 'no violation, which proves nothing' : `${count} violation${count === 1 ? '' : 's'}`;
}
