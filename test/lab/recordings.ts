/** Writes recordings of the shipped format into temporary folders. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll } from 'vitest';

export interface Access {
  readonly vcpu: number;
  readonly gfn: number;
  readonly write: boolean;
}

export interface RecordingSpec {
  readonly vcpus: number;
  readonly frames: number;
  readonly accesses: readonly Access[];
  readonly marks: Readonly<Record<string, number>>;
  /** A content per frame for each mark. */
  readonly snapshots: readonly (readonly number[])[];
}

const folders: string[] = [];
afterAll(() => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'pinfall-'));
  folders.push(folder);
  return folder;
}

export const packAccess = ({ vcpu, gfn, write }: Access): number => ((vcpu << 28) | (write ? 1 << 26 : 0) | gfn) >>> 0;

export function packed(words: readonly number[]): Buffer {
  const bytes = Buffer.alloc(4 * words.length);
  words.forEach((word, i) => bytes.writeUInt32LE(word, 4 * i));
  return gzipSync(bytes);
}

/** What meta.json says of a recording. */
export function metaOf(spec: RecordingSpec): Record<string, unknown> {
  return {
    name: 'made-for-a-test',
    guest: { arch: 'arm64', vcpus: spec.vcpus, frames: spec.frames },
    files: {
      'accesses.u32le.gz': { records: spec.accesses.length, marks: spec.marks },
      'page-contents.u32le.gz': { zero_pages: spec.snapshots.map((s) => s.filter((id) => id === 0).length) },
    },
  };
}

/** Writes a recording; returns its folder. */
export function writeRecording(spec: RecordingSpec, meta: unknown = metaOf(spec)): string {
  const folder = temporaryFolder();
  writeFileSync(join(folder, 'meta.json'), JSON.stringify(meta));
  writeFileSync(join(folder, 'accesses.u32le.gz'), packed(spec.accesses.map(packAccess)));
  writeFileSync(join(folder, 'page-contents.u32le.gz'), packed(spec.snapshots.flat()));
  return folder;
}

/** Two vCPUs, four frames, marks after record 2 and at the end. */
export const SMALL: RecordingSpec = {
  vcpus: 2,
  frames: 4,
  accesses: [
    { vcpu: 0, gfn: 0, write: true },
    { vcpu: 1, gfn: 1, write: false },
    { vcpu: 1, gfn: 2, write: true },
    { vcpu: 0, gfn: 3, write: true },
    { vcpu: 1, gfn: 0, write: true },
    { vcpu: 0, gfn: 0, write: false },
  ],
  marks: { half: 2, end: 6 },
  snapshots: [
    [0, 4000000000, 4000000000, 7],
    [9, 9, 0, 7],
  ],
};
