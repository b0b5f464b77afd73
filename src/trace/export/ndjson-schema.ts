/**
 * What a line of an NDJSON file of events is (ndjson.ts), made from the one table of event types: a schema to check lines by, and
 * the same as JSON Schema for others (`pinfall list --json`, `event_schema`).
 */
import { z } from 'zod';
import { EVENT_TABLE, type EventName } from '../../events/table.js';
import { MECHANISMS } from '../../machine/mechanisms.js';
import { EVENT_TYPES, type EventTypeInfo } from '../event.js';

/** A line, read. Arguments by name; those without a name of their own are absent while they are 0. */
export interface EventLine {
  readonly time: number;
  readonly actor: string;
  readonly event: EventName;
  readonly [argument: string]: unknown;
}

function argumentSchema(kind: string): z.ZodType {
  switch (kind) {
    case 'bool':
      return z.boolean();
    case 'mech':
      return z.enum(MECHANISMS);
    case 'entry':
    case 'flags':
      return z.uint32();
    default:
      return z.int32();
  }
}

function lineSchema({ name, args }: EventTypeInfo) {
  return z.strictObject({
    time: z.int().min(0),
    actor: z.string().min(1).max(100),
    event: z.literal(name),
    ...Object.fromEntries(
      args.map((argument) => {
        const schema = argumentSchema(argument.kind);
        return [argument.name, argument.spare ? schema.optional() : schema];
      }),
    ),
  });
}

const LINES = EVENT_TYPES.flatMap((info) => (info === undefined ? [] : [lineSchema(info)]));

/** One line of the file, after JSON.parse. */
export const EVENT_LINE = z.discriminatedUnion('event', LINES as [(typeof LINES)[number], ...typeof LINES], {
  error: (issue) => (issue.code === 'invalid_union' ? 'no event type has that name' : undefined),
});

/** JSON Schema (draft 2020-12) of a line. */
export function eventJsonSchema(): object {
  return {
    ...z.toJSONSchema(EVENT_LINE),
    title: 'A line of an NDJSON file of pinfall events',
    description: `One of ${EVENT_TABLE.length} event types; time is Lamport time, or the step number of a one-thread run`,
  };
}
