/**
 * `inRange`: the events of some pages, frames or times. Ranges are half-open, `[from, to)`. An event whose own pages or
 * frames are a stretch is in the range when the two overlap.
 */
import { Observable } from 'rxjs';
import { RECORD_ARGS, RECORD_TYPE, RECORD_WORDS, recordTime } from '../events/record.js';
import type { EVENT_TABLE } from '../events/table.js';
import { EventBatch } from './batch.js';
import { EVENT_TYPES, type PinfallEvent, encodeEvent } from './event.js';

/** From the first, up to and without the second. */
export type Interval = readonly [from: number, to: number];

/** Guest pages, of one VM or of all. */
export interface GuestRange {
  readonly vm?: number;
  readonly gfn: Interval;
}

/** Pages of a process, or of all. */
export interface ProcessRange {
  readonly mm?: number;
  readonly vpn: Interval;
}

/** Page frames, whatever they are to an event; events with an order name all frames of their folio. */
export interface FrameRange {
  readonly pfn: Interval;
}

/** Lamport time, or step numbers of a one-thread run. `to` may be Infinity. */
export interface TimeRange {
  readonly time: Interval;
}

export type EventRange = GuestRange | ProcessRange | FrameRange | TimeRange;

type Row = (typeof EVENT_TABLE)[number];
type Naming<Kind extends string, R extends Row = Row> = R extends readonly [infer Name, ...infer Args]
  ? Extract<Args[number], `${string}:${Kind}`> extends never
    ? never
    : Name
  : never;
/** `guest` says whose pages these have. */
type EitherSpace = 'access' | 'tlb_flush';

/** What passes a range: batches stay batches, of single events those types that name such pages. */
export type Ranged<T, Name> = T extends EventBatch ? T : Extract<T, { readonly type: Name }>;
export type NamesGuestPages = Naming<'gfn'> | EitherSpace;
export type NamesProcessPages = Naming<'vpn'> | EitherSpace;
export type NamesFrames = Naming<'pfn'>;

type Source = EventBatch | PinfallEvent;

/**
 * The events in a range: of batches (as batches of their own memory), or of single events, whose types it narrows to those that
 * name such pages.
 * @throws RangeError for a range that is none
 */
export function inRange(
  range: GuestRange,
): <T extends Source>(source: Observable<T>) => Observable<Ranged<T, NamesGuestPages>>;
export function inRange(
  range: ProcessRange,
): <T extends Source>(source: Observable<T>) => Observable<Ranged<T, NamesProcessPages>>;
export function inRange(
  range: FrameRange,
): <T extends Source>(source: Observable<T>) => Observable<Ranged<T, NamesFrames>>;
export function inRange(range: TimeRange): <T extends Source>(source: Observable<T>) => Observable<T>;
export function inRange(range: EventRange): (source: Observable<Source>) => Observable<Source> {
  const hit = matcher(range);
  return (source) =>
    new Observable((subscriber) => {
      const record = new Int32Array(RECORD_WORDS);
      return source.subscribe({
        next(value) {
          if (value instanceof EventBatch) {
            const kept = value.select((i) => hit(value.records, value.first + i));
            if (kept !== undefined) subscriber.next(kept);
            return;
          }
          encodeEvent(record, 0, value.type, value.actor, value.time, { ...value });
          if (hit(record, 0)) subscriber.next(value);
        },
        error: (error: unknown) => subscriber.error(error),
        complete: () => subscriber.complete(),
      });
    });
}

type Matcher = (records: Int32Array, index: number) => boolean;

function matcher(range: EventRange): Matcher {
  const given: Readonly<Record<string, unknown>> = { ...range };
  const keys = Object.keys(given).filter((key) => given[key] !== undefined);
  const [kind, ...others] = keys.filter((key) => ['gfn', 'vpn', 'pfn', 'time'].includes(key));
  if (kind === undefined || others.length > 0) {
    throw new RangeError(`inRange: expected one of gfn, vpn, pfn and time, got ${keys.join(', ') || 'nothing'}`);
  }
  const space = { gfn: 'vm', vpn: 'mm' }[kind];
  const stray = keys.find((key) => key !== kind && key !== space);
  if (stray !== undefined) throw new RangeError(`inRange: ${stray} does not go with ${kind}`);
  const [from, to] = bounds(kind, given[kind]);
  if (kind === 'time') {
    return (records, index) => {
      const time = recordTime(records, index);
      return time >= from && time < to;
    };
  }
  if (space === undefined) return frames(from, to);
  const wanted = given[space] ?? -1;
  if (given[space] !== undefined && !(Number.isSafeInteger(wanted) && (wanted as number) >= 0)) {
    throw new RangeError(`inRange: ${space}: expected a whole number from 0 on, got ${String(wanted)}`);
  }
  return pages(space === 'vm', wanted as number, from, to);
}

const isBound = (bound: unknown): bound is number => Number.isSafeInteger(bound) && (bound as number) >= 0;

function bounds(kind: string, value: unknown): Interval {
  const [from, to] = Array.isArray(value) && value.length === 2 ? (value as unknown[]) : [];
  if (!isBound(from) || !(isBound(to) || to === Infinity) || from >= to) {
    const got = Array.isArray(value) ? `[${value.join(', ')}]` : String(value);
    throw new RangeError(`inRange: ${kind}: expected [from, to) with whole numbers 0 <= from < to, got ${got}`);
  }
  return [from, to];
}

/** Where a type's arguments are, by position; -1 = it has none. */
interface PageLayout {
  readonly space: number;
  /** Where it says whether they are guest pages; -1 = they always are. */
  readonly guest: number;
  readonly page: number;
  readonly end: number;
}

function pageLayouts(guests: boolean): readonly (PageLayout | null)[] {
  return EVENT_TYPES.map((info): PageLayout | null => {
    if (info === undefined) return null;
    const at = (test: (name: string, kind: string) => boolean): number =>
      info.args.findIndex(({ name, kind }) => test(name, kind));
    const guest = at((name) => name === 'guest');
    const kind = guests && guest < 0 ? 'gfn' : 'vpn';
    const page = at((name, its) => its === kind && name !== 'end');
    const space = at((name, its) => (guest >= 0 ? name === 'space' : its === (guests ? 'vm' : 'mm')));
    return page < 0 ? null : { space, guest, page, end: at((name) => name === 'end') };
  });
}

function pages(guests: boolean, space: number, from: number, to: number): Matcher {
  const layouts = pageLayouts(guests);
  return (records, index) => {
    const at = index * RECORD_WORDS;
    const layout = layouts[(records[at + RECORD_TYPE] as number) & 255];
    if (layout === undefined || layout === null) return false;
    const args = at + RECORD_ARGS;
    if (layout.guest >= 0 && (records[args + layout.guest] !== 0) !== guests) return false;
    // who asks for one VM does not mean events that name none
    if (space >= 0 && (layout.space < 0 || records[args + layout.space] !== space)) return false;
    const first = records[args + layout.page] as number;
    const end = layout.end < 0 ? first + 1 : (records[args + layout.end] as number);
    return first < to && Math.max(end, first + 1) > from;
  };
}

const ORDER_MAX = 30;

function frames(from: number, to: number): Matcher {
  const layouts = EVENT_TYPES.map((info) => ({
    places: (info?.args ?? []).flatMap(({ kind }, n) => (kind === 'pfn' ? [n] : [])),
    order: (info?.args ?? []).findIndex(({ name }) => name === 'order'),
  }));
  return (records, index) => {
    const at = index * RECORD_WORDS;
    const layout = layouts[(records[at + RECORD_TYPE] as number) & 255];
    if (layout === undefined) return false;
    const order = layout.order < 0 ? 0 : (records[at + RECORD_ARGS + layout.order] as number);
    const count = 2 ** Math.min(Math.max(order, 0), ORDER_MAX);
    return layout.places.some((n) => {
      const pfn = records[at + RECORD_ARGS + n] as number;
      return pfn < to && pfn + count > from;
    });
  };
}
