/**
 * A program that its choices do not decide: what it does depends on how often it ran in this process. Plain JavaScript, so
 * that worker threads can load it as it is.
 */
import { explainTiny, tinyState } from '#src/engine/programs/tiny-lock.js';
import { reads, writes } from '#src/machine/effects.js';

let runs = 0;

function* one() {
  yield reads(1);
  yield runs % 2 === 0 ? reads(1) : writes(2);
}

export function program() {
  const state = tinyState(8, 1);
  const made = {
    name: 'fickle',
    actors: ['one'],
    words: state.words,
    clocks: null,
    deep: false,
    alarm: { violations: [] },
    tierOf: () => 0,
    reset: () => {
      runs++;
    },
    start: () => one(),
    waitValue: () => 0,
    finish: () => {},
    recordEvents: () => false,
    audit: () => [],
    observe: () => 0,
    finalState: () => ({ words: 'done', held: [], known: [] }),
    describe: (word) => ['', 'a', 'b'][word] ?? '',
    explain: (waiting) => explainTiny(made, waiting),
  };
  return made;
}
