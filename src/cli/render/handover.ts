/** What the explorer made of a run's violations, for people. */
import { pc } from './colour.js';
import { handoversOf } from '../../lab/handover/explain.js';
import type { Handover } from '../../lab/report/handover-row.js';
import { handoverName } from '../../lab/handover/litmus-text.js';
import type { Report } from '../../lab/report/run-row.js';
import { nextCommand } from './next.js';
import { number } from './table.js';

/** What a hand-over took: schedules, tries, the strategy and seed that found it, CPU time. */
export function effortText({ schedules, tries, strategy, seed, cpu_s: cpu }: Handover): string {
  const by = seed === null ? '' : ` by ${strategy}, seed ${seed}`;
  const count = tries === 1 ? '1 try' : `${number(tries)} tries`;
  return `${number(schedules)} schedules in ${count}${by}, ${cpu.toFixed(1)} s of CPU time`;
}

/**
 * A part for each violation that was handed over; empty when none was.
 * @param written names of the files that were written
 */
export function renderHandovers(report: Report, written: ReadonlySet<string>): string {
  return handoversOf(report)
    .map(({ invariant, handover }) => {
      const effort = effortText(handover);
      if (handover.schedule === '') return `${pc.bold(`${invariant} on one thread`)}: ${handover.reason} (${effort}).`;
      const name = handoverName(invariant);
      return [
        `${pc.bold(`${invariant} on one thread`)}, after ${effort}: ${handover.found ? '' : `${handover.reason}: `}${handover.what}`,
        handover.litmus.trimEnd(),
        handover.diagram.trimEnd(),
        ...(handover.clash === null ? [] : [`Avoided: ${handover.clash.avoided}.`]),
        `Cut from the run:\n${handover.cut.map((line) => `  ${line}`).join('\n')}`,
        ...(written.has(`${name}.schedule`)
          ? [nextCommand(['replay', `${name}.schedule`], `this violation, every time; the test is ${name}.litmus`)]
          : []),
      ].join('\n\n');
    })
    .join('\n\n');
}
