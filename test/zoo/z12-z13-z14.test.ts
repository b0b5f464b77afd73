/** Pins against fork and copy-on-write: each bug is found, the kernel that it is planted in is clean. */
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { searchWhole } from '#src/engine/exhaustive/driver.js';
import { FOLL_LONGTERM, FOLL_WRITE, VM_EXEC, VM_READ } from '#src/machine/abi.js';
import { compileLitmus } from '#src/lab/litmus/compile.js';
import { LitmusProgram } from '#src/lab/litmus/program.js';
import { readLitmus } from '#src/lab/litmus/subject.js';
import { bugById } from '#src/zoo/index.js';
import { type HandMade, call, explore } from './litmus-plan.js';

const MACHINE = { mms: 2 };
const WRITTEN = call('write', [0, 0, 1]);

/** The child shares the page already, pins it for reading and lets go of it, while the parent writes. */
const READ_PIN: HandMade = {
  machine: MACHINE,
  pages: 1,
  init: [WRITTEN, call('fork', [1])],
  columns: [
    { mm: 0, calls: [call('write', [0, 0, 2], 0)] },
    {
      mm: 1,
      calls: [call('pin', [1, 0, 0], 1), call('munmap', [1, 0, 1], 2), call('pin_read', [1], 3)],
    },
  ],
};

/**
 * A thread of the parent pins the page and writes it, while another forks. Its faults in another VMA take as long as fork's
 * beginnings.
 */
const PIN_AND_FORK: HandMade = {
  machine: MACHINE,
  pages: 1,
  init: [WRITTEN, call('mmap', [0, 2, 2, VM_READ | VM_EXEC])],
  columns: [
    { mm: 0, calls: [call('fork', [1], 0)] },
    {
      mm: 0,
      calls: [
        call('read', [0, 2], 3),
        call('read', [0, 3], 4),
        call('pin_fast', [0, 0, FOLL_WRITE | FOLL_LONGTERM], 1),
        call('write', [0, 0, 2], 2),
      ],
    },
  ],
};

/** A process pins, forks and writes, while another thread reads. */
const PIN_THEN_FORK: HandMade = {
  machine: MACHINE,
  pages: 1,
  init: [WRITTEN],
  columns: [
    {
      mm: 0,
      calls: [
        call('pin', [0, 0, FOLL_WRITE | FOLL_LONGTERM], 0),
        call('fork', [1], 1),
        call('write', [0, 0, 2], 2),
        call('pin_write', [0, 3], 3),
      ],
    },
    { mm: 0, calls: [call('read', [0, 0], 4)] },
  ],
};

/** All executions of a litmus test: whether that is proved, and how they end. */
const search = (source: string): [proved: boolean, ends: Set<string>] => {
  const { test, mistakes } = compileLitmus(source, {});
  if (test === null) throw new Error(JSON.stringify(mistakes));
  const ends = new Set<string>();
  const { exhaustive } = searchWhole(new LitmusProgram(test), {
    onExecution: ({ breaches, endText }) => ends.add(breaches[0]?.invariant ?? endText),
  });
  return [exhaustive, ends];
};

describe.each([
  ['Z12', READ_PIN],
  ['Z13', PIN_AND_FORK],
  ['Z14', PIN_THEN_FORK],
] as const)('%s', (id, made) => {
  const bug = bugById(id);

  it.each(['random', 'pct'] as const)('is found by %s', (strategy) => {
    for (let seed = 1; seed <= 3; seed++) {
      const { schedule, invariant } = explore(made, id, strategy, 4000, seed);
      expect(schedule).toBeGreaterThan(0);
      expect(bug?.expect).toContain(invariant);
    }
  });

  it.each(['random', 'pct'] as const)('is not in the kernel that it is planted in: %s', (strategy) => {
    const { schedule, what, ends } = explore(made, bug?.policy ?? '', strategy, 1000);
    expect([schedule, what]).toEqual([0, '']);
    expect(Object.keys(ends)).toEqual(['finished']);
  });

  it('is found in its litmus file by exhaustive search, which proves the kernel without it clean', () => {
    const text = readLitmus(bug?.litmus ?? '', fileURLToPath(new URL('../../src/zoo/litmus/', import.meta.url)));
    const [, ends] = search(text);
    expect([...ends].filter((end) => end !== 'finished')).toEqual(bug?.expect);
    expect(search(text.replace(/^bug .*\nexpect .*\n/m, ''))).toEqual([true, new Set(['finished'])]);
  });
});
