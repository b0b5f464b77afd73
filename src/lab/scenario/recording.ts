/**
 * Recordings of real guests: a folder with `meta.json`, the page accesses of all vCPUs in global order and the page
 * contents at some marks. Checked in full before anything starts, and handed to the vCPUs as words in shared memory
 * (actors/recording-view.ts). Page contents are numbered anew from 1, so that any 32-bit ids will do.
 */
import { existsSync, readdirSync, realpathSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';
import { z } from 'zod';
import {
  RECORDING_FRAMES,
  RECORDING_HEADER,
  RECORDING_MAGIC,
  RECORDING_MARKS,
  RECORDING_MARKS_MAX,
  RECORDING_MARK_TABLE,
  RECORDING_RECORDS,
  RECORDING_SNAPSHOTS_AT,
  RECORDING_STREAMS,
  RECORDING_VCPUS,
  RECORD_GFN,
  RECORD_WRITE,
} from '../../../actors/recording-view.js';
import { MACHINE_LIMITS } from '../../machine/config.js';
import { VCPUS_MAX } from '../../machine/layout.js';
import { readPlain } from '../input/bounded-file.js';
import { fileProblem } from '../input/file-problem.js';
import { InputError } from '../../errors/errors.js';
import { describeIssue } from './issue.js';
import { meant } from '../input/nearest.js';

const ACCESSES = 'accesses.u32le.gz';
const CONTENTS = 'page-contents.u32le.gz';
const RECORDS_MAX = 1 << 26;
const META_BYTES_MAX = 1 << 20;
/** Of accesses or contents: more than any packs to. */
const PACKED_BYTES_MAX = 1 << 29;

const count = (min: number, max: number) => z.int().min(min).max(max);

/** `meta.json`. Keys beyond these are the recorder's own and are let through. */
const META = z.looseObject({
  name: z.string().min(1).max(100),
  guest: z.looseObject({
    arch: z.string().min(1),
    vcpus: count(1, VCPUS_MAX),
    frames: count(1, MACHINE_LIMITS.vmPages[1]),
  }),
  workload: z.array(z.string()).optional(),
  files: z.looseObject({
    [ACCESSES]: z.looseObject({
      records: count(1, RECORDS_MAX),
      marks: z.record(z.string(), count(0, RECORDS_MAX)).default({}),
    }),
    [CONTENTS]: z.looseObject({ zero_pages: z.array(z.int()).optional() }).optional(),
  }),
});
type Meta = z.infer<typeof META>;

/** A loaded recording. */
export interface Recording {
  readonly name: string;
  readonly folder: string;
  readonly vcpus: number;
  /** Guest pages. */
  readonly frames: number;
  readonly records: number;
  readonly marks: readonly string[];
  /** As RecordingView reads it. */
  readonly buffer: SharedArrayBuffer;
}

/** The folder of the recordings that ship with the project. */
const SHIPPED = fileURLToPath(new URL('../../../../src/lab/recordings/', import.meta.url));

/** The names of the recordings that ship with the project. */
export const listRecordings = (): string[] =>
  readdirSync(SHIPPED)
    .filter((name) => existsSync(join(SHIPPED, name, 'meta.json')))
    .toSorted();

/**
 * Loads a recording, wholly checked.
 * @param where the name of a shipped recording, or a folder (relative ones from `base`)
 * @throws InputError naming the file, what is wrong and what was expected
 */
export function loadRecording(where: string, base: string = process.cwd()): Recording {
  const shipped = /^[\w.-]+$/.test(where) && existsSync(join(SHIPPED, where, 'meta.json'));
  const folder = shipped ? join(SHIPPED, where) : resolve(base, where);
  const meta = readMeta(folder, where);
  const marks = Object.entries(meta.files[ACCESSES].marks);
  checkMarks(meta, marks, join(folder, 'meta.json'));
  const { vcpus, frames } = meta.guest;
  const records = meta.files[ACCESSES].records;

  const accesses = unpack(join(folder, ACCESSES), records, `the ${records} records`);
  const counts = checkAccesses(accesses, meta, join(folder, ACCESSES));
  const snapshots = marks.length * frames;
  const contents =
    snapshots === 0
      ? new Uint32Array(0)
      : unpack(join(folder, CONTENTS), snapshots, `${marks.length} snapshots of ${frames} frames`);
  renumber(contents);
  checkZeroPages(contents, meta, marks, join(folder, CONTENTS));

  const words = new Int32Array(new SharedArrayBuffer(4 * (RECORDING_HEADER + 2 * records + snapshots)));
  words[0] = RECORDING_MAGIC;
  words[RECORDING_VCPUS] = vcpus;
  words[RECORDING_FRAMES] = frames;
  words[RECORDING_RECORDS] = records;
  words[RECORDING_MARKS] = marks.length;
  marks.forEach(([, position], mark) => (words[RECORDING_MARK_TABLE + mark] = position));
  placeStreams(words, accesses, counts);
  words[RECORDING_SNAPSHOTS_AT] = RECORDING_HEADER + 2 * records;
  words.set(contents, RECORDING_HEADER + 2 * records);
  return { name: meta.name, folder, vcpus, frames, records, marks: marks.map(([name]) => name), buffer: words.buffer };
}

/** A file of the folder, which nobody has named: a pipe or a device there is none of a recording's. */
function readWhole(path: string, most: number, what: string): Buffer {
  const bytes = readPlain(realpathSync(path), most);
  if (bytes === null) throw new InputError(`${path}: not a plain file of at most ${most} bytes; expected ${what}`);
  return bytes;
}

function readMeta(folder: string, where: string): Meta {
  const path = join(folder, 'meta.json');
  if (!existsSync(folder)) {
    throw new InputError(
      `recording ${where}: no such folder; shipped ones: ${listRecordings().join(', ')}${meant(where, listRecordings())}`,
    );
  }
  let text: string;
  try {
    if (!statSync(folder).isDirectory()) {
      throw new InputError(`recording ${where}: a file, not a folder with meta.json, ${ACCESSES} and ${CONTENTS}`);
    }
    text = readWhole(path, META_BYTES_MAX, 'a description of a recording').toString('utf8');
  } catch (error) {
    throw error instanceof InputError ? error : new InputError(`${path}: ${fileProblem(error)}`);
  }
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw new InputError(`${path}: not JSON: ${oneLine(error)}`);
  }
  const parsed = META.safeParse(json);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  throw new InputError(`${path}: ${issue === undefined ? 'not a recording' : describeIssue(issue, json)}`);
}

function checkMarks(meta: Meta, marks: readonly (readonly [string, number])[], path: string): void {
  const records = meta.files[ACCESSES].records;
  if (marks.length > RECORDING_MARKS_MAX) {
    throw new InputError(`${path}: ${marks.length} marks; expected at most ${RECORDING_MARKS_MAX}`);
  }
  if (marks.length > 0 && meta.files[CONTENTS] === undefined) {
    throw new InputError(`${path}: files: ${CONTENTS} is missing, expected since there are marks`);
  }
  let before = -1;
  for (const [name, position] of marks) {
    const place = `${path}: files.${ACCESSES}.marks.${name}`;
    if (position > records) throw new InputError(`${place}: ${position}; expected at most the ${records} records`);
    if (position <= before)
      throw new InputError(`${place}: ${position}; expected more than the mark before it, ${before}`);
    before = position;
  }
}

/** Unpacks a gzip file that must hold exactly `expected` little-endian 32-bit words. */
function unpack(path: string, expected: number, what: string): Uint32Array {
  const hint = `expected ${what} that meta.json names, 4 bytes each`;
  let packed: Buffer;
  try {
    packed = readWhole(path, PACKED_BYTES_MAX, 'a gzip file');
  } catch (error) {
    if (error instanceof InputError) throw error;
    throw new InputError(`${path}: ${fileProblem(error)}`);
  }
  let bytes: Buffer;
  try {
    bytes = gunzipSync(packed, { maxOutputLength: expected * 4 + 4 });
  } catch (error) {
    if (error instanceof RangeError) throw new InputError(`${path}: holds more than ${expected * 4} bytes; ${hint}`);
    throw new InputError(`${path}: not a whole gzip file: ${oneLine(error)}`);
  }
  if (bytes.length !== expected * 4) throw new InputError(`${path}: holds ${bytes.length} bytes; ${hint}`);
  const words = new Uint32Array(expected);
  for (let i = 0; i < expected; i++) words[i] = bytes.readUInt32LE(4 * i);
  return words;
}

/** Checks every record; returns how many each vCPU has. */
function checkAccesses(accesses: Uint32Array, meta: Meta, path: string): number[] {
  const { vcpus, frames } = meta.guest;
  const counts = Array.from({ length: vcpus }, () => 0);
  for (let i = 0; i < accesses.length; i++) {
    const record = accesses[i] as number;
    const vcpu = record >>> 28;
    const gfn = record & RECORD_GFN;
    const wrong =
      vcpu >= vcpus
        ? `vcpu ${vcpu}; expected 0 to ${vcpus - 1}`
        : gfn >= frames
          ? `page ${gfn}; expected 0 to ${frames - 1}`
          : (record & (1 << 27)) !== 0
            ? 'bit 27 is set; expected 0'
            : '';
    if (wrong !== '') throw new InputError(`${path}: record ${i}: ${wrong}`);
    counts[vcpu] = (counts[vcpu] as number) + 1;
  }
  return counts;
}

/** Gives contents numbers from 1 in order of appearance; 0 stays the page of zeroes. */
function renumber(contents: Uint32Array): void {
  const numbers = new Map<number, number>([[0, 0]]);
  for (let i = 0; i < contents.length; i++) {
    const id = contents[i] as number;
    let number = numbers.get(id);
    if (number === undefined) numbers.set(id, (number = numbers.size));
    contents[i] = number;
  }
}

function checkZeroPages(
  contents: Uint32Array,
  meta: Meta,
  marks: readonly (readonly [string, number])[],
  path: string,
): void {
  const expected = meta.files[CONTENTS]?.zero_pages;
  if (expected === undefined) return;
  const { frames } = meta.guest;
  marks.forEach(([name], mark) => {
    const zero = contents.subarray(mark * frames, (mark + 1) * frames).reduce((n, id) => n + (id === 0 ? 1 : 0), 0);
    if (zero !== expected[mark]) {
      throw new InputError(
        `${path}: snapshot ${name} has ${zero} pages of zeroes; expected ${String(expected[mark])}, as meta.json says`,
      );
    }
  });
}

/** Deals the records out to their vCPUs' streams. */
function placeStreams(words: Int32Array, accesses: Uint32Array, counts: readonly number[]): void {
  const next: number[] = [];
  let at = RECORDING_HEADER;
  counts.forEach((n, vcpu) => {
    words[RECORDING_STREAMS + 2 * vcpu] = at;
    words[RECORDING_STREAMS + 2 * vcpu + 1] = n;
    next.push(at);
    at += 2 * n;
  });
  for (let i = 0; i < accesses.length; i++) {
    const record = accesses[i] as number;
    const vcpu = record >>> 28;
    const to = next[vcpu] as number;
    words[to] = record & (RECORD_WRITE | RECORD_GFN);
    words[to + 1] = i;
    next[vcpu] = to + 2;
  }
}

const oneLine = (error: unknown): string =>
  (error instanceof Error ? error.message : String(error)).split('\n')[0] ?? '';
