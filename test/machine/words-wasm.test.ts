import { afterEach, describe, expect, it } from 'vitest';
import fc from 'fast-check';
import { Machine } from '#src/machine/layout.js';
import { sharedMachine } from '#src/machine/memory.js';
import * as wasm from '#src/machine/words/words-wasm.js';
import * as words from '#src/machine/words/words.js';

const CONFIG = {
  nodes: 1,
  framesPerNode: 16,
  thpOrder: 1,
  cpus: 1,
  cpuNodes: [0],
  mms: 1,
  mmPages: 16,
  vmasPerMm: 4,
  vms: 0,
  vmPages: 0,
  tlbEntries: 4,
  pcpBatch: 1,
  lruBatch: 1,
};

type Operation = (on: typeof words | typeof wasm, at: Int32Array, index: number, a: number, b: number) => unknown;

const OPERATIONS: readonly Operation[] = [
  (on, at, index) => on.readOnce(at, index),
  (on, at, index, a) => on.writeOnce(at, index, a),
  (on, at, index, a) => on.xchg(at, index, a),
  (on, at, index, a) => on.fetchAdd(at, index, a),
  (on, at, index, a) => on.fetchOr(at, index, a),
  (on, at, index, a) => on.fetchAnd(at, index, a),
  (on, at, index, a, b) => on.cmpxchg(at, index, a, b),
  // where it succeeds
  (on, at, index, _, b) => on.cmpxchg(at, index, at[index] as number, b),
  (on, at, index) => on.rawLoad(at, index),
  (on, at, index, a) => on.rawStore(at, index, a),
  (on, at, index, a) => on.rawXchg(at, index, a),
  (on, at, index, a, b) => on.rawCmpxchg(at, index, a, b),
];

const shared = sharedMachine(CONFIG);

describe('the words of the blocking form', () => {
  afterEach(() => wasm.bindWords(shared));

  it('do what those of the coroutine form do, in either kind of memory', () => {
    expect(shared.memory).not.toBeNull();
    const int = fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 });
    // Lamport times are stored as numbers beyond 32 bits, too
    const value = fc.oneof(int, fc.integer({ min: -(2 ** 33), max: 2 ** 33 }));
    const step = fc.tuple(fc.nat(OPERATIONS.length - 1), fc.nat(3), value, value);
    for (const m of [shared, new Machine(CONFIG)]) {
      wasm.bindWords(m);
      const last = m.totalWords - 4;
      fc.assert(
        fc.property(fc.array(step, { minLength: 1, maxLength: 40 }), (steps) => {
          const mirror = new Int32Array(new SharedArrayBuffer(16));
          m.words.fill(0, last, last + 4);
          for (const [which, index, a, b] of steps) {
            const operation = OPERATIONS[which] as Operation;
            expect(operation(wasm, m.words, last + index, a, b)).toBe(operation(words, mirror, index, a, b));
          }
          expect([...m.words.subarray(last, last + 4)]).toEqual([...mirror]);
        }),
        { numRuns: 50 },
      );
    }
  });

  it('are only those of the machine', () => {
    wasm.bindWords(shared);
    expect(() => wasm.readOnce(shared.words, -1)).toThrow(/bounds/);
  });
});
