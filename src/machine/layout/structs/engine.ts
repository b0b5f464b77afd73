/** What the engine keeps of its workers and actors. */
import { field, lockFree, ours, own, struct } from '../row.js';
import { LINE, SRCU_NESTED, HELD_MAX } from '../values.js';

export const worker = struct({
  id: 'WORKER',
  doc: 'Doorbells and signs of life',
  called: (_, n) => `worker ${n}`,
  words: LINE,
  fields: [
    ours(
      'WORKER_DOORBELL',
      0,
      'doorbell',
      lockFree,
      'Rung by whoever changes a word that the worker waits for; the worker sleeps only on this.',
    ),
    ours(
      'WORKER_PARKED',
      1,
      'parked',
      lockFree,
      'Not 0 while the worker touches no memory before it has looked at HDR_PHASE again (values: engine/machine/phase.ts).',
    ),
    ours(
      'WORKER_DRAINED',
      2,
      'drained',
      lockFree,
      "The drain or finish command (HDR_PHASE's value) for which all its actors stand still.",
    ),
    ours('WORKER_CURRENT', 3, 'actor that runs', lockFree, 'The actor running now + 1, or 0.'),
    ours('WORKER_SLICES', 4, 'slices', lockFree, "Slices run; the watchdog's and the control plane's sign of life."),
    ours(
      'WORKER_TIME',
      5,
      'Lamport time',
      lockFree,
      'The newest Lamport time of its actors, low 32 bits, as of its last slice: workers keep their clocks together by it.',
    ),
  ],
});

export const waitEntry = struct({
  id: 'WAIT',
  doc: 'Registered sleepers, by a hash of the word waited for',
  called: (_, n) => `wait queue ${n}`,
  words: 1,
  fields: [ours('WAIT_SLEEPERS', 0, 'sleepers', lockFree, 'Workers that sleep for a word of this hash, a bit each.')],
});

export const actor = struct({
  id: 'ACTOR',
  doc: 'What each actor does: written by the worker that hosts it, read by reports',
  called: (_, n) => `actor ${n}`,
  words: 1280,
  fields: [
    ours('ACTOR_STATE', 0, 'state', lockFree, 'Whether it runs, waits, sleeps or has ended.'),
    ours('ACTOR_KIND', 1, 'kind', lockFree, 'Its kind, as a number.'),
    ours('ACTOR_OPERATION', 2, 'operation', lockFree, 'The operation under way: an OP_* code, for reports.'),
    ours('ACTOR_EFFECT', 3, 'effect', lockFree, 'The last effect yielded.'),
    ours('ACTOR_WAIT_KIND', 4, 'kind of wait', lockFree, 'How it waits.'),
    ours('ACTOR_WAIT_WORD', 5, 'word waited for', lockFree, 'The word that it waits for.'),
    ours('ACTOR_WAIT_VALUE', 6, 'value waited on', lockFree, 'What that word held.'),
    ours('ACTOR_STEPS', 7, 'steps', lockFree, 'Resumes of this actor, low 32 bits.'),
    ours(
      'ACTOR_PROGRESS',
      8,
      'progress',
      lockFree,
      "Grows whenever the actor completes something: the watchdog's and I-LIVE's sign of progress.",
    ),
    ours('ACTOR_WORKER', 9, 'worker', lockFree, 'The worker that hosts it.'),
    ours('ACTOR_HELD_COUNT', 10, 'locks held', lockFree, 'Locks in ACTOR_HELD.'),
    ours('ACTOR_RETRIES', 11, 'count of retries', lockFree, 'Retries since the last progress (I-LIVE).'),
    field('ACTOR_PREEMPT_COUNT', 12, 'preempt_count', lockFree, 'Atomic sections that it is inside.'),
    ours(
      'ACTOR_QUEUED_FOR',
      13,
      'lock queued for',
      lockFree,
      'The lock word that it queues for, or 0 (locks/queue.ts).',
    ),
    ours('ACTOR_TICKET', 14, 'ticket', lockFree, 'Its number in that queue.'),
    ours(
      'ACTOR_SRCU',
      16,
      'SRCU section',
      lockFree,
      'Reader counts (word indices) of the SRCU sections that it is inside, the outer one first: for reports.',
      { words: SRCU_NESTED },
    ),
    ours('ACTOR_HELD', 20, 'held lock', lockFree, 'Held locks: pairs of (lock word, class << 4 | mode).', {
      words: 2 * HELD_MAX,
    }),
  ],
});

/** Counters of an actor: what stands where is the table of machine/stats.ts, which the names of words follow. */
export const stats = struct({
  id: 'STATS',
  doc: 'Counters, histograms',
  called: (_, n) => `actor ${n}`,
  words: 2048,
  fields: [ours('STATS_COUNTERS', 0, 'statistics word', own, 'See machine/stats.ts.', { words: 2048 })],
});
