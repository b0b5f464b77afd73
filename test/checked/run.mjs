// Runs one-thread schedules of the core kernel under the checking build and prints what the schedule points miss, as JSON.
//   node --conditions=pinfall-checked test/checked/run.mjs POLICY SCHEDULES [SEED] [random|pct] [VARIANT]
import { PlanProgram } from '#src/engine/one-thread-plan.js';
import { END_EXCEPTION, END_NAMES, OneThread } from '#src/engine/one-thread.js';
import { pct } from '#src/engine/strategies/pct.js';
import { random } from '#src/engine/strategies/random.js';
import { describeWord } from '#src/engine/describe-word.js';
import { EFFECT_NAMES, effectKind, effectWord } from '#src/machine/effects.js';
import { beginStep, endStep, resetMachine, setMachine, violations } from '#src/machine/words-checked.js';
import * as words from '#words';
import { smallPlan } from './plan.mjs';

if (!('beginStep' in words)) {
  process.stderr.write('run with --conditions=pinfall-checked\n');
  process.exit(2);
}
const [policy = 'classic', schedules = '50', seed = '1', strategy = 'random', variant = 'pairs'] = process.argv.slice(2);
const program = new PlanProgram(smallPlan(policy, Number(seed), variant));
const thread = new OneThread(program, 50_000);
setMachine(program.machine);
thread.observer = {
  beforeStep(actor, effect, step) {
    // every schedule begins with the start of actor 0, on a machine that was set back
    if (step === 0 && actor === 0) resetMachine();
    beginStep(effect, actor);
  },
  afterStep: endStep,
};
const kind = strategy === 'pct' ? pct : random;
const choose = kind.create({ seed: Number(seed), depth: 3, stepsMax: 50_000, actors: program.actors.length });
const ends = {};
const breaches = new Map();
let steps = 0;
for (let i = 0; i < Number(schedules); i++) {
  choose.begin(i);
  const end = thread.run(choose, i);
  endStep();
  steps += thread.steps;
  ends[END_NAMES[end]] = (ends[END_NAMES[end]] ?? 0) + 1;
  if (end === END_EXCEPTION) breaches.set(String(thread.error?.stack ?? thread.error), i);
  for (const { invariant, what } of thread.breaches) breaches.set(`${invariant} ${what}`, i);
}
const accesses = violations().map(({ what, actor, word, effect, site }) => ({
  what,
  actor: program.actors[actor],
  word: describeWord(program.machine, word),
  declared: `${EFFECT_NAMES[effectKind(effect)]} ${describeWord(program.machine, effectWord(effect))}`,
  site,
}));
process.stdout.write(`${JSON.stringify({ ends, steps, breaches: [...breaches.keys()], accesses })}\n`);
