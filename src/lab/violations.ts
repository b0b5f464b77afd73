/** Violations on their way from the oracles into reports. */
import type { EndState } from '../engine/threads.js';
import { lastRecords } from '../events/ring.js';
import { type DiagramViolation, raceDiagram } from '../trace/diagram.js';
import { mergeRecords } from '../trace/merge.js';
import { SCENARIO_OVER } from './asked.js';
import type { EndRow, ReportViolation } from './report.js';

/** What a violation's object may tell beside its invariant; the oracles decide. */
function violationOf(found: object): DiagramViolation & Record<string, unknown> {
  const fields = found as Readonly<Record<string, unknown>>;
  const number = (key: string): number | undefined => {
    const value = fields[key];
    return typeof value === 'number' ? value : undefined;
  };
  const actors = Array.isArray(fields['actors'])
    ? fields['actors'].filter((actor): actor is number => typeof actor === 'number')
    : [];
  return {
    ...fields,
    invariant: String(fields['invariant'] ?? 'unknown'),
    what: String(fields['what'] ?? ''),
    actor: number('actor') ?? actors[0],
    actors,
    time: number('time'),
    pfn: number('pfn'),
    vm: number('vm'),
    gfn: number('gfn'),
    mm: number('mm'),
    vpn: number('vpn'),
  };
}

/**
 * A violation with the race diagram of the events that stand in the rings now. At once: a ring that records goes on, and
 * forgets.
 * @param records events of each ring that the diagram may show
 */
export function reportViolation(
  found: object,
  rings: readonly SharedArrayBuffer[],
  records: number,
  actorNames: readonly string[],
  thpOrder: number,
): ReportViolation {
  const violation = violationOf(found);
  const merged = mergeRecords(rings.map((ring) => lastRecords(ring, records)));
  const diagram = raceDiagram(merged, actorNames, { violation, thpOrder });
  return { ...found, invariant: violation.invariant, what: violation.what, diagram };
}

/**
 * How a run's end reads in a report.
 * @param left where its actors had ended by themselves, the names of those that had not
 */
export function endRow(end: EndState, interrupted: boolean, left: readonly string[] | null = null): EndRow {
  if (end.kind === 'finished' && left !== null) {
    const but = left.length === 0 ? '' : ` but ${left.join(' and ')}, which has nobody to race with,`;
    return { kind: SCENARIO_OVER, detail: `all actors${but} had ended` };
  }
  if (end.kind === 'finished') return { kind: interrupted ? 'interrupted' : 'finished' };
  const lines = end.hang?.graph.lines ?? [];
  const kind = end.hang?.reason === 'time limit' ? 'drain-timeout' : end.kind;
  return { kind, detail: [end.text, ...lines].join('\n') };
}
