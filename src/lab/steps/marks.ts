/** The steps that a diagram shows beside its events, as marks: those that decided, those that were pointed at, and the last one. */
import type { Program } from '../../engine/one-thread/program.js';
import type { DiagramMark } from '../../trace/diagram/model.js';
import { type Chosen, chooseSteps } from './choose.js';
import { FunctionNames } from './function-names.js';
import { stepText } from './phrase.js';
import { type Step, isAcquire, isRead, isRelease } from './recorder.js';

interface MarkOptions {
  /** Whether a step's word is of the pages in question. */
  readonly isFocus: (step: Step) => boolean;
  /** Steps that are pointed at: they are shown whatever they touch. Their words are found here. */
  readonly pointed: readonly DiagramMark[];
  /** The step in which a rule was found broken; 0: none in particular. */
  readonly broken: number;
  /** Locks that a deadlock is about. */
  readonly locks: ReadonlySet<number>;
}

/** Who asks a process's flags about its pins or its end; others read the same word for bits of their own. */
const ASKS_FLAGS = /^\w*(needs_cow|test_exit|exiting)\w*\(\)/;

/** Steps at most whose function is asked for: what comes first is what a diagram would leave out first. */
const MARKS_MAX = 120;

/** The marks, in order of time. */
export function marksOf(program: Program, steps: readonly Step[], options: MarkOptions): DiagramMark[] {
  const { pointed, broken, locks } = options;
  const byTime = new Map(steps.map((step) => [step.time, step]));
  const chosen = new Map<number, Chosen | { readonly step: Step; readonly rank: 0; readonly store: boolean }>();
  for (const each of chooseSteps(steps, options.isFocus)) chosen.set(each.step.time, each);
  const must = (step: Step | undefined): void => {
    if (step !== undefined) chosen.set(step.time, { step, rank: 0, store: !isRead(step) && !isAcquire(step) });
  };
  for (const mark of pointed) must(byTime.get(mark.time));
  for (const step of steps) if (locks.has(step.word) && isAcquire(step)) must(step);
  // a rule that is judged when a lock is dropped was broken before
  const last = byTime.get(broken);
  if (last !== undefined && !isRelease(last) && last.of?.kind !== 'request') must(last);
  const all = [...chosen.values()].toSorted((x, y) => x.step.time - y.step.time);
  const kept =
    all.length <= MARKS_MAX
      ? all
      : all.filter(({ rank, step }) => rank === 0 || step.time > (all.at(-MARKS_MAX)?.step.time ?? 0));

  const earlier = new Earlier(steps);
  const owners = new Owners(steps);
  const names = new FunctionNames();
  try {
    const told = kept.map(({ step, rank, store }) => {
      const note = pointed.filter(({ time }) => time === step.time).map((mark) => mark.note);
      return { step, mark: markOf(program, step, { rank, store, names, note, earlier, owners }) };
    });
    const reads = told.filter(({ step }) => step.of?.kind === 'mmFlags' && isRead(step));
    const asked = reads.some(({ mark }) => ASKS_FLAGS.test(mark.text));
    const isAside = ({ step, mark }: (typeof told)[number]): boolean =>
      step.of?.kind === 'mmFlags' && mark.rank !== 0 && !(isRead(step) ? ASKS_FLAGS.test(mark.text) : asked);
    return told.filter((each) => !isAside(each)).map(({ mark }) => mark);
  } finally {
    names.close();
  }
}

interface Surroundings {
  readonly rank: number;
  readonly store: boolean;
  readonly names: FunctionNames;
  readonly note: readonly string[];
  readonly earlier: Earlier;
  readonly owners: Owners;
}

function markOf(
  program: Program,
  step: Step,
  { rank, store, names, note, earlier, owners }: Surroundings,
): DiagramMark {
  const inside = names.of(step.calls);
  const holder = owners.holder(step);
  const text = stepText(step, {
    program,
    earlier: earlier.read(step),
    holder: holder === step.actor ? 'itself' : holder === undefined ? undefined : program.actors[holder],
  });
  const notes = [...note, step.stale ? 'through a stale translation' : ''].filter((each) => each !== '');
  return {
    time: step.time,
    actor: step.actor,
    text: inside === '' ? text : `${inside}: ${text}`,
    note: notes.join('; '),
    rank,
    ...(store && step.of !== null && { tells: step.of.kind }),
  };
}

/** What each actor has read of a word before, within the operation that it is in. */
class Earlier {
  readonly #values = new Map<number, number>();

  constructor(steps: readonly Step[]) {
    const last = new Map<string, { readonly operation: unknown; readonly value: number }>();
    for (const step of steps) {
      if (!isRead(step) || step.word === 0) continue;
      const key = `${step.actor} ${step.word}`;
      const operation = step.calls[1];
      const before = last.get(key);
      if (before !== undefined && before.operation === operation) this.#values.set(step.time, before.value);
      last.set(key, { operation, value: step.after });
    }
  }

  read({ time }: Step): number | undefined {
    return this.#values.get(time);
  }
}

/** Who holds each lock when somebody waits for it. */
class Owners {
  readonly #holders = new Map<number, number>();

  constructor(steps: readonly Step[]) {
    const holders = new Map<number, number>();
    for (const step of steps) {
      if (isRelease(step)) holders.delete(step.word);
      else if (isAcquire(step) && step.blocked) {
        const holder = holders.get(step.word);
        if (holder !== undefined) this.#holders.set(step.time, holder);
      } else if (isAcquire(step) && step.before !== step.after) holders.set(step.word, step.actor);
    }
  }

  holder({ time }: Step): number | undefined {
    return this.#holders.get(time);
  }
}
