/** Schedule files: what is written can be read, replays exactly, and whatever else is refused with its place. */
import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { minimise } from '#src/engine/one-thread/minimise.js';
import { END_MISMATCH, END_VIOLATION, OneThread } from '#src/engine/one-thread/one-thread.js';
import { pinVsWriteProtect, pinVsWriteProtectBuggy } from '#src/engine/programs/pin-vs-write-protect.js';
import {
  type Schedule,
  formatSchedule,
  fromRuns,
  hashText,
  parseSchedule,
  toRuns,
} from '#src/engine/one-thread/schedule-file.js';
import { ScheduleSyntaxError } from '#src/errors/errors.js';
import { strategyKind } from '#src/engine/strategies/index.js';
import { ExactScript } from '#src/engine/strategies/script.js';

const SCHEDULE: Schedule = {
  scenario: 'pin-vs-write-protect-buggy',
  policy: 'classic',
  seed: 7,
  variation: 0,
  strategy: 'random',
  hash: '5b2c01d9',
  stepsMax: 1000,
  end: 'violation I-RO',
  actors: ['ksmd', 'gup', 'vcpu'],
  choices: Uint8Array.from([1, 0, 0, 0, 0, 2, 2, 0]),
};
const TEXT = `pinfall.schedule/1
scenario: pin-vs-write-protect-buggy
policy: classic
seed: 7
variation: 0
strategy: random
hash: 5b2c01d9
steps_max: 1000
end: violation I-RO
steps: 8
actors: ksmd gup vcpu

1 0*4 2*2 0
`;

/** What a text is refused with. */
function refusal(text: string): string {
  try {
    parseSchedule(text);
  } catch (error) {
    if (error instanceof ScheduleSyntaxError) return error.message;
    throw error;
  }
  return 'accepted';
}

/** The first schedule of the buggy twin that breaks it. */
function broken(seed = 1): { thread: OneThread; choices: Uint8Array } {
  const thread = new OneThread(pinVsWriteProtectBuggy(), 1000);
  const strategy = strategyKind('random')?.create({ seed, depth: 1 });
  for (let schedule = 0; schedule < 5000; schedule++) {
    strategy?.begin(schedule, 3);
    if (strategy !== undefined && thread.run(strategy, 0) === END_VIOLATION) {
      return { thread, choices: thread.choices.slice(0, thread.steps) };
    }
  }
  throw new Error('the buggy twin did not break');
}

function exact(thread: OneThread, choices: Uint8Array): ExactScript {
  const script = new ExactScript().load(choices, choices.length);
  script.begin();
  thread.run(script, 0);
  return script;
}

describe('the text', () => {
  test('is plain, versioned, run-length encoded', () => {
    expect(formatSchedule(SCHEDULE)).toBe(TEXT);
    expect(parseSchedule(TEXT)).toEqual(SCHEDULE);
    expect(parseSchedule(TEXT.replaceAll('\n', '\r\n'))).toEqual(SCHEDULE);
  });

  test('reads back as it was written, for any schedule', () => {
    const choice = fc.integer({ min: 0, max: 199 });
    fc.assert(
      fc.property(fc.array(fc.tuple(choice, fc.integer({ min: 1, max: 300 })), { maxLength: 80 }), (runs) => {
        const choices = fromRuns(runs.map(([actor, steps]) => ({ actor, steps })));
        const actors = Array.from({ length: 200 }, (_, actor) => `actor${actor}`);
        const text = formatSchedule({ ...SCHEDULE, actors, choices, stepsMax: 100_000 });
        expect([...parseSchedule(text).choices]).toEqual([...choices]);
        for (const line of text.split('\n').slice(12)) expect(line.length).toBeLessThanOrEqual(100);
      }),
      { numRuns: 100 },
    );
  });

  test('runs and choices are the same thing', () => {
    expect(toRuns(SCHEDULE.choices)).toEqual([
      { actor: 1, steps: 1 },
      { actor: 0, steps: 4 },
      { actor: 2, steps: 2 },
      { actor: 0, steps: 1 },
    ]);
    expect(fromRuns(toRuns(SCHEDULE.choices))).toEqual(SCHEDULE.choices);
  });

  test('its hash tells plans apart', () => {
    expect(hashText('')).toBe('811c9dc5');
    expect(hashText('{"frames":16}')).not.toBe(hashText('{"frames":17}'));
  });
});

describe('what is refused', () => {
  test.each([
    ['', "line 1: expected 'pinfall.schedule/1', got ''"],
    [TEXT.replace('schedule/1', 'schedule/2'), "line 1: expected 'pinfall.schedule/1', got 'pinfall.schedule/2'"],
    [TEXT.replace('policy: classic\n', ''), "line 3: expected 'policy: ...', got 'seed: 7'"],
    [TEXT.replace('seed: 7', 'seed: -7'), "line 4: seed: expected a whole number from 0 to 4294967295, got '-7'"],
    [
      TEXT.replace('seed: 7', 'seed: 4294967296'),
      "line 4: seed: expected a whole number from 0 to 4294967295, got '4294967296'",
    ],
    [TEXT.replace('5b2c01d9', 'xyz'), "line 7: hash: expected 8 hexadecimal digits, got 'xyz'"],
    [TEXT.replace('steps: 8', 'steps: 2000'), "line 10: steps: expected a whole number from 0 to 1000, got '2000'"],
    [TEXT.replace('ksmd gup vcpu', ''), "line 11: actors: expected names with one space between them, got ''"],
    [TEXT.replace('2*2', '3*2'), "line 13: expected an actor from 0 to 2 or actor*steps, got '3*2'"],
    [TEXT.replace('2*2', '2*0'), "line 13: expected an actor from 0 to 2 or actor*steps, got '2*0'"],
    [TEXT.replace('2*2', 'x'), "line 13: expected an actor from 0 to 2 or actor*steps, got 'x'"],
    [TEXT.replace('2*2', '2*3'), 'line 13: more steps than the 8 that the header names'],
    [TEXT.replace('2*2', '2'), 'line 14: expected 8 steps, got 7'],
    [TEXT.slice(0, TEXT.indexOf('d: 7')), "line 4: expected 'seed: ...', got 'see'"],
  ])('%#', (text, message) => {
    expect(refusal(text)).toBe(message);
  });

  test('random bytes, with one short printable line', () => {
    for (let i = 0; i < 50; i++) {
      const message = refusal(randomBytes(4096).toString('utf8'));
      expect(message).toMatch(/^line 1: expected 'pinfall.schedule\/1', got '[ -~]{0,27}'$/);
    }
  });

  test('any damage to a file is refused or gives another valid schedule, never another error', () => {
    fc.assert(
      fc.property(fc.nat(TEXT.length), fc.nat(20), fc.string(), (at, length, insert) => {
        const message = refusal(TEXT.slice(0, at) + insert + TEXT.slice(at + length));
        expect(message).toMatch(/^(accepted$|line \d+: )/);
      }),
      { numRuns: 500 },
    );
  });
});

describe('replay', () => {
  test('is exact, through the file', () => {
    const { thread, choices } = broken();
    const text = formatSchedule({ ...SCHEDULE, choices, end: thread.endText });
    exact(thread, parseSchedule(text).choices);
    expect([thread.end, thread.steps, thread.endText]).toEqual([END_VIOLATION, choices.length, 'violation I-RO']);
    expect(thread.choices.slice(0, thread.steps)).toEqual(choices);
  });

  test('stops at the step that does not fit, and says who was wanted there', () => {
    const { choices } = broken();
    // gup of the correct model waits for the PTL where that of the buggy one does not
    const thread = new OneThread(pinVsWriteProtect(), 1000);
    const held = Uint8Array.from([0, 0, 0, 0, 0, 1, 1]);
    const script = exact(thread, held);
    expect([thread.end, thread.steps, script.wanted]).toEqual([END_MISMATCH, 6, 1]);
    exact(thread, choices);
    expect(thread.end).toBe(END_MISMATCH);
  });

  test('a record that ends too early does not fit either', () => {
    const { thread, choices } = broken();
    const script = exact(thread, choices.slice(0, 10));
    expect([thread.end, thread.steps, script.wanted]).toEqual([END_MISMATCH, 10, -1]);
  });
});

describe('the minimiser', () => {
  test('keeps the end and needs three switches for a bug of two orderings', () => {
    // gup reads the PTE | ksmd does all its work | gup takes its reference: three runs, and the vCPU's own one
    for (let seed = 1; seed <= 10; seed++) {
      const { thread, choices } = broken(seed);
      const least = minimise(thread, 0, choices, thread.endText);
      exact(thread, least);
      expect(thread.endText).toBe('violation I-RO');
      expect(toRuns(least).length).toBeLessThanOrEqual(4);
      expect(toRuns(least).length).toBeLessThanOrEqual(toRuns(choices).length);
    }
  });

  test('keeps within its budget, and is the same twice', () => {
    const { thread, choices } = broken(5);
    const once = minimise(thread, 0, choices, 'violation I-RO', { triesMax: 3, stepsMax: 1000 });
    const twice = minimise(thread, 0, choices, 'violation I-RO', { triesMax: 3, stepsMax: 1000 });
    expect(once).toEqual(twice);
    expect(minimise(thread, 0, choices, 'violation I-RO', { triesMax: 0, stepsMax: 1000 })).toEqual(choices);
  });

  test('leaves a schedule that does not break alone', () => {
    const thread = new OneThread(pinVsWriteProtect(), 1000);
    const choices = Uint8Array.from([0, 1, 2]);
    expect(minimise(thread, 0, choices, 'violation I-RO')).toEqual(choices);
  });
});
