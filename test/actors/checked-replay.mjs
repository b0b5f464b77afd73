// Schedules of a replaying guest with all actors under the checking build; prints what it accuses, as JSON.
//   node --conditions=pinfall-checked test/actors/checked-replay.mjs SCENARIO POLICY SCHEDULES
import { describeWord } from '#src/machine/layout/describe.js';
import { PlanProgram } from '#src/engine/one-thread/plan-program.js';
import { END_NAMES, OneThread } from '#src/engine/one-thread/one-thread.js';
import { random } from '#src/engine/strategies/random.js';
import { makePlan } from '#src/lab/scenario/plan.js';
import { loadScenario } from '#src/lab/scenario/scenario.js';
import { beginStep, endStep, resetMachine, setMachine, violations } from '#src/machine/words/words-checked.js';
import * as words from '#words';

if (!('beginStep' in words)) {
  process.stderr.write('run with --conditions=pinfall-checked\n');
  process.exit(2);
}
const [path, policy, schedules] = process.argv.slice(2);
const program = new PlanProgram(makePlan(loadScenario(path), { policy, seed: 1 }));
const thread = new OneThread(program, 100_000);
setMachine(program.machine);
thread.observer = {
  beforeStep(actor, effect, step) {
    if (step === 0 && actor === 0) resetMachine();
    beginStep(effect, actor);
  },
  afterStep: endStep,
};
const choose = random.create({ seed: 1, depth: 3, stepsMax: 100_000, actors: program.actors.length });
const ends = {};
const breaches = [];
for (let i = 0; i < Number(schedules); i++) {
  choose.begin(i);
  const end = END_NAMES[thread.run(choose, i)];
  endStep();
  ends[end] = (ends[end] ?? 0) + 1;
  for (const { invariant, what } of thread.breaches) breaches.push(`${invariant} ${what}`);
}
const accused = violations().map(({ what, word, site }) => `${site}: ${what}: ${describeWord(program.machine, word)}`);
process.stdout.write(JSON.stringify({ ends, breaches, accused }));
