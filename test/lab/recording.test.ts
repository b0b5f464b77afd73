import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { RECORD_GFN, RecordingView } from '#actors/recording-view.js';
import { InputError } from '#src/errors/errors.js';
import { listRecordings, loadRecording } from '#src/lab/scenario/recording.js';
import { SMALL, metaOf, packAccess, packed, temporaryFolder, writeRecording } from './recordings.js';

/** The message of the InputError that `load` ends in: always one line. */
function refusal(load: () => unknown): string {
  try {
    load();
  } catch (error) {
    expect(error).toBeInstanceOf(InputError);
    const { message } = error as InputError;
    expect(message).not.toContain('\n');
    return message;
  }
  return expect.unreachable('was not refused');
}

describe('the shipped recording', () => {
  const recording = loadRecording('guest-redis-arm64');
  const view = new RecordingView(recording.buffer);

  it('has two vCPUs whose streams are in global order and make up all records', () => {
    expect(listRecordings()).toContain('guest-redis-arm64');
    expect([view.vcpus, view.frames, view.records, view.marks]).toEqual([2, 65_536, 4_928_044, 3]);
    expect(view.count(0) + view.count(1)).toBe(view.records);
    for (const vcpu of [0, 1]) {
      let before = -1;
      let ordered = true;
      for (let at = view.streamAt(vcpu), end = at + 2 * view.count(vcpu); at < end; at += 2) {
        const position = view.words[at + 1] as number;
        ordered &&= position > before && ((view.words[at] as number) & RECORD_GFN) < view.frames;
        before = position;
      }
      expect(ordered).toBe(true);
    }
  });

  it('has the zero pages that its meta.json counts, and marks in order', () => {
    const zero = [0, 1, 2].map((mark) => {
      let n = 0;
      for (let gfn = 0; gfn < view.frames; gfn++) if (view.contentAt(mark, gfn) === 0) n++;
      return n;
    });
    expect(zero).toEqual([42_666, 42_654, 41_796]);
    expect([0, 1, 2].map((mark) => view.markPosition(mark))).toEqual([1_963_008, 2_378_752, 4_928_044]);
    expect(recording.marks).toEqual(['booted', 'files-done', 'redis-done']);
  });
});

describe('a recording of the same format', () => {
  it('is dealt out to its vCPUs, contents numbered anew with equality kept', () => {
    const view = new RecordingView(loadRecording(writeRecording(SMALL)).buffer);
    expect([view.count(0), view.count(1)]).toEqual([3, 3]);
    expect([0, 1, 2, 3].map((gfn) => view.contentAt(0, gfn))).toEqual([0, 1, 1, 2]);
    expect([0, 1, 2, 3].map((gfn) => view.contentAt(1, gfn))).toEqual([3, 3, 0, 2]);
    expect([0, 2, 4, 6].map((position) => view.recordsBefore(1, position))).toEqual([0, 1, 2, 3]);
  });

  it('may have no marks and no contents', () => {
    const meta = { ...metaOf(SMALL), files: { 'accesses.u32le.gz': { records: 6 } } };
    expect(loadRecording(writeRecording(SMALL, meta)).marks).toEqual([]);
  });
});

/** What is said of the small recording with another meta.json. */
const broken = (change: (meta: ReturnType<typeof metaOf>) => unknown): string =>
  refusal(() => loadRecording(writeRecording(SMALL, change(metaOf(SMALL)))));
const accessesMeta = (meta: ReturnType<typeof metaOf>, accesses: object): unknown => ({
  ...meta,
  files: { ...(meta['files'] as object), 'accesses.u32le.gz': accesses },
});

/** What is said of the small recording with another first record. */
const firstRecord = (word: number): string => {
  const folder = writeRecording(SMALL);
  writeFileSync(join(folder, 'accesses.u32le.gz'), packed([word, ...SMALL.accesses.slice(1).map(packAccess)]));
  return refusal(() => loadRecording(folder));
};

describe('a broken recording is refused with one line that says what, where and what was expected', () => {
  it('in meta.json', () => {
    expect(broken((meta) => ({ ...meta, guest: { arch: 'arm64', vcpus: 0, frames: 4 } }))).toMatch(
      /meta\.json: guest\.vcpus: expected at least 1, got 0$/,
    );
    expect(broken((meta) => ({ ...meta, guest: { arch: 'arm64', vcpus: 2, frames: 1.5 } }))).toMatch(
      /guest\.frames: expected a whole number, got 1\.5$/,
    );
    expect(broken((meta) => ({ ...meta, guest: undefined }))).toMatch(/guest: expected a map, got nothing$/);
    expect(broken((meta) => accessesMeta(meta, { records: 6, marks: { half: 7 } }))).toMatch(
      /marks\.half: 7; expected at most the 6 records$/,
    );
    expect(broken((meta) => accessesMeta(meta, { records: 6, marks: { a: 3, b: 3 } }))).toMatch(
      /marks\.b: 3; expected more than the mark before it, 3$/,
    );
    expect(broken((meta) => accessesMeta(meta, { records: 5, marks: { half: 2, end: 5 } }))).toMatch(
      /expected the 5 records/,
    );
    expect(broken((meta) => accessesMeta(meta, { records: 9, marks: { half: 2, end: 9 } }))).toMatch(
      /accesses\.u32le\.gz: holds 24 bytes; expected the 9 records that meta\.json names, 4 bytes each$/,
    );
    const folder = writeRecording(SMALL);
    writeFileSync(join(folder, 'meta.json'), '{"name": ');
    expect(refusal(() => loadRecording(folder))).toMatch(/meta\.json: not JSON: /);
  });

  it('in the accesses', () => {
    expect(firstRecord(packAccess({ vcpu: 2, gfn: 0, write: false }))).toMatch(/record 0: vcpu 2; expected 0 to 1$/);
    expect(firstRecord(packAccess({ vcpu: 0, gfn: 4, write: false }))).toMatch(/record 0: page 4; expected 0 to 3$/);
    expect(firstRecord(1 << 27)).toMatch(/record 0: bit 27 is set; expected 0$/);
  });

  it('in the contents', () => {
    const folder = writeRecording(SMALL);
    writeFileSync(join(folder, 'page-contents.u32le.gz'), packed([0, 0, 1, 1, 1, 1, 0, 1]));
    expect(refusal(() => loadRecording(folder))).toMatch(
      /snapshot half has 2 pages of zeroes; expected 1, as meta\.json says$/,
    );
    writeFileSync(join(folder, 'page-contents.u32le.gz'), packed([0]));
    expect(refusal(() => loadRecording(folder))).toMatch(/holds 4 bytes; expected 2 snapshots of 4 frames/);
    writeFileSync(join(folder, 'page-contents.u32le.gz'), 'no gzip');
    expect(refusal(() => loadRecording(folder))).toMatch(/not a whole gzip file/);
  });

  it('as files', () => {
    expect(refusal(() => loadRecording('no-such-recording'))).toMatch(
      /no such folder; shipped ones: .*guest-redis-arm64/,
    );
    const empty = temporaryFolder();
    expect(refusal(() => loadRecording(empty))).toMatch(/meta\.json: no such file$/);
    writeFileSync(join(empty, 'file'), '');
    expect(refusal(() => loadRecording(join(empty, 'file')))).toMatch(/a file, not a folder/);
  });
});
