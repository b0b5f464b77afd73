/** What a CPU has: lists, its request slot, its TLB. */
import { constant, field, lock, lockFree, ours, own, owners, struct, turn } from '../row.js';
import { LINE, MAIL_ARGS_MAX } from '../values.js';

const mailbox = struct({
  id: 'MAIL',
  doc: "The request slot for hypercalls: the caller's, but while it is posted the server's (machine/mailbox.ts).",
  called: () => 'request slot',
  words: LINE,
  fields: [
    ours('MAIL_STATE', 0, 'state', lockFree, 'MAIL_EMPTY, MAIL_POSTED, MAIL_DONE.'),
    ours('MAIL_LAMPORT', 1, 'Lamport time of the request', turn, 'When it was posted or answered.'),
    ours('MAIL_FUNCTION', 2, 'hypercall', turn, 'The function asked for.'),
    ours('MAIL_ARGS', 3, 'argument', turn, 'Its arguments.', { words: MAIL_ARGS_MAX }),
    ours('MAIL_RESULT', 11, 'result', turn, 'What it answers.'),
    ours('MAIL_VCPU', 13, 'vCPU of the request', turn, 'The vCPU that is loaded on the CPU.'),
  ],
});

export const cpu = struct({
  id: 'CPU',
  doc: 'Per-CPU lists, LRU batch, request slot',
  called: (_, n) => `CPU ${n}`,
  words: 256,
  fields: [
    ours(
      'CPU_IN_USE',
      0,
      'translated access',
      lockFree,
      'Odd while inside a translated access (host or guest); a lock word in protocol: the TLBI issuer waits on it.',
    ),
    ours(
      'CPU_IRQS_OFF',
      16,
      'interrupts off',
      lockFree,
      "Non-zero while interrupts are off in GUP-fast; LK10's IPI waits on it.",
    ),
    lock('CPU_LRU_LOCK', 32, 'LRU batch lock', 'The LRU-add batch (folio_batch of lru_add).', {
      kernel: 'cpu_fbatches.lock',
    }),
    field('CPU_LRU_COUNT', 34, 'LRU batch', own, 'Folios in the batch.', { kernel: 'lru_add.nr' }),
    field('CPU_LRU_PFNS', 35, 'LRU batch entry', lockFree, 'Their pfns.', {
      kernel: 'lru_add.folios',
      words: 31,
      publishes: 'pfn',
    }),
    field(
      'CPU_PCP_HEAD',
      80,
      'free list of node',
      own,
      'Per-CPU free lists (private to the CPU): order-0 head + 1 per node.',
      { kernel: 'per_cpu_pages.lists', words: 8 },
    ),
    field('CPU_PCP_COUNT', 88, 'free list count of node', own, 'Frames on them.', {
      kernel: 'per_cpu_pages.count',
      words: 8,
    }),
    field('CPU_NODE', 96, 'node', constant, 'The NUMA node that it belongs to.', { kernel: 'numa_node' }),
    ours(
      'CPU_EL2',
      97,
      "EL2's CPU",
      constant,
      'The CPU of the EL2 instance that serves this one, + 1; 0 = hypercalls run in place.',
    ),
    ours('CPU_MAILBOX', 112, 'request slot', turn, 'The request slot for hypercalls: see mailbox.ts.', {
      words: LINE,
      element: mailbox,
    }),
    ours('CPU_BELL', 128, 'server bell', lockFree, 'The bell of the server that runs on the CPU: posts so far.'),
  ],
});

export const tlb = struct({
  id: 'TLB',
  // hardware: its agent's look at an entry is one step
  doc: 'TLB entries: tag and value (machine/tlb.ts)',
  called: (m, entry) => `TLB entry ${entry & m.tlbMask} of CPU ${Math.trunc(entry / (m.tlbMask + 1))}`,
  words: 2,
  fields: [
    ours('TLB_TAG', 0, 'tag', owners, 'What it translates, or 0.'),
    ours('TLB_VALUE', 1, 'value', owners, 'Where to.'),
  ],
});
