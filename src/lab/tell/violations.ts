/** Violations on their way from the oracles into reports. */
import type { EndState } from '../../engine/threads/run.js';
import { RECORD_WORDS, recordActor, recordTime } from '../../events/record.js';
import type { Machine } from '../../machine/layout.js';
import { chooseRows } from '../../trace/diagram/diagram.js';
import type { Diagram } from '../../trace/diagram/model.js';
import { formatDiagram } from '../../trace/diagram/text.js';
import type { Violation } from '../../oracle/violation.js';
import { SCENARIO_OVER } from '../report/asked.js';
import type { EndRow } from '../report/run-row.js';
import { type ReportViolation, type ViolationFinding, namesOn, violationRow } from '../report/violation.js';
import { type History, historiesOf } from './histories.js';
import { otherNames } from '../steps/mapped.js';
import { withPinUnderWay } from './under-way.js';

/** Violations of the same words that are drawn: a diagram takes a tenth of a second of CPU, and an end audit finds many at once. */
const DRAWN_OF_A_KIND = 2;

/**
 * A violation with the race diagram of the events that stand in the rings now. At once: a ring that records goes on, and
 * forgets.
 * @param records events of each ring that the diagram may show
 * @param m the machine, where the page's other names are looked up
 * @param finding what the run knows of it beside
 * @param before reported already
 */
export function reportViolation(
  violation: Violation,
  rings: readonly SharedArrayBuffer[],
  records: number,
  actorNames: readonly string[],
  m: Machine,
  finding: ViolationFinding = {},
  before: readonly ReportViolation[] = [],
): ReportViolation {
  const alike = before.filter(({ invariant, what }) => invariant === violation.invariant && what === violation.what);
  if (alike.length >= DRAWN_OF_A_KIND) return violationRow(violation, namesOn(m, actorNames), finding);
  const { each: histories, merged } = historiesOf(rings, records);
  const { pfn, vm, gfn, mm, vpn } = violation;
  const isAboutPage = pfn !== undefined || gfn !== undefined || vpn !== undefined;
  const focus = isAboutPage ? otherNames(m, [{ pfn, vm, gfn, mm, vpn }], 1) : [];
  // in a long run a frame is many pages' one after the other
  const exact =
    focus.some((each) => each.pfn !== undefined) &&
    focus.some((each) => each.pfn === undefined || each.vpn !== undefined || each.gfn !== undefined);
  const pinned = withPinUnderWay(merged, violation);
  const drawing = chooseRows(pinned.records, actorNames, {
    violation,
    thpOrder: m.thpOrder,
    ...(isAboutPage && { focus, exact }),
  });
  const remarks = [
    ...(drawing.remarks ?? []),
    ...(pinned.actor < 0
      ? []
      : [
          `the pin of ${actorNames[pinned.actor] ?? pinned.actor} stands where it was met; its event was written after that`,
        ]),
    ...lostRemarks(violation, drawing, histories, actorNames),
    ...silentRemarks(violation, drawing, histories, actorNames),
  ];
  const diagram = formatDiagram({ ...drawing, ...(remarks.length > 0 && { remarks }) });
  return violationRow(violation, namesOn(m, actorNames), { ...finding, diagram });
}

const many = (count: number): string => `${count.toLocaleString('en')} event${count === 1 ? '' : 's'}`;

/** Where nothing of who broke the rule is drawn, why: its events are lost, and how many, or it has written none about the page. */
function lostRemarks(
  { actor = -1, actors = [] }: Violation,
  drawing: Diagram,
  histories: readonly History[],
  actorNames: readonly string[],
): string[] {
  const isDrawn = (who: number): boolean => drawing.actors.some((column) => column.actor === who);
  const all = histories.reduce((sum, { lost }) => sum + lost, 0);
  const culprits = [...new Set([actor, ...actors])].filter((who) => who >= 0);
  if (culprits.length === 0) {
    const before = all > 0 ? `; ${many(all)} before these are lost` : '';
    return [`found by an audit: the step that broke it may stand long before what is drawn${before}`];
  }
  return culprits
    .filter((who) => !isDrawn(who))
    .map((who) => {
      const name = actorNames[who] ?? `actor ${who}`;
      const own = histories.find(({ kept }) => hasActor(kept, who));
      const lost = own === undefined ? all : own.lost;
      if (lost === 0) return `${name} has written no event about this page`;
      const since = own === undefined ? 'none of its events is left' : 'those that are left are about other pages';
      return `the events of ${name} about this page are lost: ${since}, ${many(lost)} of its worker are overwritten`;
    });
}

/** Others whose rings have forgotten all that was before the violation: whoever pinned the page may be among them. */
function silentRemarks(
  { actor = -1, actors = [], time = 0 }: Violation,
  drawing: Diagram,
  histories: readonly History[],
  actorNames: readonly string[],
): string[] {
  if (time <= 0) return [];
  const told = new Set([actor, ...actors, ...drawing.actors.map((column) => column.actor)]);
  const silent = histories
    .filter(({ kept, lost }) => lost > 0 && kept.length > 0 && recordTime(kept, 0) > time)
    .flatMap(({ kept }) => actorsIn(kept).filter((who) => !told.has(who)));
  if (silent.length === 0) return [];
  const names = silent.map((who) => actorNames[who] ?? `actor ${who}`).join(', ');
  return [`what ${names} did before it is not known: the events of that time are lost`];
}

function actorsIn(records: Int32Array): number[] {
  const found = new Set<number>();
  for (let i = 0; i * RECORD_WORDS < records.length; i++) found.add(recordActor(records, i));
  return [...found].toSorted((x, y) => x - y);
}

function hasActor(records: Int32Array, actor: number): boolean {
  for (let i = 0; i * RECORD_WORDS < records.length; i++) if (recordActor(records, i) === actor) return true;
  return false;
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
  const reason = end.hang?.reason;
  const kind = reason === 'time limit' ? 'drain-timeout' : reason === 'starved' ? 'starved' : end.kind;
  const { death } = end;
  return {
    kind,
    detail: [end.text, ...lines].join('\n'),
    ...(death !== null && {
      death: {
        worker: death.worker,
        phase: death.phase,
        actor: death.actor?.name ?? null,
        held: death.actor?.held.map(({ name }) => name) ?? [],
      },
    }),
  };
}
