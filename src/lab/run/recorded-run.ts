/**
 * The events of a recorded run, out of the NDJSON file that `--events` wrote, as a simulation gives them:
 *
 *     const run = await fromFile('events.ndjson');
 *     run.events$.pipe(ofType('stage2_unmap')).subscribe((e) => console.log(run.actorNames[e.actor], e.gfn, e.pinned));
 *
 * The file may be larger than memory: a chunk of it is held at a time. It is read once when it is opened, which finds what is
 * wrong with it and whose events it has, and once for each subscription.
 */
import { type FileHandle, open } from 'node:fs/promises';
import { Observable } from 'rxjs';
import { RECORD_WORDS } from '../../events/record.js';
import { EventBatch } from '../../trace/batch.js';
import { encodeEvent } from '../../trace/event.js';
import { EVENT_LINE, type EventLine } from '../../trace/export/ndjson-schema.js';
import { fileProblem } from '../input/file-problem.js';
import { InputError } from '../../errors/errors.js';
import { describeIssue } from '../scenario/issue.js';

const CHUNK_BYTES = 1 << 16;
/** The longest line that an event can be is a quarter of this. */
const LINE_MAX = 4096;
/** More than any run has, and what a record has room for. */
const ACTORS_MAX = 256;

export class RecordedRun {
  readonly path: string;
  /** Names by actor number, numbered as they come up in the file. */
  readonly actorNames: readonly string[];
  /** Events in the file. */
  readonly eventCount: number;
  /**
   * The file's events, in its order, from the first one for each subscriber; completes at the end. A batch is valid until the
   * subscriber returns. `sequence` counts the file's events. Unsubscribing closes the file.
   */
  readonly events$: Observable<EventBatch>;
  /** The same: a file is in merged order. */
  readonly merged$: Observable<EventBatch>;

  constructor(path: string, actorNames: readonly string[], eventCount: number) {
    this.path = path;
    this.actorNames = actorNames;
    this.eventCount = eventCount;
    const numbers = new Map(actorNames.map((name, number) => [name, number]));
    this.events$ = new Observable<EventBatch>((subscriber) => {
      // a file that has changed since has actors that nobody knows
      const numberOf = (name: string, line: number): number => {
        const number = numbers.get(name);
        if (number === undefined)
          throw new InputError(`${path}:${line}: no actor ${JSON.stringify(name)} was there before`);
        return number;
      };
      const deliver = (records: Int32Array, count: number): boolean => {
        if (count > 0) subscriber.next(new EventBatch(records, 0, count, actorNames));
        return !subscriber.closed;
      };
      readEvents(path, numberOf, deliver, () => !subscriber.closed).then(
        () => subscriber.complete(),
        (error: unknown) => subscriber.error(error),
      );
    });
    this.merged$ = this.events$;
  }
}

/**
 * Opens a recorded run.
 * @param path an NDJSON file of events, as `--events FILE.ndjson` writes it
 * @throws InputError with the line's number for the first line that is no event, and for a file that cannot be read
 */
export async function fromFile(path: string): Promise<RecordedRun> {
  const numbers = new Map<string, number>();
  let events = 0;
  const numberOf = (name: string, line: number): number => {
    let number = numbers.get(name);
    if (number === undefined) {
      if (numbers.size === ACTORS_MAX) throw new InputError(`${path}:${line}: more than ${ACTORS_MAX} actors`);
      number = numbers.size;
      numbers.set(name, number);
    }
    return number;
  };
  await readEvents(
    path,
    numberOf,
    (_, count) => {
      events += count;
      return true;
    },
    () => true,
  );
  return new RecordedRun(path, [...numbers.keys()], events);
}

/**
 * Reads a file chunk by chunk.
 * @param deliver is given the records of a chunk, valid until it returns; false ends the reading
 * @param wanted asked before each chunk is read
 */
async function readEvents(
  path: string,
  numberOf: (name: string, line: number) => number,
  deliver: (records: Int32Array, count: number) => boolean,
  wanted: () => boolean,
): Promise<void> {
  const file = await opened(path);
  try {
    const reader = new LineReader(path, numberOf);
    const chunk = Buffer.alloc(CHUNK_BYTES);
    while (wanted()) {
      const { bytesRead } = await read(file, chunk, path);
      if (!wanted()) return;
      if (bytesRead > 0) reader.take(chunk.subarray(0, bytesRead));
      else reader.end();
      if (!deliver(reader.records, reader.count) || bytesRead === 0) return;
      reader.count = 0;
    }
  } finally {
    await file.close();
  }
}

async function opened(path: string): Promise<FileHandle> {
  try {
    return await open(path, 'r');
  } catch (error) {
    throw new InputError(`${path}: ${fileProblem(error)}`);
  }
}

async function read(file: FileHandle, chunk: Buffer, path: string): Promise<{ bytesRead: number }> {
  try {
    return await file.read(chunk, 0, chunk.length, null);
  } catch (error) {
    throw new InputError(`${path}: ${fileProblem(error)}`);
  }
}

/** Cuts chunks into lines, and lines into records. */
class LineReader {
  /** The records of the chunk; `count` of them. */
  records = new Int32Array(1024 * RECORD_WORDS);
  count = 0;
  /** What a chunk ended in the middle of. */
  #rest = Buffer.alloc(0);
  #line = 0;
  #events = 0;
  readonly #path: string;
  readonly #numberOf: (name: string, line: number) => number;

  constructor(path: string, numberOf: (name: string, line: number) => number) {
    this.#path = path;
    this.#numberOf = numberOf;
  }

  take(chunk: Buffer): void {
    const bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    let from = 0;
    for (let end = bytes.indexOf(10); end >= 0; end = bytes.indexOf(10, from)) {
      this.#lineOf(bytes.subarray(from, end));
      from = end + 1;
    }
    if (bytes.length - from > LINE_MAX) this.#lineOf(bytes.subarray(from));
    // the chunk's memory is used again
    this.#rest = Buffer.from(bytes.subarray(from));
  }

  end(): void {
    if (this.#rest.length === 0) return;
    throw new InputError(`${this.#path}:${this.#line + 1}: the last line does not end: the file is cut short`);
  }

  #lineOf(bytes: Buffer): void {
    this.#line++;
    const where = `${this.#path}:${this.#line}`;
    if (bytes.length > LINE_MAX) throw new InputError(`${where}: expected an event, got more than ${LINE_MAX} bytes`);
    let value: unknown;
    try {
      value = JSON.parse(bytes.toString('utf8'));
    } catch {
      throw new InputError(`${where}: expected a JSON object, one event a line`);
    }
    const parsed = EVENT_LINE.safeParse(value);
    if (!parsed.success) {
      const issue = parsed.error.issues[0];
      throw new InputError(`${where}: ${issue === undefined ? 'no event' : describeIssue(issue, value)}`);
    }
    // what the schema of the table lets through
    const line = parsed.data as unknown as EventLine;
    if ((this.count + 1) * RECORD_WORDS > this.records.length) {
      const grown = new Int32Array(this.records.length * 2);
      grown.set(this.records);
      this.records = grown;
    }
    const actor = this.#numberOf(line.actor, this.#line);
    encodeEvent(this.records, this.count, line.event, actor, line.time, line, this.#events++ | 0);
    this.count++;
  }
}
