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
import { RECORD_ARGS, RECORD_WORDS, recordActor, recordTime, recordType } from '../events/record.js';
import { EVENT } from '../events/table.js';
import { lockClass } from '../locks/classes.js';
import { formatDiagram } from './diagram-text.js';
import { mechanismName } from './event.js';
import { type DiagramFocus, Relevance, isShown, lastFocusOf } from './focus.js';
import { type Projection, withOthers } from './projection.js';
import { MECHANISM_FUNCTIONS, phraseOf } from './text.js';

/** One line of an actor's column. */
export interface DiagramLine {
  /** Depth of nesting, 0 = outermost. */
  readonly indent: number;
  readonly text: string;
  /** Printed behind `<--`; often empty. */
  readonly note: string;
}

/** What one actor did at one time. */
export interface DiagramCell {
  readonly actor: number;
  readonly lines: readonly DiagramLine[];
}

/** Steps at one time: of one actor, or concurrent ones of several. */
export interface DiagramRow {
  readonly time: number;
  readonly cells: readonly DiagramCell[];
}

export interface Diagram {
  /** The columns. */
  readonly actors: readonly { readonly actor: number; readonly title: string }[];
  readonly rows: readonly DiagramRow[];
  /** Steps that mattered and were left out, since there were too many before the first row. */
  readonly earlier: number;
  /** Actors left out, since there is no room for their columns. */
  readonly otherActors: readonly string[];
  /** What a reader must know of what is not in it: a sentence each. */
  readonly remarks?: readonly string[] | undefined;
  /** The last line: what went wrong. Empty when nothing did. */
  readonly verdict: string;
}

/** What a diagram leads up to; a violation of the oracles fits. */
export interface DiagramViolation extends DiagramFocus {
  /** I-STALE and so on. */
  readonly invariant: string;
  /** What broke, in a few words. */
  readonly what: string;
  /** Who was found breaking it; -1 or absent: nobody in particular. */
  readonly actor?: number | undefined;
  /** All who have to do with it: their columns come first. */
  readonly actors?: readonly number[] | undefined;
  /** 0 or absent: it was found later, by an audit. */
  readonly time?: number | undefined;
  /** Locks that `actor` held, in the order taken: their classes (locks/classes.ts). */
  readonly held?: readonly { readonly lockClass: number }[] | undefined;
}

/** A step that is no event: what it does, and a note. */
export interface DiagramMark {
  readonly time: number;
  readonly actor: number;
  /** A line above it, of the function that it is done in; empty or absent: none. */
  readonly inside?: string | undefined;
  readonly text: string;
  readonly note: string;
}

export interface DiagramOptions {
  /** The page in question; the violation's by default. Without one, all but noise is shown. */
  readonly focus?: DiagramFocus | undefined;
  readonly violation?: DiagramViolation | undefined;
  /** Steps shown at most: the last ones. */
  readonly maxRows?: number | undefined;
  /** log2 of the pages of a huge page, so that events of a whole one count for each of its pages. */
  readonly thpOrder?: number | undefined;
  /** Actors shown at most, 1 to 4: those of the violation first. */
  readonly columns?: number | undefined;
  /** Steps that are no events and matter all the same. */
  readonly marks?: readonly DiagramMark[] | undefined;
  /** Columns of text at most. */
  readonly width?: number | undefined;
  /** One actor's column alone: all that it does, and between its steps how many the others did. */
  readonly projection?: Projection | undefined;
}

const COLUMNS_MAX = 4;
const ROWS_MAX = 32;
/** Of who broke the rule, where others fill the rest. */
const OWN_STEPS = 3;

const FAULTS: ReadonlySet<number> = new Set([EVENT.fault, EVENT.stage2_fault]);
/** What a fault does, told by events of its own. */
const FAULT_STEPS: ReadonlySet<number> = new Set([
  ...FAULTS,
  EVENT.anon_map,
  EVENT.wp_copy,
  EVENT.wp_reuse,
  EVENT.numa_hint_fault,
  EVENT.migrate,
  EVENT.migration_entry,
  EVENT.stage2_map,
  EVENT.stage2_retry,
  EVENT.page_pin,
]);

/** Work that KVM does inside a notifier's start callback stands below it, what mm does in the window beside it. */
const IN_CALLBACK: ReadonlySet<number> = new Set([EVENT.kvm_unmap, EVENT.stage2_unmap]);

/** Names that say by themselves who it is: CPUs, kernel threads, the hypervisor. */
const PLAIN = /^(cpu\d+$|el2|ksmd|khugepaged|kswapd|kcompactd|numa)/;

/** `cpu0 (vcpu0)` for tasks that run on a CPU of their own, the plain name for CPUs and kernel threads. */
function titleOf(actor: number, names: readonly string[]): string {
  const name = names[actor];
  if (name === undefined) return `cpu${actor}`;
  return PLAIN.test(name) ? name : `cpu${actor} (${name})`;
}

/** A step that was chosen, with its lines. */
interface Step {
  readonly index: number;
  readonly time: number;
  readonly actor: number;
  readonly lines: readonly DiagramLine[];
}

/** Turns chosen records into lines, following each actor's nesting. */
class Indenter {
  /** Open notifier windows by actor: whether each has a function's line above it. */
  readonly #open = new Map<number, boolean[]>();

  /** How deep a step of `actor` stands that is no event. */
  depth(actor: number): number {
    const open = this.#open.get(actor) ?? [];
    return open.length === 0 ? 0 : open.length - 1 + open.filter((titled) => titled).length;
  }

  lines(records: Int32Array, index: number): DiagramLine[] {
    const actor = recordActor(records, index);
    const type = recordType(records, index);
    const { text, note, nest } = phraseOf(records, index);
    let open = this.#open.get(actor);
    if (open === undefined) this.#open.set(actor, (open = []));
    const depth = open.length + open.filter((titled) => titled).length;
    if (nest > 0) {
      const title = MECHANISM_FUNCTIONS[mechanismName(records[index * RECORD_WORDS + RECORD_ARGS + 3] ?? 0)];
      open.push(title !== undefined);
      if (title === undefined) return [{ indent: depth, text, note }];
      return [
        { indent: depth, text: title, note: '' },
        { indent: depth + 1, text, note },
      ];
    }
    if (nest < 0) {
      const titled = open.pop();
      return [{ indent: titled === undefined ? 0 : depth - 1, text, note }];
    }
    if (open.length === 0) return [{ indent: 0, text, note }];
    return [{ indent: IN_CALLBACK.has(type) ? depth : depth - 1, text, note }];
  }
}

/** A fault's end that went well says nothing new after what the fault did. */
class Success {
  /** Type of the last step that mattered, by actor. */
  readonly #last = new Map<number, number>();

  after(records: Int32Array, index: number): boolean {
    const type = recordType(records, index);
    const actor = recordActor(records, index);
    const before = this.#last.get(actor);
    this.#last.set(actor, type);
    const well = records[index * RECORD_WORDS + RECORD_ARGS + 3] === 0;
    return well && FAULTS.has(type) && before !== undefined && FAULT_STEPS.has(before);
  }
}

/** The same words again from the same actor become one line with a count. */
function foldRepeats(steps: readonly Step[]): Step[] {
  const folded: Step[] = [];
  let times = 1;
  let base: Step | undefined;
  for (const step of steps) {
    const same =
      base !== undefined &&
      base.actor === step.actor &&
      base.lines.length === 1 &&
      step.lines.length === 1 &&
      base.lines[0]?.text === step.lines[0]?.text &&
      base.lines[0]?.note === step.lines[0]?.note;
    if (!same) {
      base = step;
      times = 1;
      folded.push(step);
      continue;
    }
    times++;
    const line = base?.lines[0] as DiagramLine;
    folded[folded.length - 1] = { ...step, lines: [{ ...line, text: `${line.text} (x${times})` }] };
  }
  return folded;
}

/** The actors whose columns fit: the violation's, then whoever acted last. */
function chooseActors(steps: readonly Step[], first: readonly number[], columns: number): Set<number> {
  const chosen = new Set<number>(first.slice(0, columns));
  for (let i = steps.length - 1; i >= 0 && chosen.size < columns; i--) chosen.add((steps[i] as Step).actor);
  return chosen;
}

/**
 * The last `max` steps. What `actor`, who broke the rule, did last stays although others have done so much since: it may be in the
 * middle of a long range.
 */
function lastOf(steps: readonly Step[], max: number, actor: number): readonly Step[] {
  const last = steps.slice(-max);
  if (last.some((step) => step.actor === actor)) return last;
  const own = steps.filter((step) => step.actor === actor).slice(-OWN_STEPS);
  return [...own, ...last.slice(own.length)];
}

/** Concurrent steps, of different actors at one time, share a row. */
function toRows(steps: readonly Step[]): DiagramRow[] {
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

function verdictOf(violation: DiagramViolation | undefined, names: readonly string[]): string {
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
  const { violation, thpOrder } = options;
  const relevance = new Relevance(records, end, options.focus ?? violation ?? {}, thpOrder);
  if (!relevance.anything || violation?.actor === undefined || violation.actor < 0) return relevance;
  return new Relevance(records, end, lastFocusOf(records, end, violation.actor, thpOrder), thpOrder);
}

/**
 * Chooses what matters: the events that touch the focused page, its frame and its guest page, the notifier windows
 * that cover it, the last `maxRows` of them up to the violation.
 * @param records records in merged order
 */
export function chooseRows(records: Int32Array, actorNames: readonly string[], options: DiagramOptions = {}): Diagram {
  const { violation, projection } = options;
  const total = Math.floor(records.length / RECORD_WORDS);
  let end = total;
  const last = violation?.time;
  if (last !== undefined && last > 0) while (end > 0 && recordTime(records, end - 1) > last) end--;
  if (end === 0) end = total;

  const relevance = relevanceOf(records, end, options);
  const indenter = new Indenter();
  const succeeds = new Success();
  const all: Step[] = [];
  const marks = (options.marks ?? [])
    .filter(({ actor }) => projection === undefined || actor === projection.actor)
    .toSorted((x, y) => x.time - y.time);
  let marked = 0;
  // a mark stands as deep as its actor is then, and before events of its time: they tell what came of the step
  const marksTo = (until: number): void => {
    for (let mark = marks[marked]; mark !== undefined && mark.time <= until; mark = marks[++marked]) {
      const { time, actor, inside = '', text, note } = mark;
      const indent = indenter.depth(actor);
      const step = { indent: inside === '' ? indent : indent + 1, text, note };
      const lines = inside === '' ? [step] : [{ indent, text: inside, note: '' }, step];
      all.push({ index: -1, time, actor, lines });
    }
  };
  for (let index = 0; index < end; index++) {
    const own = projection !== undefined && recordActor(records, index) === projection.actor;
    if (projection === undefined ? !relevance.matters(records, index) : !own || !isShown(recordType(records, index)))
      continue;
    if (succeeds.after(records, index)) continue;
    marksTo(recordTime(records, index));
    const lines = indenter.lines(records, index);
    all.push({ index, time: recordTime(records, index), actor: recordActor(records, index), lines });
  }
  marksTo(Infinity);
  const folded = foldRepeats(projection === undefined ? all : withOthers(all, projection, actorNames));
  const markers = marks.map(({ actor }) => actor);
  const named = [violation?.actor ?? -1, ...markers, ...(violation?.actors ?? [])];
  const involved = projection === undefined ? [...new Set(named)].filter((actor) => actor >= 0) : [projection.actor];
  const columns = Math.min(COLUMNS_MAX, Math.max(1, options.columns ?? COLUMNS_MAX));
  const chosen = chooseActors(folded, [...new Set(involved)], columns);
  const shown = folded.filter((step) => chosen.has(step.actor));
  const steps = lastOf(shown, options.maxRows ?? ROWS_MAX, violation?.actor ?? -1);

  const shownActors = [...new Set(steps.map((step) => step.actor))].toSorted((x, y) => x - y);
  const left = new Set(folded.filter((step) => !chosen.has(step.actor)).map((step) => step.actor));
  return {
    actors: shownActors.map((actor) => ({ actor, title: titleOf(actor, actorNames) })),
    rows: toRows(steps),
    earlier: shown.length - steps.length,
    otherActors: [...left].toSorted((x, y) => x - y).map((actor) => titleOf(actor, actorNames)),
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
