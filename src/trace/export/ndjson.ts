/**
 * NDJSON: one event a line, keys in a fixed order, so that one event sequence gives one byte sequence:
 *
 *     {"time":812,"actor":"numa-balancer","event":"stage2_unmap","vm":0,"gfn":18,"pfn":77,"pinned":true}
 *
 * Frame numbers, page numbers, flags and entries are plain JSON numbers, for `jq`; a `bool` is true or false; a mechanism
 * is its name; an errno is a negative number. Arguments that the event table does not name (`a`, `b`, ...) appear
 * only when they are not 0. `time` is Lamport time, or the step number of a one-thread run.
 */
import { closeSync, openSync, writeSync } from 'node:fs';
import { RECORD_ARGS, RECORD_TIME_HIGH, RECORD_TYPE, RECORD_WORDS, TWO_32 } from '../../events/record.js';
import { EVENT_TYPES, argumentValue, eventName } from '../event.js';
import type { EventBatch } from '../batch.js';

/** How a word becomes JSON text. */
const PLAIN = 0;
const UNSIGNED = 1;
const BOOLEAN = 2;
const NAMED = 3;

interface ArgumentFormat {
  /** `,"gfn":` */
  readonly key: string;
  readonly form: number;
  readonly spare: boolean;
  readonly kind: string;
}

const FORMS: Readonly<Record<string, number>> = { bool: BOOLEAN, mech: NAMED, entry: UNSIGNED, flags: UNSIGNED };

/** By type number: `,"event":"fault"` and its arguments. */
const FORMATS = Array.from({ length: 256 }, (_, type) => ({
  event: `,"event":"${eventName(type)}"`,
  args: (EVENT_TYPES[type]?.args ?? []).map((argument): ArgumentFormat => ({
    key: `,"${argument.name}":`,
    form: FORMS[argument.kind] ?? PLAIN,
    spare: argument.spare,
    kind: argument.kind,
  })),
}));

/** `,"actor":"vcpu0"` by actor number. */
const actorKeys = new WeakMap<readonly string[], string[]>();
function keysOf(actorNames: readonly string[]): string[] {
  let keys = actorKeys.get(actorNames);
  if (keys === undefined) {
    keys = Array.from({ length: 256 }, (_, n) => `,"actor":${JSON.stringify(actorNames[n] ?? `actor${n}`)}`);
    actorKeys.set(actorNames, keys);
  }
  return keys;
}

/**
 * Formats records, in the order they stand in.
 * @param count records, from record `first` on
 * @returns lines, each with its newline
 */
export function formatNdjson(records: Int32Array, count: number, actorNames: readonly string[], first = 0): string {
  const actors = keysOf(actorNames);
  let text = '';
  for (let i = first; i < first + count; i++) {
    const at = i * RECORD_WORDS;
    const head = records[at + RECORD_TYPE] as number;
    const high = records[at + RECORD_TIME_HIGH] as number;
    const low = (records[at] as number) >>> 0;
    const format = FORMATS[head & 255] as (typeof FORMATS)[number];
    text += '{"time":' + (high === 0 ? low : high * TWO_32 + low) + (actors[head >>> 8] as string) + format.event;
    const args = format.args;
    for (let n = 0; n < args.length; n++) {
      const word = records[at + RECORD_ARGS + n] as number;
      const { key, form, spare, kind } = args[n] as ArgumentFormat;
      if (form === PLAIN) {
        if (!spare || word !== 0) text += key + word;
      } else if (form === UNSIGNED) text += key + (word >>> 0);
      else if (form === BOOLEAN) text += key + (word !== 0);
      else text += key + '"' + argumentValue(kind, word) + '"';
    }
    text += '}\n';
  }
  return text;
}

/** Records formatted and written at once. */
const CHUNK_RECORDS = 8192;

/**
 * Writes events to a file as they come. Writing is synchronous: a slow disk holds up the reader, and through
 * lossless rings the simulation, rather than filling memory. A failure (disk full) is kept, ends the writing and is
 * thrown by {@link NdjsonFile.close}, so that it cannot get lost in a subscriber.
 */
export class NdjsonFile {
  readonly path: string;
  /** Events written so far. */
  events = 0;
  /** The first failure. */
  error: Error | undefined;
  #fd: number;

  /** Creates the file, or empties it. Throws what the file system says. */
  constructor(path: string) {
    this.path = path;
    this.#fd = openSync(path, 'w');
  }

  /** Appends a batch. */
  write(batch: EventBatch): void {
    this.writeRecords(batch.records, batch.first, batch.length, batch.actorNames);
  }

  /** Appends `count` records from record `first` on. */
  writeRecords(records: Int32Array, first: number, count: number, actorNames: readonly string[]): void {
    for (let done = 0; done < count && this.error === undefined; done += CHUNK_RECORDS) {
      const size = Math.min(CHUNK_RECORDS, count - done);
      try {
        this.#writeAll(formatNdjson(records, size, actorNames, first + done));
        this.events += size;
      } catch (error) {
        this.error = error instanceof Error ? error : new Error(String(error));
      }
    }
  }

  /** Closes the file. Throws the first failure, if there was one. */
  close(): void {
    if (this.#fd >= 0) closeSync(this.#fd);
    this.#fd = -1;
    if (this.error !== undefined) throw this.error;
  }

  /** All of it: one write to a pipe or a full disk may take less. */
  #writeAll(text: string): void {
    const bytes = Buffer.from(text, 'utf8');
    for (let done = 0; done < bytes.length;) done += writeSync(this.#fd, bytes, done);
  }
}
