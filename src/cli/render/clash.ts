/** The clash of a failing schedule, as text. */
import type { Clash, ClashStep } from '../../lab/report/clash-row.js';
import type { ReportViolation } from '../../lab/report/violation.js';

function stepLines(index: number, { actor, step, does, at, calls, held }: ClashStep): string[] {
  const inside = calls.slice(-4, -1).map((fn) => `${fn}()`);
  return [
    `  ${index}. ${actor}, step ${step}: ${does}`,
    ...(at === '' ? [] : [`     at ${at}`]),
    ...(inside.length === 0 ? [] : [`     called from ${inside.toReversed().join(', from ')}`]),
    `     holds ${held.length === 0 ? 'no lock' : held.join(', ')}`,
  ];
}

/** Of a violation in a report: its clash, where one was found. */
export function violationClash(violation: ReportViolation): string {
  return violation.clash == null ? '' : renderClash(violation.clash);
}

/** How sure it is, and how many changes of order would each have been enough. */
function sureness({ sure, depth }: Clash): string {
  const pairs = depth > 1 ? `; ${depth} orders are needed for it, each of which avoids it when it is turned round` : '';
  return `${sure}${depth === 0 ? '; no race is needed' : pairs}`;
}

/** The two steps, what they rest on, and the order that would have been well. */
export function renderClash(clash: Clash): string {
  const { steps, why, avoided } = clash;
  return [
    `The two steps that clash (${sureness(clash)}):`,
    ...stepLines(1, steps[0]),
    ...stepLines(2, steps[1]),
    ...why.map((reason, i) => `  ${i === 0 ? 'Why: ' : '     '}${reason}${i === why.length - 1 ? '.' : ';'}`),
    `  Avoided: ${avoided}.`,
  ].join('\n');
}
