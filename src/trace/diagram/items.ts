/**
 * What a race diagram is made of before it is fitted to a page: events, steps that are none, and operations, in order of time, with their
 * lines. An operation's row stands where its first step is, its result where it ended; a step stands before the events of its time, which
 * tell what came of it.
 */
import { RECORD_ARGS, RECORD_WORDS, recordActor, recordTime, recordType } from '../../events/record.js';
import { EVENT } from '../../events/table.js';
import type { DiagramLine, DiagramMark, DiagramOperation, DiagramOptions } from './model.js';
import { type Relevance, isShown } from './focus.js';
import { tells } from './tells.js';
import { mechanismTitle, phraseOf } from '../text.js';

/** Something that is drawn. */
export interface Item {
  readonly time: number;
  readonly actor: number;
  readonly kind: 'event' | 'mark' | 'begin' | 'end';
  /** 0 must be drawn; what has the highest rank goes first where there is no room. */
  readonly rank: number;
  /** Number of the record; -1 for what is none. */
  readonly index: number;
  readonly lines: readonly DiagramLine[];
  /** An operation on other pages than those that the diagram is about. */
  readonly elsewhere?: boolean;
}

const FAULTS: ReadonlySet<number> = new Set([EVENT.fault, EVENT.stage2_fault]);
/** What a fault does, told by events of its own. */
const FAULT_STEPS: ReadonlySet<number> = new Set([
  ...FAULTS,
  EVENT.anon_map,
  EVENT.wp_copy,
  EVENT.wp_reuse,
  EVENT.numa_hint_fault,
  EVENT.swap_in,
  EVENT.file_map,
  EVENT.migrate,
  EVENT.migration_entry,
  EVENT.stage2_map,
  EVENT.stage2_retry,
  EVENT.page_pin,
]);

/** Work that KVM does inside a notifier's start callback stands below it, what mm does in the window beside it. */
const IN_CALLBACK: ReadonlySet<number> = new Set([EVENT.kvm_unmap, EVENT.stage2_unmap]);

/** A fault's end that went well says nothing new after what the fault did, or inside an operation that is drawn. */
class Success {
  /** Type of the last step that mattered, by actor. */
  readonly #last = new Map<number, number>();

  after(records: Int32Array, index: number, inOperation: boolean): boolean {
    const type = recordType(records, index);
    const actor = recordActor(records, index);
    const before = this.#last.get(actor);
    this.#last.set(actor, type);
    const well = records[index * RECORD_WORDS + RECORD_ARGS + 3] === 0;
    return well && FAULTS.has(type) && (inOperation || (before !== undefined && FAULT_STEPS.has(before)));
  }
}

/** How deep each actor stands: inside a drawn operation, inside notifier windows. */
class Indenter {
  /** Open notifier windows by actor: whether each has a function's line above it. */
  readonly #open = new Map<number, boolean[]>();
  readonly #operations = new Set<number>();

  enter(actor: number): void {
    this.#operations.add(actor);
  }

  leave(actor: number): void {
    this.#operations.delete(actor);
  }

  inOperation(actor: number): boolean {
    return this.#operations.has(actor);
  }

  /** How deep a step of `actor` stands that is no event. */
  depth(actor: number): number {
    const open = this.#open.get(actor) ?? [];
    return this.#base(actor) + (open.length === 0 ? 0 : open.length - 1 + open.filter((titled) => titled).length);
  }

  lines(records: Int32Array, index: number): DiagramLine[] {
    const actor = recordActor(records, index);
    const { text, note, nest } = phraseOf(records, index);
    let open = this.#open.get(actor);
    if (open === undefined) this.#open.set(actor, (open = []));
    const depth = this.#base(actor) + open.length + open.filter((titled) => titled).length;
    if (nest > 0) {
      const title = mechanismTitle(records[index * RECORD_WORDS + RECORD_ARGS + 3] ?? 0);
      open.push(title !== null);
      if (title === null) return [{ indent: depth, text, note }];
      return [
        { indent: depth, text: title, note: '' },
        { indent: depth + 1, text, note },
      ];
    }
    if (nest < 0) {
      const titled = open.pop();
      return [{ indent: titled === undefined ? this.#base(actor) : depth - 1, text, note }];
    }
    if (open.length === 0) return [{ indent: this.#base(actor), text, note }];
    return [{ indent: IN_CALLBACK.has(recordType(records, index)) ? depth : depth - 1, text, note }];
  }

  #base(actor: number): number {
    return this.#operations.has(actor) ? 1 : 0;
  }
}

/** Where something stands in the diagram's order: by time, then operations that begin, steps, events. */
interface Entry {
  readonly time: number;
  readonly at: 0 | 1 | 2;
  readonly index: number;
  readonly mark: DiagramMark | null;
}

const BEGINS = 0;
const STEPS = 1;
const EVENTS = 2;

/** The time of the actor's first step after `time`, or of its end. */
function nextStep(choices: ArrayLike<number>, actor: number, time: number): number {
  for (let step = time; step < choices.length; step++) if (choices[step] === actor) return step + 1;
  return Infinity;
}

const isBegin = (records: Int32Array, index: number): boolean =>
  recordType(records, index) === EVENT.litmus_call && records[index * RECORD_WORDS + RECORD_ARGS + 1] !== 0;

function entriesOf(records: Int32Array, end: number, options: DiagramOptions): Entry[] {
  const { choices } = options;
  const entries: Entry[] = [];
  for (let index = 0; index < end; index++) {
    const time = recordTime(records, index);
    const begins = isBegin(records, index) && choices !== undefined;
    const at = begins ? nextStep(choices, recordActor(records, index), time) : time;
    if (at !== Infinity) entries.push({ time: at, at: begins ? BEGINS : EVENTS, index, mark: null });
  }
  for (const mark of options.marks ?? []) entries.push({ time: mark.time, at: STEPS, index: -1, mark });
  return entries.toSorted((x, y) => x.time - y.time || x.at - y.at || x.index - y.index);
}

/**
 * Everything that matters, in order.
 * @param end records before this one
 */
export function itemsOf(records: Int32Array, end: number, relevance: Relevance, options: DiagramOptions): Item[] {
  const { projection, operations } = options;
  const indenter = new Indenter();
  const succeeds = new Success();
  const items: Item[] = [];
  const all = entriesOf(records, end, options);
  const isOf = (actor: number): boolean => projection === undefined || projection.actor === actor;
  for (const [position, { time, index, mark }] of all.entries()) {
    if (mark !== null) {
      if (isOf(mark.actor) && !isTold(records, all, position, mark, relevance)) items.push(markItem(mark, indenter));
      continue;
    }
    const actor = recordActor(records, index);
    if (!isOf(actor)) continue;
    const type = recordType(records, index);
    if (type === EVENT.litmus_call) {
      const item = operationItem(records, index, time, operations?.[actor], { indenter, relevance });
      if (item !== null) items.push(item);
      continue;
    }
    // of one-thread runs the look's own step is drawn, with what it found
    if (type === EVENT.pin_look && options.choices !== undefined) continue;
    if (projection === undefined ? !relevance.matters(records, index) : !isShown(type)) continue;
    if (succeeds.after(records, index, indenter.inOperation(actor))) continue;
    const lines = withNotes(indenter.lines(records, index), notesAt(records, index, options.marks));
    // in a long run what is new matters more than what is remarkable
    const rank = options.choices !== undefined && lines.some(({ note }) => note !== '') ? 1 : 2;
    items.push({ time, actor, kind: 'event', rank, index, lines });
  }
  return items;
}

function markItem(mark: DiagramMark, indenter: Indenter): Item {
  const { time, actor, inside = '', text, note, rank = 0 } = mark;
  const indent = indenter.depth(actor);
  const step = { indent: inside === '' ? indent : indent + 1, text, note };
  const lines = inside === '' ? [step] : [{ indent, text: inside, note: '' }, step];
  return { time, actor, kind: 'mark', rank, index: -1, lines };
}

function operationItem(
  records: Int32Array,
  index: number,
  time: number,
  operations: readonly DiagramOperation[] | undefined,
  { indenter, relevance }: { readonly indenter: Indenter; readonly relevance: Relevance },
): Item | null {
  const at = index * RECORD_WORDS + RECORD_ARGS;
  const operation = operations?.[records[at] ?? -1];
  const actor = recordActor(records, index);
  if (operation === undefined) return null;
  if (records[at + 1] !== 0) {
    indenter.enter(actor);
    const lines = [{ indent: 0, text: operation.text, note: '' }];
    const { pages = [] } = operation;
    const elsewhere = pages.length > 0 && !pages.some((page) => relevance.isAbout(page));
    return { time, actor, kind: 'begin', rank: 1, index, lines, elsewhere };
  }
  indenter.leave(actor);
  const result = operation.result(records[at + 2] ?? 0);
  return { time, actor, kind: 'end', rank: 1, index, lines: [{ indent: 0, text: result, note: '' }] };
}

/** Kinds of words that change behind the event that tells of it. */
const BEFORE: ReadonlySet<string> = new Set(['inProgress', 'activeCount']);

/** Whether an event near a store tells of it, with nothing of another actor between the two. */
function isTold(
  records: Int32Array,
  entries: readonly Entry[],
  position: number,
  { actor, tells: kind, time, note, rank = 0 }: DiagramMark,
  relevance: Relevance,
): boolean {
  if (kind === undefined) return false;
  // what a step is pointed at for stays, and the step that broke a rule, unless the event is the step's own
  const itsOwn = note !== '' || rank === 0;
  const look = (step: 1 | -1): boolean => {
    for (let at = position + step; at >= 0 && at < entries.length; at += step) {
      const entry = entries[at] as Entry;
      if (entry.mark !== null) {
        if (entry.mark.actor !== actor) return false;
        continue;
      }
      const shown = relevance.matters(records, entry.index);
      if (recordActor(records, entry.index) !== actor) {
        if (shown) return false;
        continue;
      }
      if (itsOwn && recordTime(records, entry.index) !== time) return false;
      if (shown && tells(records, entry.index, kind)) return true;
    }
    return false;
  };
  // a window's start is told before it is counted, all else when it is done
  return look(1) || (BEFORE.has(kind) && look(-1));
}

/** Notes of marks whose step the event itself tells. */
function notesAt(records: Int32Array, index: number, marks: readonly DiagramMark[] | undefined): string {
  const [time, actor] = [recordTime(records, index), recordActor(records, index)];
  return (marks ?? [])
    .filter((mark) => mark.note !== '' && mark.time === time && mark.actor === actor)
    .filter(({ tells: kind }) => kind !== undefined && tells(records, index, kind))
    .map(({ note }) => note)
    .join('; ');
}

function withNotes(lines: DiagramLine[], notes: string): DiagramLine[] {
  const last = lines.at(-1);
  if (notes === '' || last === undefined) return lines;
  return [...lines.slice(0, -1), { ...last, note: last.note === '' ? notes : `${last.note}; ${notes}` }];
}
