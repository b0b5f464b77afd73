/**
 * Plain stores and loads that follow on each other without a barrier, on real threads: done in one go, so that the machine's own store
 * buffer shows. A coroutine's turn between a store and the load after it takes longer than the store needs to leave the buffer, and
 * two actors come by within so short a time too seldom; so such a block is run by a loop that does nothing else, and the actors that
 * have one meet before it (as litmus7 synchronises its threads: Alglave, Maranget, Sarkar, Sewell, Litmus: running tests against
 * hardware, TACAS 2011).
 *
 * On one thread the store buffer is a model (src/machine/store-buffer.ts), and every access a step of its own.
 */
import type { Context } from '../../src/machine/context.js';
import { HDR_MEETINGS, MEETINGS } from '../../src/machine/layout.js';
import { scratchWord } from '../../src/machine/store-buffer.js';
import { fetchAdd, get, readOnce, set } from '#words';
import type { LitmusColumns } from '../../src/plan/litmus.js';
import { setRegister } from './registers.js';

/** Accesses in a row: STEP words each. */
interface Block {
  readonly length: number;
  readonly steps: Int32Array;
  readonly results: readonly number[];
  /** Where the actors that have such a block meet, and how many they are. */
  readonly meeting: number;
  readonly actors: number;
}

/** Of a step: a store or a load; the word; the value of a store. */
const STEP = 3;
const STORE = 1;

type Calls = LitmusColumns['columns'][number]['calls'];

const plans = new WeakMap<LitmusColumns, readonly (readonly (Block | undefined)[])[]>();

/** By column, the block that begins with each call, if one does. */
export function blocksOf(
  plan: LitmusColumns,
  write: number,
  read: number,
): readonly (readonly (Block | undefined)[])[] {
  let blocks = plans.get(plan);
  if (blocks === undefined) {
    const lengths = plan.columns.map(({ calls }) => lengthsOf(calls, write, read));
    const counts = lengths.map((each) => each.filter((length) => length > 0).length);
    blocks = plan.columns.map(({ calls }, column) => {
      let meeting = 0;
      return calls.map((_, i) => {
        const length = lengths[column]?.[i] ?? 0;
        if (length === 0 || meeting === MEETINGS) return undefined;
        const actors = counts.filter((count) => count > meeting).length;
        return blockOf(calls.slice(i, i + length), write, meeting++, actors);
      });
    });
    plans.set(plan, blocks);
  }
  return blocks;
}

/** By call, how many plain accesses in a row begin there, with a load somewhere behind a store; 0 = no such. */
function lengthsOf(calls: Calls, write: number, read: number): number[] {
  const lengths = calls.map(() => 0);
  for (let from = 0; from < calls.length; from++) {
    let to = from;
    while (to < calls.length && (calls[to]?.op === write || calls[to]?.op === read)) to++;
    const store = calls.findIndex(({ op }, i) => i >= from && i < to && op === write);
    const buffers = store >= 0 && calls.some(({ op }, i) => i > store && i < to && op === read);
    if (buffers) lengths[from] = to - from;
    if (to > from) from = to - 1;
  }
  return lengths;
}

function blockOf(calls: Calls, write: number, meeting: number, actors: number): Block {
  const steps = new Int32Array(calls.length * STEP);
  calls.forEach(({ op, args }, i) => {
    steps[i * STEP] = op === write ? STORE : 0;
    steps[i * STEP + 1] = scratchWord(args[0] ?? 0);
    steps[i * STEP + 2] = args[1] ?? 0;
  });
  return { length: calls.length, steps, results: calls.map(({ result }) => result), meeting, actors };
}

/** Looks at the meeting point before an actor goes on alone: while others come in time, and while they do not. */
const PATIENCE_MAX = 30_000;
const PATIENCE_MIN = 6000;
/** Who comes late is a cache line's way behind; so everybody waits a little more, each time another while. */
const JITTER = 31;

let patience = PATIENCE_MAX;
let random = 0x2545f491;
/** Results of the block under way; and a word that nobody else looks at. */
const loaded = new Int32Array(128);
const idle = new Int32Array(1);

/** Meets the others, and does the block. */
export function runBlock(ctx: Context, block: Block): void {
  const { words } = ctx;
  const { length, steps, results } = block;
  if (block.actors > 1) meet(ctx, block);
  go(words, steps, length);
  for (let i = 0; i < length; i++) {
    // as the operations' own: 0, or what was read
    setRegister(ctx, results[i] as number, steps[i * STEP] === STORE ? 0 : (loaded[i] as number));
    ctx.probe.onProgress(ctx);
  }
}

function meet({ words, actor }: Context, { meeting, actors }: Block): void {
  const at = HDR_MEETINGS + meeting;
  fetchAdd(words, at, 1);
  // workers begin some machines apart, those of later actors ahead: they wait for the others, once, and then all go in step
  const looks = actor === 0 ? PATIENCE_MIN : patience;
  let left = looks;
  while (readOnce(words, at) < actors && left > 0) left--;
  patience = left > 0 ? PATIENCE_MAX : Math.max(patience >> 1, PATIENCE_MIN);
  random ^= random << 13;
  random ^= random >>> 17;
  random ^= random << 5;
  for (let i = random & JITTER; i > 0; i--) Atomics.load(idle, 0);
}

function go(words: Int32Array, steps: Int32Array, length: number): void {
  for (let i = 0, at = 0; i < length; i++, at += STEP) {
    const word = steps[at + 1] as number;
    if (steps[at] === STORE) set(words, word, steps[at + 2] as number);
    else loaded[i] = get(words, word);
  }
}
