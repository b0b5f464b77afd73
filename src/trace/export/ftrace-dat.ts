/**
 * trace.dat, version 6: what `trace-cmd report` and KernelShark open (trace-cmd.dat.v6(5)). The CPU lanes are the simulated CPUs
 * and daemons, one for each actor; the time is Lamport time, a microsecond a tick, since the tools want a clock.
 *
 *   magic "tracing" "6"  endian, long size, page size
 *   header_page, header_event            the ring buffer's own fields
 *   ftrace events (none), event systems  one system, `pinfall`: a format for each event type of the table
 *   kallsyms, printk (none), saved_cmdlines (pid comm)
 *   CPUs, options (none), "flyrecord", offset and size of each CPU's data
 *   each CPU's pages of 4 KiB: time, bytes used, then records of (delta << 5 | words, payload)
 *
 * Events come in merged order, so each CPU's pages are collected in a file of its own until the end: a long run needs no memory.
 */
import { closeSync, openSync, readSync, rmSync, writeSync } from 'node:fs';
import { MECHANISMS } from '../../machine/mechanisms.js';
import { RECORD_ARGS, RECORD_TIME_HIGH, RECORD_TYPE, RECORD_WORDS, TWO_32 } from '../../events/record.js';
import { EVENT_TYPES, type EventTypeInfo } from '../event.js';
import type { EventBatch } from '../batch.js';
import type { EventFile } from './sink.js';

const PAGE_BYTES = 4096;
const PAGE_HEAD = 16;
/** u16 type, u8 flags, u8 preempt_count, i32 pid, four i32 arguments. */
const PAYLOAD_WORDS = 6;
const RECORD_BYTES = 4 + 4 * PAYLOAD_WORDS;
/** Type numbers below belong to the kernel's own events. */
const FIRST_ID = 2000;
const NANOSECONDS = 1000;
/** A time delta has 27 bits; longer ones are a record of their own, with 59. */
const DELTA_MAX = 2 ** 27;
const TIME_EXTEND = 30;

const COMMON_FIELDS = [
  ['unsigned short common_type', 0, 2, 0],
  ['unsigned char common_flags', 2, 1, 0],
  ['unsigned char common_preempt_count', 3, 1, 0],
  ['int common_pid', 4, 4, 1],
] as const;

const fieldLine = (declaration: string, offset: number, size: number, signed: number): string =>
  `\tfield:${declaration};\toffset:${offset};\tsize:${size};\tsigned:${signed};\n`;

/** Kinds that read better in hexadecimal. */
const HEXADECIMAL: ReadonlySet<string> = new Set(['pfn', 'vpn', 'gfn', 'lock', 'entry', 'flags']);

/** The format file of an event type, as events/<system>/<event>/format has it. */
function formatOf({ name, args }: EventTypeInfo, type: number): string {
  const fields = args.map(({ name: field }, n) => fieldLine(`int ${field}`, 8 + 4 * n, 4, 1));
  const shown = args.filter(({ spare }) => !spare);
  const words = shown.map(({ name: field, kind }) => {
    if (kind === 'mech') return `${field}=%s`;
    return HEXADECIMAL.has(kind) ? `${field}=0x%x` : `${field}=%d`;
  });
  const values = shown.map(({ name: field, kind }) => {
    if (kind !== 'mech') return `REC->${field}`;
    const names = MECHANISMS.map((mechanism, n) => `{ ${n}, "${mechanism}" }`);
    return `__print_symbolic(REC->${field}, ${names.join(', ')})`;
  });
  return (
    `name: ${name}\nID: ${FIRST_ID + type}\nformat:\n` +
    COMMON_FIELDS.map(([name, offset, size, signed]) => fieldLine(name, offset, size, signed)).join('') +
    `\n${fields.join('')}\nprint fmt: "${words.join(' ')}"${values.length === 0 ? '' : `, ${values.join(', ')}`}\n`
  );
}

const HEADER_PAGE =
  '\tfield: u64 timestamp;\toffset:0;\tsize:8;\tsigned:0;\n' +
  '\tfield: local_t commit;\toffset:8;\tsize:8;\tsigned:1;\n' +
  '\tfield: int overwrite;\toffset:8;\tsize:1;\tsigned:1;\n' +
  `\tfield: char data;\toffset:16;\tsize:${PAGE_BYTES - PAGE_HEAD};\tsigned:0;\n`;

const HEADER_EVENT =
  '# compressed entry header\n\ttype_len    :    5 bits\n\ttime_delta  :   27 bits\n\tarray       :   32 bits\n\n' +
  '\tpadding     : type == 29\n\ttime_extend : type == 30\n\tdata max type_len  == 28\n';

/** Bytes of the head, put together piece by piece. */
class Pieces {
  readonly #parts: Buffer[] = [];

  bytes(...values: number[]): this {
    this.#parts.push(Buffer.from(values));
    return this;
  }

  text(text: string): this {
    this.#parts.push(Buffer.from(`${text}\0`, 'latin1'));
    return this;
  }

  u32(value: number): this {
    const part = Buffer.alloc(4);
    part.writeUInt32LE(value);
    this.#parts.push(part);
    return this;
  }

  u64(value: number): this {
    const part = Buffer.alloc(8);
    part.writeBigUInt64LE(BigInt(value));
    this.#parts.push(part);
    return this;
  }

  /** A length of 8 bytes, and the text without a terminator. */
  sized(text: string): this {
    const part = Buffer.from(text, 'utf8');
    this.u64(part.length);
    this.#parts.push(part);
    return this;
  }

  join(): Buffer {
    return Buffer.concat(this.#parts);
  }
}

/** All before the table of CPUs. */
function head(actorNames: readonly string[]): Buffer {
  const types = EVENT_TYPES.flatMap((info, type) => (info === undefined ? [] : [formatOf(info, type)]));
  const pieces = new Pieces()
    .bytes(0x17, 0x08, 0x44)
    .bytes(...Buffer.from('tracing', 'latin1'))
    .text('6')
    .bytes(0, 8)
    .u32(PAGE_BYTES)
    .text('header_page')
    .sized(HEADER_PAGE)
    .text('header_event')
    .sized(HEADER_EVENT)
    .u32(0)
    .u32(1)
    .text('pinfall')
    .u32(types.length);
  for (const type of types) pieces.sized(type);
  return pieces
    .u32(0)
    .u32(0)
    .sized(actorNames.map((name, actor) => `${actor + 1} ${name}\n`).join(''))
    .u32(actorNames.length)
    .bytes(...Buffer.from('options  \0', 'latin1'))
    .bytes(0, 0)
    .text('flyrecord')
    .join();
}

/** One CPU's pages: the one that is being filled, and the file of those that are full. */
class Lane {
  readonly path: string;
  readonly #page = Buffer.alloc(PAGE_BYTES);
  readonly #fd: number;
  pages = 0;
  #used = 0;
  #time = 0;

  constructor(path: string) {
    this.path = path;
    this.#fd = openSync(path, 'w+');
  }

  add(type: number, pid: number, time: number, records: Int32Array, args: number): void {
    let delta = this.#used === 0 ? 0 : Math.max(0, time - this.#time);
    const extended = delta >= DELTA_MAX;
    if (this.#used > 0 && this.#used + RECORD_BYTES + (extended ? 8 : 0) > PAGE_BYTES - PAGE_HEAD) {
      this.flush();
      delta = 0;
    }
    const page = this.#page;
    if (this.#used === 0) {
      page.writeBigUInt64LE(BigInt(time), 0);
      this.#time = time;
    } else if (delta >= DELTA_MAX) {
      page.writeUInt32LE((((delta % DELTA_MAX) << 5) | TIME_EXTEND) >>> 0, PAGE_HEAD + this.#used);
      page.writeUInt32LE(Math.floor(delta / DELTA_MAX), PAGE_HEAD + this.#used + 4);
      this.#used += 8;
      delta = 0;
    }
    let at = PAGE_HEAD + this.#used;
    at = page.writeUInt32LE(((delta << 5) | PAYLOAD_WORDS) >>> 0, at);
    at = page.writeUInt16LE(FIRST_ID + type, at);
    at = page.writeUInt16LE(0, at);
    at = page.writeInt32LE(pid, at);
    for (let n = 0; n < 4; n++) at = page.writeInt32LE(records[args + n] as number, at);
    this.#used += RECORD_BYTES;
    // merged order may be given up for a worker that stood still: time does not go back within a lane
    this.#time = Math.max(this.#time, time);
  }

  /** The page goes to the file. */
  flush(): void {
    if (this.#used === 0) return;
    this.#page.writeBigUInt64LE(BigInt(this.#used), 8);
    this.#page.fill(0, PAGE_HEAD + this.#used);
    writeAll(this.#fd, this.#page);
    this.pages++;
    this.#used = 0;
  }

  /** Appends all pages to `fd`. */
  copyTo(fd: number): void {
    const chunk = Buffer.alloc(64 * PAGE_BYTES);
    for (let at = 0; at < this.pages * PAGE_BYTES;) {
      const read = readSync(this.#fd, chunk, 0, Math.min(chunk.length, this.pages * PAGE_BYTES - at), at);
      if (read <= 0) throw new Error(`${this.path}: ends early`);
      writeAll(fd, chunk.subarray(0, read));
      at += read;
    }
  }

  remove(): void {
    closeSync(this.#fd);
    rmSync(this.path, { force: true });
  }
}

function writeAll(fd: number, bytes: Buffer): void {
  for (let done = 0; done < bytes.length;) done += writeSync(fd, bytes, done);
}

/** Writes events as they come; the file is there when it is closed. */
export class FtraceFile implements EventFile {
  readonly path: string;
  events = 0;
  error: Error | undefined;
  readonly #fd: number;
  readonly #actorNames: readonly string[];
  readonly #lanes: Lane[] = [];

  /** Creates the file, or empties it. Throws what the file system says. */
  constructor(path: string, actorNames: readonly string[]) {
    this.path = path;
    this.#actorNames = actorNames;
    this.#fd = openSync(path, 'w');
    for (let cpu = 0; cpu < actorNames.length; cpu++) this.#lanes.push(new Lane(`${path}.cpu${cpu}.tmp`));
  }

  write({ records, first, length }: EventBatch): void {
    this.writeRecords(records, first, length);
  }

  /** Appends `count` records from record `first` on, in the order they stand in. */
  writeRecords(records: Int32Array, first: number, count: number): void {
    if (this.error !== undefined) return;
    try {
      for (let i = first; i < first + count; i++) {
        const at = i * RECORD_WORDS;
        const kind = records[at + RECORD_TYPE] as number;
        const actor = kind >>> 8;
        const time = (records[at + RECORD_TIME_HIGH] as number) * TWO_32 + ((records[at] as number) >>> 0);
        this.#lanes[actor]?.add(kind & 255, actor + 1, time * NANOSECONDS, records, at + RECORD_ARGS);
      }
      this.events += count;
    } catch (error) {
      this.error = error instanceof Error ? error : new Error(String(error));
    }
  }

  /** Puts the lanes together. Throws the first failure, if there was one. */
  close(): void {
    try {
      if (this.error === undefined) this.#join();
    } finally {
      for (const lane of this.#lanes.splice(0)) lane.remove();
      closeSync(this.#fd);
    }
    if (this.error !== undefined) throw this.error;
  }

  #join(): void {
    const lanes = this.#lanes;
    for (const lane of lanes) lane.flush();
    const start = head(this.#actorNames);
    const table = new Pieces();
    const dataAt = Math.ceil((start.length + 16 * lanes.length) / PAGE_BYTES) * PAGE_BYTES;
    let at = dataAt;
    for (const { pages } of lanes) {
      table.u64(at).u64(pages * PAGE_BYTES);
      at += pages * PAGE_BYTES;
    }
    const rows = table.join();
    writeAll(this.#fd, start);
    writeAll(this.#fd, rows);
    writeAll(this.#fd, Buffer.alloc(dataAt - start.length - rows.length));
    for (const lane of lanes) lane.copyTo(this.#fd);
  }
}
