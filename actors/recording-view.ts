/**
 * A recorded guest as vCPUs read it: one SharedArrayBuffer of 32-bit words that never changes after it is built
 * (src/lab/scenario/recording.ts), so that all workers share it and read it plainly. How far each vCPU has come stands in
 * the machine.
 *
 *   word                what
 *   ----------------    -----------------------------------------------------------------
 *   0                   magic
 *   1                   recorded vCPUs
 *   2                   guest frames
 *   3                   records of all vCPUs
 *   4                   marks
 *   16 + 2 * vcpu       where its stream begins; how many records it has
 *   64 + mark           records (in global order) before the mark, ascending
 *   each stream         two words a record: gfn | write << 26; its number in global order
 *   the snapshots       a content per frame, for each mark: 0 = a page of zeroes, equal numbers = equal pages
 */
export const RECORDING_MAGIC = 0x67756573;
export const RECORDING_VCPUS = 1;
export const RECORDING_FRAMES = 2;
export const RECORDING_RECORDS = 3;
export const RECORDING_MARKS = 4;
export const RECORDING_SNAPSHOTS_AT = 5;
export const RECORDING_STREAMS = 16;
export const RECORDING_MARK_TABLE = 64;
export const RECORDING_MARKS_MAX = 64;
export const RECORDING_HEADER = 128;

export const RECORD_WRITE = 1 << 26;
export const RECORD_GFN = RECORD_WRITE - 1;

/** Read access to a recording. */
export class RecordingView {
  readonly words: Int32Array;
  readonly vcpus: number;
  readonly frames: number;
  readonly records: number;
  readonly marks: number;
  readonly #snapshotsAt: number;

  constructor(buffer: SharedArrayBuffer) {
    const words = new Int32Array(buffer);
    if (words[0] !== RECORDING_MAGIC) throw new TypeError('not a recording that loadRecording has built');
    this.words = words;
    this.vcpus = words[RECORDING_VCPUS] as number;
    this.frames = words[RECORDING_FRAMES] as number;
    this.records = words[RECORDING_RECORDS] as number;
    this.marks = words[RECORDING_MARKS] as number;
    this.#snapshotsAt = words[RECORDING_SNAPSHOTS_AT] as number;
  }

  /** The word where the stream of `vcpu` begins. */
  streamAt(vcpu: number): number {
    return this.words[RECORDING_STREAMS + 2 * vcpu] as number;
  }

  /** Records of `vcpu`. */
  count(vcpu: number): number {
    return this.words[RECORDING_STREAMS + 2 * vcpu + 1] as number;
  }

  /** Records in global order before mark `mark`. */
  markPosition(mark: number): number {
    return this.words[RECORDING_MARK_TABLE + mark] as number;
  }

  /** What page `gfn` held at `mark`. */
  contentAt(mark: number, gfn: number): number {
    return this.words[this.#snapshotsAt + mark * this.frames + gfn] as number;
  }

  /** How many records of `vcpu` come before `position` in global order. */
  recordsBefore(vcpu: number, position: number): number {
    const at = this.streamAt(vcpu);
    let low = 0;
    let high = this.count(vcpu);
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.words[at + 2 * middle + 1] as number) < position) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
