/**
 * A vCPU's way through its own stream of a recorded guest: where it stands, which marks it has passed, and how it
 * keeps step with the other recorded vCPUs.
 *
 * A position counts records in global order, laps included. Each vCPU publishes the position of its next record,
 * and replays a record only while that is at most `window` ahead of the slowest other vCPU; the slowest can always
 * go on, so nobody waits for ever. A mark is passed with the vCPU's last record before it. After the last record
 * the guest goes back to its first mark (to the start if nothing follows that mark), its contents going on as they
 * are.
 *
 * The content that a mark prescribes for a page goes to the next write of that page by a vCPU that has passed the
 * mark: the page's generation in the machine says which marks its content has followed, and only one vCPU can raise
 * it.
 */
import type { CarriedState, Context, Coroutine } from '../src/machine/context.js';
import { reads, updates, writes } from '../src/machine/effects.js';
import { VCPU_REPLAY_POSITION, VCPU_REPLAY_STATE, generationWord, vcpuWord } from '../src/machine/layout.js';
import { STAT, countStat } from '../src/machine/stats.js';
import { idleWhile, wake } from '../src/machine/wait.js';
import { emit } from '../src/events/emit.js';
import { EVENT } from '../src/events/table.js';
import { cmpxchg, peek, readOnce, writeOnce } from '#words';
import { RecordingView } from './recording-view.js';
import { writeToken } from './content.js';
import { carried } from './types.js';

/** VCPU_REPLAY_STATE: not started counts as position 0; nobody waits for one that is out. */
const REPLAY_NOT_STARTED = 0;
const REPLAY_RUNNING = 1;
const REPLAY_OUT = 2;
/** Positions between two looks at the other vCPUs, at most; it costs a cache line each. */
const PACE_STEP = 64;

/** One vCPU's replay of its stream. */
export class Replay {
  /** The recording's words, and where this vCPU's stream stands in them: two words a record. */
  readonly stream: Int32Array;
  readonly streamAt: number;
  /** The next record, and the one before which a mark or the end of the stream lies. */
  index = 0;
  nextStop = 0;
  /** What a lap adds to a record's number in global order, modulo 2^32. */
  offset = 0;
  /** From this position on, `pace` must be asked first. */
  nextCheck = 0;
  readonly #view: RecordingView;
  readonly #vm: number;
  readonly #vcpu: number;
  readonly #window: number;
  readonly #step: number;
  readonly #count: number;
  readonly #loopStart: number;
  readonly #loopFrom: number;
  readonly #countsPasses: boolean;
  #laps = 0;
  #nextMark = 0;
  #generation = 0;
  #snapshot = 0;

  /** @param window records that this vCPU may be ahead of the slowest other; 0 = any number */
  constructor(buffer: SharedArrayBuffer, vm: number, vcpu: number, window: number) {
    const view = new RecordingView(buffer);
    this.#view = view;
    this.#vm = vm;
    this.#vcpu = vcpu;
    this.#window = window;
    this.#step = Math.max(1, Math.min(PACE_STEP, window >> 3));
    this.stream = view.words;
    this.streamAt = view.streamAt(vcpu);
    this.#count = view.count(vcpu);
    const first = view.marks > 0 ? view.markPosition(0) : 0;
    this.#loopStart = first < view.records ? first : 0;
    this.#loopFrom = view.recordsBefore(vcpu, this.#loopStart);
    let counted = false;
    for (let other = 0; other < vcpu; other++) {
      counted ||= view.recordsBefore(other, this.#loopStart) < view.count(other);
    }
    this.#countsPasses = !counted;
  }

  /** The position of the next record; the stream must not be at a stop. */
  position(): number {
    return ((this.stream[this.streamAt + 2 * this.index + 1] as number) + this.offset) | 0;
  }

  /** Where it stands, for another worker that goes on with it. */
  state(): CarriedState {
    return {
      replaying: 1,
      index: this.index,
      nextCheck: this.nextCheck,
      laps: this.#laps,
      nextMark: this.#nextMark,
      generation: this.#generation,
      snapshot: this.#snapshot,
    };
  }

  /** Enters the replay: at the start, or, if this vCPU was out, where the slowest of the others is. */
  *enter(ctx: Context): Coroutine<void> {
    const { m, words } = ctx;
    if (carried(ctx, 'replaying') === 1) {
      this.#restore(ctx);
      return;
    }
    const state = vcpuWord(m, this.#vm, this.#vcpu, VCPU_REPLAY_STATE);
    let position = 0;
    if (--ctx.quantum < 0) yield reads(state);
    if (readOnce(words, state) !== REPLAY_NOT_STARTED) {
      const own = vcpuWord(m, this.#vm, this.#vcpu, VCPU_REPLAY_POSITION);
      if (--ctx.quantum < 0) yield reads(own);
      position = readOnce(words, own);
      const slowest = yield* this.#slowestOther(ctx);
      if (slowest >= 0) position = peek(words, slowest);
    }
    this.#seek(position >>> 0);
    this.nextCheck = position;
    if (--ctx.quantum < 0) yield writes(state);
    writeOnce(words, state, REPLAY_RUNNING);
  }

  /** Leaves the replay for now or for good: the others no longer wait for this vCPU. */
  *leave(ctx: Context): Coroutine<void> {
    const { m, words } = ctx;
    const state = vcpuWord(m, this.#vm, this.#vcpu, VCPU_REPLAY_STATE);
    if (--ctx.quantum < 0) yield writes(state);
    writeOnce(words, state, REPLAY_OUT);
    // those that wait do so on the position
    const own = vcpuWord(m, this.#vm, this.#vcpu, VCPU_REPLAY_POSITION);
    if (--ctx.quantum < 0) yield writes(own);
    writeOnce(words, own, (readOnce(words, own) + 1) | 0);
    wake(m, own);
  }

  /**
   * Passes the marks that lie before the next record, and goes back to the first mark at the end of the stream.
   * @returns false when this vCPU has no record from the first mark on: it is done
   */
  passStop(ctx: Context): boolean {
    while (this.#nextMark < this.#view.marks && this.#indexOfMark(this.#nextMark) === this.index) {
      this.#generation++;
      this.#snapshot = this.#nextMark++;
      emit(ctx, EVENT.mark, this.#snapshot, this.#vcpu, this.#laps);
    }
    if (this.index === this.#count) {
      if (this.#loopFrom === this.#count) return false;
      this.#laps++;
      this.offset = (this.offset + this.#view.records - this.#loopStart) | 0;
      this.index = this.#loopFrom;
      this.#nextMark = this.#firstMarkAfter(this.#loopStart);
      if (this.#countsPasses) countStat(ctx.m, ctx.actor, STAT.passes, 1);
    }
    this.#findNextStop();
    return true;
  }

  /**
   * Publishes `position`, the next record's, and looks where the others are.
   * @returns 0, or the word to idle on since this vCPU is a window ahead; `ctx.waitValue` then holds what was seen
   *   there
   */
  *pace(ctx: Context, position: number): Coroutine {
    const { m, words } = ctx;
    if (this.#window === 0) {
      this.nextCheck = (position + 0x40000000) | 0;
      return 0;
    }
    const own = vcpuWord(m, this.#vm, this.#vcpu, VCPU_REPLAY_POSITION);
    if (peek(words, own) !== position) {
      if (--ctx.quantum < 0) yield writes(own);
      writeOnce(words, own, position);
      wake(m, own);
    }
    const slowest = yield* this.#slowestOther(ctx);
    if (slowest < 0) {
      this.nextCheck = (position + this.#step) | 0;
      return 0;
    }
    const ahead = (position - ctx.waitValue) | 0;
    if (ahead > this.#window) {
      this.nextCheck = position;
      return idleWhile(ctx, slowest, ctx.waitValue);
    }
    this.nextCheck = (position + Math.min(this.#step, this.#window - ahead + 1)) | 0;
    return 0;
  }

  /**
   * What a write of page `gfn` puts there: its content at the mark passed last, if it has not followed that one
   * yet.
   */
  *contentFor(ctx: Context, gfn: number): Coroutine {
    const word = generationWord(ctx.m, this.#vm, gfn);
    if (this.#generation > 0 && peek(ctx.words, word) < this.#generation) {
      if (--ctx.quantum < 0) yield updates(word);
      const seen = readOnce(ctx.words, word);
      if (seen < this.#generation && cmpxchg(ctx.words, word, seen, this.#generation) === seen) {
        return this.#view.contentAt(this.#snapshot, gfn);
      }
    }
    return writeToken(ctx);
  }

  /**
   * Whether the page's content follows all marks passed: then a write is unique, and `contentFor` need not be
   * asked.
   */
  isCurrent(ctx: Context, gfn: number): boolean {
    return this.#generation === 0 || peek(ctx.words, generationWord(ctx.m, this.#vm, gfn)) >= this.#generation;
  }

  /** Finds the slowest other vCPU that is not out: its position's word (the position in `ctx.waitValue`), or -1. */
  *#slowestOther(ctx: Context): Coroutine {
    const { m, words } = ctx;
    let slowest = -1;
    let least = 0;
    for (let other = 0; other < this.#view.vcpus; other++) {
      if (other === this.#vcpu) continue;
      const state = vcpuWord(m, this.#vm, other, VCPU_REPLAY_STATE);
      if (--ctx.quantum < 0) yield reads(state);
      if (readOnce(words, state) === REPLAY_OUT) continue;
      const word = vcpuWord(m, this.#vm, other, VCPU_REPLAY_POSITION);
      if (--ctx.quantum < 0) yield reads(word);
      const position = readOnce(words, word);
      if (slowest < 0 || ((position - least) | 0) < 0) {
        slowest = word;
        least = position;
      }
    }
    ctx.waitValue = least;
    return slowest;
  }

  #seek(position: number): void {
    const { records, marks } = this.#view;
    const loop = records - this.#loopStart;
    this.#laps = position < records ? 0 : 1 + Math.floor((position - records) / loop);
    this.offset = (this.#laps * loop) | 0;
    const within = position - this.#laps * loop;
    this.index = this.#view.recordsBefore(this.#vcpu, within);
    const first = this.#laps === 0 ? 0 : this.#firstMarkAfter(this.#loopStart);
    this.#nextMark = first;
    while (this.#nextMark < marks && this.#view.markPosition(this.#nextMark) < within) this.#nextMark++;
    const earlier = this.#laps === 0 ? 0 : marks + (this.#laps - 1) * (marks - first);
    this.#generation = earlier + this.#nextMark - first;
    this.#snapshot = this.#nextMark > first ? this.#nextMark - 1 : marks - 1;
    this.#findNextStop();
  }

  /** Goes on where it stood on another worker; the others have waited for it all the time. */
  #restore(ctx: Context): void {
    this.index = carried(ctx, 'index');
    this.nextCheck = carried(ctx, 'nextCheck');
    this.#laps = carried(ctx, 'laps');
    this.#nextMark = carried(ctx, 'nextMark');
    this.#generation = carried(ctx, 'generation');
    this.#snapshot = carried(ctx, 'snapshot');
    this.offset = Math.imul(this.#laps, this.#view.records - this.#loopStart);
    this.#findNextStop();
  }

  #findNextStop(): void {
    this.nextStop = this.#nextMark < this.#view.marks ? this.#indexOfMark(this.#nextMark) : this.#count;
  }

  #indexOfMark(mark: number): number {
    return this.#view.recordsBefore(this.#vcpu, this.#view.markPosition(mark));
  }

  #firstMarkAfter(position: number): number {
    let mark = 0;
    while (mark < this.#view.marks && this.#view.markPosition(mark) <= position) mark++;
    return mark;
  }
}
