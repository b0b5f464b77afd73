// Runs one-thread schedules of the core kernel under the checking build and prints what the schedule points miss, as JSON.
//   node --conditions=pinfall-checked test/checked/run.mjs POLICY SCHEDULES [SEED] [random|pct] [VARIANT]
import { kvmSetMemslot } from '#src/kvm/vm.js';
import { Context } from '#src/machine/context.js';
import { KVM_MEM_LOG_DIRTY_PAGES } from '#src/machine/abi.js';
import { NO_EVENTS } from '#src/events/ring.js';
import { assignEl2 } from '#src/kvm/call-hyp.js';
import { exitMmap } from '#src/mm/exit.js';
import { MADV_HUGEPAGE, MADV_NOHUGEPAGE, MADV_UNMERGEABLE, madvise } from '#src/mm/madvise/madvise.js';
import { mmapRegion } from '#src/mm/vma/mmap.js';
import { munmap } from '#src/mm/vma/munmap.js';
import { resolveKernel } from '#src/engine/machine/kernel.js';
import { PlanProgram } from '#src/engine/one-thread/plan-program.js';
import { END_EXCEPTION, END_NAMES, OneThread } from '#src/engine/one-thread/one-thread.js';
import { pct } from '#src/engine/strategies/pct.js';
import { random } from '#src/engine/strategies/random.js';
import { describeWord } from '#src/machine/layout/describe.js';
import { EFFECT_NAMES, effectKind, effectWord } from '#src/machine/effects.js';
import { beginStep, endStep, resetMachine, setMachine, violations } from '#src/machine/words/words-checked.js';
import * as words from '#words';
import { smallPlan } from './plan.mjs';

if (!('beginStep' in words)) {
  process.stderr.write('run with --conditions=pinfall-checked\n');
  process.exit(2);
}
const [policy = 'classic', schedules = '50', seed = '1', strategy = 'random', variant = 'pairs'] =
  process.argv.slice(2);
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
const choose = kind.create({ seed: Number(seed), depth: 3 });
const ends = {};
const breaches = new Map();
let steps = 0;
for (let i = 0; i < Number(schedules); i++) {
  choose.begin(i, program.actors.length);
  const end = thread.run(choose, i);
  endStep();
  steps += thread.steps;
  ends[END_NAMES[end]] = (ends[END_NAMES[end]] ?? 0) + 1;
  if (end === END_EXCEPTION) breaches.set(String(thread.error?.stack ?? thread.error), i);
  for (const { invariant, what } of thread.breaches) breaches.set(`${invariant} ${what}`, i);
  if (END_NAMES[end] === 'finished') afterlife();
}

// What no actor does: memslots and mappings change, guest and process end. Alone, as nobody is left; EL2 runs in place.
function afterlife() {
  const m = program.machine;
  assignEl2(m, []);
  const ctx = new Context(m, resolveKernel(policy), program.probe, NO_EVENTS, 0, 0, 1);
  ctx.quantum = 0;
  ctx.tick = 0;
  const run = (coroutine) => {
    let effect = 5;
    for (;;) {
      beginStep(effect, 0);
      const step = coroutine.next();
      endStep();
      if (step.done) return;
      effect = step.value;
      ctx.quantum = 0;
    }
  };
  run(kvmSetMemslot(ctx, 0, 0, 0, 8, 0, KVM_MEM_LOG_DIRTY_PAGES));
  run(madvise(ctx, 0, 1, 3, MADV_UNMERGEABLE));
  run(madvise(ctx, 0, 1, 3, MADV_NOHUGEPAGE));
  run(madvise(ctx, 0, 0, 8, MADV_HUGEPAGE));
  run(munmap(ctx, 0, 5, 7));
  run(mmapRegion(ctx, 0, 5, 1, 3));
  run(ctx.kernel.kvmDestroyVm(ctx, 0));
  run(exitMmap(ctx, 0));
}
const accesses = violations().map(({ what, actor, word, effect, site }) => ({
  what,
  actor: program.actors[actor],
  word: describeWord(program.machine, word),
  declared: `${EFFECT_NAMES[effectKind(effect)]} ${describeWord(program.machine, effectWord(effect))}`,
  site,
}));
process.stdout.write(`${JSON.stringify({ ends, steps, breaches: [...breaches.keys()], accesses })}\n`);
