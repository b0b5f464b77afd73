/**
 * The race diagram: a column per actor, time downwards, only the steps that matter, in the words of kernel commit messages.
 *
 *     cpu0 (vcpu0)                              numa-balancer
 *     ------------                              -------------
 *     pin_user_pages(0x12, LONGTERM): pfn 0x4d
 *     stage2_map(gfn 0x12): pfn 0x4d
 *                                               change_prot_numa()
 *                                                 invalidate_range_start(0x10-0x20)
 *                                                   stage2_unmap(gfn 0x12)   <-- pinned page unmapped
 *                                                 PTE(0x12): page pinned, skipped
 *                                                 invalidate_range_end(0x10-0x20)
 *
 * Events of different actors with the same time are concurrent and share a row. This file chooses the rows;
 * `diagram-text.ts` and `diagram-mermaid.ts` print them.
 */
import type { DiagramCell, DiagramRow, Diagram, DiagramOptions } from './model.js';
import type { Violation } from '../../oracle/violation.js';
import { RECORD_WORDS, recordTime } from '../../events/record.js';
import { lockClass } from '../../locks/classes.js';
import { chooseActors, fit, foldRepeats, foldRounds, foldRuns, joinOperations } from './fit.js';
import { type Item, itemsOf } from './items.js';
import { formatDiagram } from './text.js';
import { Relevance, lastFocusOf } from './focus.js';
import { withOthers } from './projection.js';

const COLUMNS_MAX = 4;
const ROWS_MAX = 32;

/** Names that say by themselves who it is: CPUs, kernel threads, the hypervisor. */
const PLAIN = /^(cpu\d+$|el2|ksmd|khugepaged|kswapd|kcompactd|numa)/;

/** `cpu0 (vcpu0)` for tasks that run on a CPU of their own, the plain name for CPUs and kernel threads. */
function titleOf(actor: number, names: readonly string[]): string {
  const name = names[actor];
  if (name === undefined) return `cpu${actor}`;
  return PLAIN.test(name) ? name : `cpu${actor} (${name})`;
}

/** Concurrent steps, of different actors at one time, share a row. */
function toRows(steps: readonly Item[]): DiagramRow[] {
  const rows: { time: number; cells: DiagramCell[] }[] = [];
  for (const { time, actor, lines } of steps) {
    const last = rows.at(-1);
    if (last !== undefined && last.time === time && !last.cells.some((cell) => cell.actor === actor)) {
      last.cells.push({ actor, lines });
    } else {
      rows.push({ time, cells: [{ actor, lines }] });
    }
  }
  return rows;
}

function verdictOf(violation: Violation | undefined, names: readonly string[]): string {
  if (violation === undefined) return '';
  const who =
    violation.actor === undefined || violation.actor < 0 ? '' : (names[violation.actor] ?? `cpu${violation.actor}`);
  const when = (violation.time ?? 0) === 0 ? '' : `time ${violation.time}`;
  const held = (violation.held ?? []).map(({ lockClass: id }) => lockClass(id).name).join(', ');
  const where = [who, when, held === '' ? '' : `holds ${held}`].filter((part) => part !== '').join(', ');
  return `${violation.invariant}: ${violation.what}${where === '' ? '' : ` (${where})`}`;
}

/** The focus asked for, the violation's page, or else what the violation's actor did last. */
function relevanceOf(records: Int32Array, end: number, options: DiagramOptions): Relevance {
  const { violation, thpOrder, focus } = options;
  const foci = focus === undefined ? [violation ?? {}] : [focus].flat();
  const relevance = new Relevance(records, end, foci, thpOrder, options.exact !== true);
  if (!relevance.anything || violation?.actor === undefined || violation.actor < 0) return relevance;
  return new Relevance(records, end, [lastFocusOf(records, end, violation.actor, thpOrder)], thpOrder);
}

/** Where the records that lead up to the violation end. */
function endOf(records: Int32Array, last: number | undefined): number {
  const total = Math.floor(records.length / RECORD_WORDS);
  let end = total;
  if (last !== undefined && last > 0) while (end > 0 && recordTime(records, end - 1) > last) end--;
  return end === 0 ? total : end;
}

/** Whose columns come first: who broke the rule, whose steps are pointed at, whom the outcome is about, who else has to do with it. */
function namedActors({ violation, marks = [], named = [] }: DiagramOptions): number[] {
  const pointed = marks.filter(({ note, rank = 0 }) => note !== '' || rank === 0).map(({ actor }) => actor);
  const all = [violation?.actor ?? -1, ...pointed, ...named, ...(violation?.actors ?? [])];
  return [...new Set(all)].filter((actor) => actor >= 0);
}

/**
 * Of a broken rule, not what has nothing to do with it: operations on other pages in which nothing is drawn, and those who did nothing
 * else. An outcome is about all that was done.
 */
function withoutBystanders(items: readonly Item[], named: readonly number[], { violation }: DiagramOptions): Item[] {
  if (violation === undefined) return [...items];
  const involved = new Set(named);
  for (const { actor, kind } of items) if (kind === 'event' || kind === 'mark') involved.add(actor);
  const isEmpty = (at: number): boolean => {
    const { actor } = items[at] as Item;
    const next = items.slice(at + 1).find((item) => item.actor === actor);
    return next === undefined || next.kind === 'begin' || next.kind === 'end';
  };
  const gone = new Set<Item>();
  items.forEach((item, at) => {
    if (item.kind !== 'begin' || item.elsewhere !== true || !isEmpty(at)) return;
    gone.add(item);
    const end = items.slice(at + 1).find(({ actor }) => actor === item.actor);
    if (end !== undefined && end.kind === 'end') gone.add(end);
  });
  return items.filter((item) => involved.has(item.actor) && !gone.has(item));
}

/**
 * Chooses what matters: the events that touch the focused page, its frame and its guest page, the notifier windows
 * that cover it, the steps that were marked and the operations around them, up to the violation; at most `maxRows` of them.
 * @param records records in merged order
 */
export function chooseRows(records: Int32Array, actorNames: readonly string[], options: DiagramOptions = {}): Diagram {
  const { violation, projection } = options;
  const end = endOf(records, violation?.time);
  const named = projection === undefined ? namedActors(options) : [projection.actor];
  const all = itemsOf(records, end, relevanceOf(records, end, options), options);
  const joined = foldRepeats(foldRuns(records, joinOperations(withoutBystanders(all, named, options))));
  const folded = projection === undefined ? foldRounds(records, joined) : withOthers(joined, projection, actorNames);
  const columns = Math.min(COLUMNS_MAX, Math.max(1, options.columns ?? COLUMNS_MAX));
  const chosen = chooseActors(folded, named, columns);
  const shown = folded.filter((item) => chosen.has(item.actor));
  const { items, earlier, between } = fit(shown, options.maxRows ?? ROWS_MAX, violation?.actor ?? -1);

  const shownActors = [...new Set(items.map(({ actor }) => actor))].toSorted((x, y) => x - y);
  const left = new Set(folded.filter(({ actor }) => !chosen.has(actor)).map(({ actor }) => actor));
  const remarks = [
    ...(between > 0 ? [`${between} more steps between these are left out`] : []),
    ...(options.remarks ?? []),
  ];
  return {
    actors: shownActors.map((actor) => ({ actor, title: titleOf(actor, actorNames) })),
    rows: toRows(foldRepeats(items)),
    earlier,
    otherActors: [...left].toSorted((x, y) => x - y).map((actor) => titleOf(actor, actorNames)),
    ...(remarks.length > 0 && { remarks }),
    verdict: verdictOf(violation, actorNames),
  };
}

/**
 * The race diagram of some records, ready to paste: no wider than `options.width`, no trailing spaces, ends with a newline.
 * Prints what there is: records that are cut off, unknown or none at all are no error.
 * @param records records in merged order (events/record.ts)
 */
export function raceDiagram(records: Int32Array, actorNames: readonly string[], options: DiagramOptions = {}): string {
  return formatDiagram(chooseRows(records, actorNames, options), options.width);
}
