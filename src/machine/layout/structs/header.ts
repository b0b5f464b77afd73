/** What all workers look at, and what litmus tests keep in the machine. */
import { lockFree, ours, struct } from '../row.js';
import { LINE, MEETINGS, SCRATCH_WORDS, LITMUS_REGISTERS, STORE_BUFFERS, STORE_BUFFER_SLOTS } from '../values.js';

const storeBuffer = struct({
  id: 'STORE_BUFFER',
  doc: 'Stores of one CPU that wait, in modelled time, to reach memory.',
  called: (_, cpu) => `store buffer of CPU ${cpu}`,
  words: 2 + 2 * STORE_BUFFER_SLOTS,
  fields: [
    ours('STORE_BUFFER_STORED', 0, 'stores put in', lockFree, 'How many stores the CPU has put in.'),
    ours('STORE_BUFFER_DRAINED', 1, 'stores that have left', lockFree, 'How many of them are in memory.'),
    ours('STORE_BUFFER_ENTRIES', 2, 'entry', lockFree, "Pairs of a scratch word's number and what it shall hold.", {
      words: 2 * STORE_BUFFER_SLOTS,
    }),
  ],
});

const scratch = (first: number): string[] =>
  Array.from({ length: SCRATCH_WORDS / 2 }, (_, n) => `scratch word ${first + 2 * n}`);

export const header = struct({
  id: 'HDR',
  doc: 'What all workers look at, and what litmus tests keep',
  called: () => '',
  words: 3 * LITMUS_REGISTERS + STORE_BUFFERS * storeBuffer.words,
  fields: [
    ours('HDR_PHASE', 16, 'phase', lockFree, "What the machine's workers shall do: PHASE_*."),
    ours('HDR_ABORT', 32, 'abort', lockFree, 'Set once by the first violation that ends a run, or by a dead worker.'),
    ours('HDR_CONTROL_SEQ', 48, 'control sequence', lockFree, 'Grows with every spawn, retire or knob change.'),
    ours('HDR_GENERATION', 64, 'generation', lockFree, 'Bumped when an mm or VM is torn down (statistics only).'),
    ours('HDR_LOCK_TICKETS', 65, 'lock tickets', lockFree, 'Numbers of actors that queue for locks (locks/queue.ts).'),
    ours(
      'HDR_GHOST_PINS',
      80,
      'returned pins',
      lockFree,
      'Stands for the pins that have been returned, which oracles keep in ledgers of their own: never written, but named by steps that ' +
        'change them or are judged by them (machine/words/extra-accesses.ts), so that exhaustive search does not take their order for nothing.',
    ),
    ours(
      'HDR_MEETINGS',
      81,
      'arrivals at meeting',
      lockFree,
      'How many actors of a litmus test have come to the first, second, ... place where they meet on real threads.',
      { words: MEETINGS },
    ),
    ours('HDR_SCRATCH', 96, 'scratch word', lockFree, 'Scratch words of litmus tests, the even ones.', {
      words: SCRATCH_WORDS / 2,
      parts: scratch(0),
    }),
    ours('HDR_STORE_BUFFER', 104, 'store buffering', lockFree, '1 while plain stores to scratch words are buffered.'),
    ours('HDR_SCRATCH_ODD', 96 + LINE, 'scratch word', lockFree, 'The odd scratch words, on a line of their own.', {
      words: SCRATCH_WORDS / 2,
      parts: scratch(1),
    }),
    ours('HDR_REGISTERS', 128, 'register', lockFree, "Results of a litmus test's operations, each by its actor.", {
      words: LITMUS_REGISTERS,
    }),
    ours(
      'HDR_GIVEN_BACK',
      128 + LITMUS_REGISTERS,
      'reference given back from register',
      lockFree,
      'For each register 1 when the reference that it holds has been given back, which oracles look at.',
      { words: LITMUS_REGISTERS },
    ),
    ours('HDR_STORE_BUFFERS', 128 + 2 * LITMUS_REGISTERS, 'store buffer', lockFree, 'The modelled buffers, by CPU.', {
      words: STORE_BUFFERS * storeBuffer.words,
      element: storeBuffer,
    }),
  ],
});
