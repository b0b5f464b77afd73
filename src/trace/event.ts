/**
 * Events as values: the union of all event types, derived from the one table, and decoding from records. A type's
 * arguments have the table's names; a `bool` is a boolean, a `mech` the mechanism's name, everything else a number.
 */
import { EVENT, EVENT_TABLE, type EventName } from '../events/table.js';
import { putRecord, recordActor, recordArg, recordTime, recordType } from '../events/record.js';
import { MECHANISMS, type MechanismName, mechanismName } from '../machine/mechanisms.js';

type Row = (typeof EVENT_TABLE)[number];
type Value<Kind extends string> = Kind extends 'bool' ? boolean : Kind extends 'mech' ? MechanismName : number;
type Arguments<R extends Row> = R extends readonly [string, ...infer A extends readonly string[]] ? A[number] : never;
type NamedArguments<A extends string> = {
  readonly [S in A as S extends `${infer Name}:${string}` ? Name : never]: S extends `${string}:${infer Kind}`
    ? Value<Kind>
    : never;
};
type EventOf<R extends Row> = R extends Row
  ? { readonly type: R[0]; readonly time: number; readonly actor: number } & NamedArguments<Arguments<R>>
  : never;

/** Any event; `type` narrows it to its arguments. `time` is Lamport time, or the step number of a one-thread run. */
export type PinfallEvent = EventOf<Row>;
/** The event of that type. */
export type PinfallEventOf<Name extends EventName> = Extract<PinfallEvent, { readonly type: Name }>;

interface ArgumentInfo {
  readonly name: string;
  readonly kind: string;
  /** The table gives it no name of its own (`a`, `b`, ...): exporters leave it out while it is 0. */
  readonly spare: boolean;
}

export interface EventTypeInfo {
  readonly name: EventName;
  readonly args: readonly ArgumentInfo[];
}

/** By type number; index 0 is no event. */
export const EVENT_TYPES: readonly (EventTypeInfo | undefined)[] = [
  undefined,
  ...EVENT_TABLE.map(([name, ...args]): EventTypeInfo => ({
    name,
    args: args.map((text: string): ArgumentInfo => {
      const [argument = '', kind = ''] = text.split(':');
      return { name: argument, kind, spare: argument.length === 1 };
    }),
  })),
];

/** The type's name; `event_<n>` for a number that is not in the table. */
export const eventName = (type: number): string => EVENT_TYPES[type]?.name ?? `event_${type}`;

/** A mechanism's name; `mech_<n>` for a number that has none. */

/** An argument as a value of its kind. Entries, locks, flags and frame numbers are unsigned. */
export function argumentValue(kind: string, word: number): number | boolean | string {
  switch (kind) {
    case 'bool':
      return word !== 0;
    case 'mech':
      return mechanismName(word);
    case 'entry':
    case 'flags':
      return word >>> 0;
    default:
      return word;
  }
}

/** Record `index` as an event, or undefined where the record's type is not in the table. */
export function decodeEvent(records: Int32Array, index: number): PinfallEvent | undefined {
  const info = EVENT_TYPES[recordType(records, index)];
  if (info === undefined) return undefined;
  const event: Record<string, unknown> = {
    type: info.name,
    time: recordTime(records, index),
    actor: recordActor(records, index),
  };
  for (let n = 0; n < info.args.length; n++) {
    const argument = info.args[n] as ArgumentInfo;
    event[argument.name] = argumentValue(argument.kind, recordArg(records, index, n));
  }
  // built from the row that the union is derived from
  return event as unknown as PinfallEvent;
}

/** The word of an argument's value: what {@link argumentValue} makes of it is the value again. */
function argumentWord(value: unknown): number {
  if (typeof value === 'number') return value | 0;
  if (typeof value === 'boolean') return value ? 1 : 0;
  if (typeof value !== 'string') return 0;
  const mechanism = (MECHANISMS as readonly string[]).indexOf(value);
  return mechanism >= 0 ? mechanism : Number(/^mech_(-?\d+)$/.exec(value)?.[1] ?? 0) | 0;
}

/**
 * Stores an event as record `index`: the other way round of {@link decodeEvent}.
 * @param event arguments by name; those that are not there are 0
 */
export function encodeEvent(
  records: Int32Array,
  index: number,
  type: EventName,
  actor: number,
  time: number,
  event: Readonly<Record<string, unknown>>,
  sequence = 0,
): void {
  const number = EVENT[type];
  const args = EVENT_TYPES[number]?.args ?? [];
  const word = (n: number): number => argumentWord(event[args[n]?.name ?? '']);
  putRecord(records, index, number, actor, time, word(0), word(1), word(2), word(3), sequence);
}
