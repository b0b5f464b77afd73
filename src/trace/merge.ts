/**
 * Merged order: the events of several rings by (time, actor). Lamport times grow along each actor, not along a ring that
 * several actors of a worker share, so records are queued by actor. A record may leave once every ring's lower bound has
 * passed its time; rings of sleeping workers hold up nobody (ring.ts). Records of one actor with one time keep their order.
 */
import { RECORD_WORDS, recordActor, recordTime } from '../events/record.js';

/** Records of one actor that wait for their turn. */
class ActorQueue {
  readonly actor: number;
  records = new Int32Array(64 * RECORD_WORDS);
  first = 0;
  end = 0;
  /** Time of the record at `first`; Infinity when empty. */
  headTime = Infinity;

  constructor(actor: number) {
    this.actor = actor;
  }

  push(from: Int32Array, index: number, time: number): void {
    if (this.end * RECORD_WORDS === this.records.length) this.#makeRoom();
    const at = this.end * RECORD_WORDS;
    const base = index * RECORD_WORDS;
    for (let word = 0; word < RECORD_WORDS; word++) this.records[at + word] = from[base + word] as number;
    if (this.first === this.end) this.headTime = time;
    this.end++;
  }

  /** Takes the head away. */
  shift(): void {
    this.first++;
    if (this.first === this.end) {
      this.first = 0;
      this.end = 0;
      this.headTime = Infinity;
    } else {
      this.headTime = recordTime(this.records, this.first);
    }
  }

  #makeRoom(): void {
    const used = this.records.subarray(this.first * RECORD_WORDS, this.end * RECORD_WORDS);
    if (this.first * 2 >= this.end) {
      this.records.copyWithin(0, this.first * RECORD_WORDS, this.end * RECORD_WORDS);
    } else {
      const grown = new Int32Array(this.records.length * 2);
      grown.set(used);
      this.records = grown;
    }
    this.end -= this.first;
    this.first = 0;
  }
}

const before = (x: ActorQueue, y: ActorQueue): boolean =>
  x.headTime < y.headTime || (x.headTime === y.headTime && x.actor < y.actor);

interface MergerOptions {
  /** Records of a batch handed out. */
  readonly batchRecords?: number;
  /** Records held at most while some ring's bound stands still; more are let go in the order known by then. */
  readonly heldMax?: number;
}

/** Puts records of several rings in merged order. */
export class Merger {
  /** Records that came after later ones had been let go because `heldMax` was reached: out of order, not lost. */
  late = 0;
  /** The largest time seen: the floor to ask sleeping writers for. */
  timeMax = 0;
  readonly #queues: (ActorQueue | undefined)[] = [];
  /** Queues that hold something, as a binary heap by (head time, actor). */
  readonly #heap: ActorQueue[] = [];
  readonly #batchRecords: number;
  readonly #heldMax: number;
  #held = 0;
  #releasedTime = -1;

  constructor(options: MergerOptions = {}) {
    this.#batchRecords = options.batchRecords ?? 4096;
    this.#heldMax = options.heldMax ?? 1 << 22;
  }

  /** Records that wait for their turn. */
  get held(): number {
    return this.#held;
  }

  /** Takes over `count` records of one ring from record `first` on; they are copied. */
  push(records: Int32Array, first: number, count: number): void {
    for (let i = first; i < first + count; i++) {
      const actor = recordActor(records, i);
      const time = recordTime(records, i);
      if (time > this.timeMax) this.timeMax = time;
      if (time < this.#releasedTime) this.late++;
      let queue = this.#queues[actor];
      if (queue === undefined) queue = this.#queues[actor] = new ActorQueue(actor);
      const empty = queue.first === queue.end;
      queue.push(records, i, time);
      if (empty) this.#insert(queue);
    }
    this.#held += count;
  }

  /**
   * Lets every record go whose time is below `bound`; what no ring can precede any more.
   * @param visit is given batches in merged order; their memory is fresh, so they may be kept
   */
  release(bound: number, visit: (records: Int32Array, count: number) => void): void {
    const enough = this.#held - this.#heldMax;
    this.#letGo(bound, Math.max(0, enough), visit);
  }

  /** Lets everything go: the run is over. */
  finish(visit: (records: Int32Array, count: number) => void): void {
    this.#letGo(Infinity, 0, visit);
  }

  #letGo(bound: number, atLeast: number, visit: (records: Int32Array, count: number) => void): void {
    const heap = this.#heap;
    let forced = atLeast;
    while (heap.length > 0 && ((heap[0] as ActorQueue).headTime < bound || forced > 0)) {
      const size = Math.min(this.#batchRecords, this.#held);
      const out = new Int32Array(size * RECORD_WORDS);
      let count = 0;
      while (count < size && heap.length > 0) {
        const queue = heap[0] as ActorQueue;
        if (queue.headTime >= bound && forced <= 0) break;
        forced--;
        this.#releasedTime = queue.headTime;
        const from = queue.first * RECORD_WORDS;
        const at = count * RECORD_WORDS;
        for (let word = 0; word < RECORD_WORDS; word++) out[at + word] = queue.records[from + word] as number;
        count++;
        queue.shift();
        this.#settleTop();
      }
      this.#held -= count;
      visit(count === size ? out : out.subarray(0, count * RECORD_WORDS), count);
    }
  }

  #insert(queue: ActorQueue): void {
    const heap = this.#heap;
    let at = heap.length;
    heap.push(queue);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!before(queue, heap[parent] as ActorQueue)) break;
      heap[at] = heap[parent] as ActorQueue;
      at = parent;
    }
    heap[at] = queue;
  }

  /** The top queue's head has changed: puts it where it belongs, or takes it out when it is empty. */
  #settleTop(): void {
    const heap = this.#heap;
    let queue = heap[0] as ActorQueue;
    if (queue.headTime === Infinity) {
      queue = heap.pop() as ActorQueue;
      if (heap.length === 0) return;
    }
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && before(heap[child + 1] as ActorQueue, heap[child] as ActorQueue)) child++;
      if (!before(heap[child] as ActorQueue, queue)) break;
      heap[at] = heap[child] as ActorQueue;
      at = child;
    }
    heap[at] = queue;
  }
}

/** Several rings' records, each in its ring's order, as one array in merged order: for reports of a stopped run. */
export function mergeRecords(parts: readonly Int32Array[]): Int32Array {
  const merger = new Merger({ batchRecords: 1 << 30 });
  for (const part of parts) merger.push(part, 0, part.length / RECORD_WORDS);
  let merged = new Int32Array(0);
  merger.finish((records) => {
    merged = records as Int32Array<ArrayBuffer>;
  });
  return merged;
}
