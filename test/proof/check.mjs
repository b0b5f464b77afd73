// Searches litmus files on a kernel with one mutant, and runs random schedules of them beside it. What a search calls proved must have
// all that these come to, and neither must have made an access that nothing orders. Prints JSON.
//   MUTANT=... node --import test/proof/register.mjs test/proof/check.mjs EXECUTIONS SCHEDULES FILE...
import { readFileSync } from 'node:fs';
import { ExhaustiveRun } from '#src/engine/exhaustive/driver.js';
import { END_VIOLATION, OneThread } from '#src/engine/one-thread/one-thread.js';
import { STRATEGIES } from '#src/engine/strategies/index.js';
import { compileLitmus } from '#src/lab/litmus/compile.js';
import { LitmusProgram } from '#src/lab/litmus/program.js';

const [executions, schedules, ...files] = process.argv.slice(2);
const results = files.map((file) => {
  globalThis.__reached = new Set();
  const { test } = compileLitmus(readFileSync(file, 'utf8'));
  if (test === null) return { file, skipped: true };
  try {
    return Object.assign(check(test), { file, reached: process.env.MUTANT ? [] : [...globalThis.__reached] });
  } catch (error) {
    // a kernel that cannot boot proves nothing
    return { file, threw: String(error?.stack ?? error) };
  }
});
process.stdout.write(JSON.stringify(results));

function check(test) {
  const searched = search(new LitmusProgram(test));
  const tried = walk(new LitmusProgram(test));
  const missing = [...tried.outcomes].filter((each) => !searched.outcomes.has(each));
  const { proved, counts, undeclared } = searched;
  const wrong = proved && (missing.length > 0 || tried.undeclared.length > 0);
  return { proved, wrong, executions: counts.executions, missing, undeclared, tried: tried.undeclared };
}

/** What an exhaustive search finds: outcomes, and what can be broken first. */
function search(program) {
  const outcomes = new Set();
  const run = new ExhaustiveRun(program, {
    executionsMax: Number(executions),
    stepsMax: 3000,
    onExecution: (thread, firsts) => {
      if (firsts.length === 0) outcomes.add(outcomeOf(thread));
      for (const { index } of firsts) outcomes.add(`violation ${thread.breaches[index].invariant}`);
    },
  });
  let end = '';
  while (end === '') end = run.slice(Infinity);
  const result = run.result(end);
  const undeclared = run.thread.undeclared.list.map(({ breach }) => breach.what);
  return { proved: result.exhaustive, counts: result, outcomes, undeclared };
}

/** What random schedules come to. */
function walk(program) {
  const outcomes = new Set();
  const thread = new OneThread(program, 3000);
  for (const name of ['random', 'pct']) {
    const strategy = STRATEGIES.find((each) => each.name === name).create({ seed: 1, depth: 3 });
    for (let i = 0; i < Number(schedules) / 2; i++) {
      if (!strategy.begin(i, program.actors.length)) break;
      thread.run(strategy, 0);
      outcomes.add(outcomeOf(thread));
    }
  }
  return { outcomes, undeclared: thread.undeclared.list.map(({ breach }) => breach.what) };
}

/** The final state, or the rule that was broken first. */
function outcomeOf(thread) {
  const [first] = thread.breaches;
  const isAnswer = first?.answer === true;
  return thread.end === END_VIOLATION && !isAnswer ? `violation ${first?.invariant}` : thread.outcomeText;
}
