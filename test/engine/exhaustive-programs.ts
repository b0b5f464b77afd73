/** Small generated programs, what brute force finds in them, and which of its schedules are one execution. */
import fc from 'fast-check';
import type { Coroutine } from '#src/machine/context.js';
import {
  EFFECT_ACQUIRE,
  EFFECT_ADD,
  EFFECT_READ,
  FIRST_WAIT,
  LOCAL,
  RETRY,
  WAIT_LOCK,
  WAIT_WORD,
  acquires,
  acquiresRead,
  adds,
  effectKind,
  effectWord,
  reads,
  releases,
  releasesRead,
  tries,
  updates,
  writes,
} from '#src/machine/effects.js';
import { END_DEADLOCK, END_FINISHED, OneThread, type StepObserver } from '#src/engine/one-thread/one-thread.js';
import type { Program } from '#src/engine/one-thread/program.js';
import type { Violation } from '#src/oracle/violation.js';
import type { TinyState } from '#src/engine/programs/tiny-lock.js';
import type { ScheduleView, Strategy } from '#src/engine/strategies/strategy.js';
import { small } from './one-thread-programs.js';

type Plain = 'read' | 'write' | 'fetchAdd' | 'add' | 'await' | 'gate' | 'spin' | 'lockedSpin' | 'assert';

export type Op =
  | {
      readonly op: Plain;
      readonly word: number;
      readonly value: number;
    }
  | { readonly op: 'lock' | 'try' | 'readLock' | 'writeLock'; readonly word: number; readonly body: readonly Op[] }
  | { readonly op: 'if'; readonly value: number; readonly body: readonly Op[] };

/** Words 1 to 3 are data, 4 and 5 locks, 6 and 7 fair reader-writer locks. */
const DATA = 1;
const LOCKS = 4;
const RW_LOCKS = 6;
const PENDING = 1 << 8;
const WRITER = 1 << 9;

export interface Features {
  readonly locks?: boolean;
  readonly tries?: boolean;
  readonly readers?: boolean;
  readonly waits?: boolean;
  readonly spins?: boolean;
  readonly asserts?: boolean;
}

/** Operations of one actor. */
export function operations(features: Features, count: number, depth = 2): fc.Arbitrary<readonly Op[]> {
  const word = fc.integer({ min: DATA, max: DATA + 2 });
  const value = fc.integer({ min: 0, max: 2 });
  const body = depth > 0 ? operations(features, 2, depth - 1) : fc.constant([]);
  const plain = (op: Plain): fc.Arbitrary<Op> => fc.record({ op: fc.constant(op), word, value });
  const locked = (op: 'lock' | 'try' | 'readLock' | 'writeLock', from: number): fc.Arbitrary<Op> =>
    fc.record({ op: fc.constant(op), word: fc.integer({ min: from, max: from + 1 }), body });
  const kinds = [
    plain('read'),
    plain('write'),
    plain('fetchAdd'),
    plain('add'),
    fc.record({ op: fc.constant('if' as const), value, body }),
    ...(features.locks === true ? [locked('lock', LOCKS), locked('lock', LOCKS)] : []),
    ...(features.tries === true ? [locked('try', LOCKS)] : []),
    ...(features.readers === true
      ? [locked('readLock', RW_LOCKS), locked('readLock', RW_LOCKS), locked('writeLock', RW_LOCKS)]
      : []),
    ...(features.waits === true ? [plain('await'), plain('gate')] : []),
    ...(features.asserts === true ? [plain('assert'), plain('assert')] : []),
    ...(features.spins === true ? [plain('spin'), plain('lockedSpin')] : []),
  ];
  return fc.array(fc.oneof(...kinds), { minLength: 1, maxLength: count });
}

/** What an actor holds (a lock that it holds already is passed over), and operations begun: where it stands. */
class Held {
  readonly words = new Set<number>();
  /** Where broken assertions go, of all actors. */
  readonly violations: Violation[];
  begun = 0;
  loops = 0;
  seen = 0;

  constructor(violations: Violation[]) {
    this.violations = violations;
  }

  breaks(actor: number, what: string): void {
    this.violations.push({ invariant: `I-${actor}.${this.begun}`, what, actor });
  }
}

function* run(s: TinyState, actor: number, ops: readonly Op[], log: number[], held: Held): Coroutine<void> {
  const w = s.words;
  for (const op of ops) {
    held.begun++;
    switch (op.op) {
      case 'read':
        yield reads(op.word);
        log.push(w[op.word] as number);
        break;
      case 'write':
        yield writes(op.word);
        w[op.word] = op.value;
        break;
      case 'fetchAdd':
        yield updates(op.word);
        log.push(w[op.word] as number);
        w[op.word] = (w[op.word] as number) + 1;
        break;
      case 'add':
        yield adds(op.word);
        w[op.word] = (w[op.word] as number) + 1;
        break;
      case 'assert':
        // at the look itself, and where the next step is one that touches nothing
        yield reads(op.word);
        held.seen = w[op.word] as number;
        if (held.seen === op.value) held.breaks(actor, 'seen');
        yield LOCAL;
        if (held.seen > op.value) held.breaks(actor, 'seen before');
        break;
      case 'if':
        if (log.at(-1) === op.value) yield* run(s, actor, op.body, log, held);
        break;
      case 'await':
        for (;;) {
          yield reads(op.word);
          if (w[op.word] !== op.value) break;
          s.waitValues[actor] = op.value;
          yield (op.word << 4) | WAIT_WORD;
        }
        break;
      case 'gate':
        // a look that is a wait at once
        s.waitValues[actor] = op.value;
        yield (op.word << 4) | WAIT_WORD;
        log.push(w[op.word] as number);
        break;
      case 'spin':
        held.loops++;
        for (;;) {
          yield RETRY;
          yield reads(op.word);
          if (w[op.word] !== op.value) break;
        }
        break;
      case 'lockedSpin':
        if (held.words.has(LOCKS)) break;
        held.loops++;
        for (;;) {
          yield RETRY;
          yield reads(DATA);
          yield acquires(LOCKS);
          while (w[LOCKS] !== 0) {
            s.waitValues[actor] = 1;
            yield (LOCKS << 4) | WAIT_LOCK;
          }
          w[LOCKS] = 1;
          yield reads(op.word);
          held.seen = w[op.word] as number;
          yield releases(LOCKS);
          w[LOCKS] = 0;
          if (held.seen !== op.value) break;
        }
        break;
      default:
        if (held.words.has(op.word)) break;
        held.words.add(op.word);
        yield* locked(s, actor, op, log, held);
        held.words.delete(op.word);
    }
  }
}

function* locked(
  s: TinyState,
  actor: number,
  op: Extract<Op, { body: readonly Op[]; word: number }>,
  log: number[],
  held: Held,
): Coroutine<void> {
  const w = s.words;
  const waits = (): number => {
    s.waitValues[actor] = w[op.word] as number;
    return (op.word << 4) | WAIT_LOCK;
  };
  if (op.op === 'try') {
    yield tries(op.word);
    log.push(w[op.word] === 0 ? 1 : 0);
    if (w[op.word] !== 0) return;
    w[op.word] = 1;
  } else if (op.op === 'lock') {
    yield acquires(op.word);
    while (w[op.word] !== 0) yield waits();
    w[op.word] = 1;
  } else if (op.op === 'readLock') {
    yield acquiresRead(op.word);
    while (((w[op.word] as number) & (PENDING | WRITER)) !== 0) yield waits();
    w[op.word] = (w[op.word] as number) + 1;
  } else {
    yield acquires(op.word);
    while (((w[op.word] as number) & ~PENDING) !== 0) {
      w[op.word] = (w[op.word] as number) | PENDING;
      yield waits();
    }
    w[op.word] = WRITER;
  }
  yield* run(s, actor, op.body, log, held);
  if (op.op === 'readLock') {
    yield releasesRead(op.word);
    w[op.word] = (w[op.word] as number) - 1;
  } else {
    yield releases(op.word);
    w[op.word] = op.op === 'writeLock' ? (w[op.word] as number) & PENDING : 0;
  }
}

/** A program of actors that do `actors`' operations; and what they have read. */
export function generated(actors: readonly (readonly Op[])[]): {
  readonly program: Program;
  readonly logs: number[][];
  readonly held: Held[];
} {
  const logs = actors.map((): number[] => []);
  const violations: Violation[] = [];
  const held = actors.map(() => new Held(violations));
  const program = small('generated', {
    violations,
    start: () => {
      for (const log of logs) log.length = 0;
    },
    actors: Object.fromEntries(
      actors.map((ops, actor) => [
        `a${actor}`,
        (s: TinyState): Coroutine<void> =>
          run(s, actor, ops, logs[actor] as number[], (held[actor] = new Held(violations))),
      ]),
    ),
  });
  return { program: { ...program, retryLoop: (actor) => held[actor]?.loops ?? 0 }, logs, held };
}

/** Whether a schedule has finished or come to a deadlock, past whatever it broke on its way. */
export const hasEnded = ({ ended }: OneThread): boolean => ended === END_FINISHED || ended === END_DEADLOCK;

/**
 * Data words, what was read, who is stuck, and the assertion that was broken first. Lock words are left out: a blocked writer may have
 * left its mark or not.
 * @param index of those broken, which one is told
 */
export function outcome(thread: OneThread, logs: readonly (readonly number[])[], index = 0): string {
  const { actors, words } = thread.program;
  const stuck = actors.map((_, actor) => (thread.isDone(actor) ? '.' : 'B')).join('');
  const broken = thread.breaches[index];
  const rule = broken === undefined ? '' : ` | ${broken.invariant} ${broken.what}`;
  return `${words.slice(DATA, LOCKS).join(' ')} | ${logs.map((log) => log.join(' ')).join(' / ')} | ${stuck}${rule}`;
}

/** All schedules, one after the other. */
export class Everything implements Strategy {
  readonly name = 'everything';
  exhausted = false;
  /** Of the schedule under way: who could run at each step, and which of them does. */
  #options: number[][] = [];
  #at: number[] = [];
  #depth = 0;

  begin(): boolean {
    this.#depth = 0;
    return !this.exhausted;
  }

  pick(view: ScheduleView): number {
    const depth = this.#depth++;
    if (depth === this.#at.length) {
      this.#at.push(0);
      this.#options.push([...view.enabled.subarray(0, view.enabledCount)]);
    }
    return this.#options[depth]?.[this.#at[depth] as number] as number;
  }

  /** Whether the state that the schedule has come to has not been chosen from in this way before. */
  get isNew(): boolean {
    return this.#depth === this.#at.length;
  }

  end(): void {
    while (this.#at.length > 0) {
      const last = this.#at.length - 1;
      this.#at[last] = (this.#at[last] as number) + 1;
      if ((this.#at[last] as number) < (this.#options[last] as number[]).length) return;
      this.#at.pop();
      this.#options.pop();
    }
    this.exhausted = true;
  }

  guarantee(): string {
    return '';
  }
}

/** Which execution a schedule is: each event with those that come before it, by what the steps declare. */
export class ExecutionKey implements StepObserver {
  readonly #words: Int32Array;
  #events: { actor: number; effect: number; clock: Map<number, number> }[] = [];
  #effect = 0;
  #before = 0;
  #last = new Map<number, number>();

  constructor(words: Int32Array) {
    this.#words = words;
  }

  begin(): void {
    this.#events = [];
    this.#last.clear();
  }

  beforeStep(actor: number, effect: number): void {
    // what ends a wait is the attempt or the look that led to it
    const waits = effectKind(effect) >= FIRST_WAIT;
    const last = this.#last.get(actor) ?? 0;
    const looks = effectKind(last) === EFFECT_READ || effectKind(last) === EFFECT_ACQUIRE;
    this.#effect = waits && looks && effectWord(last) === effectWord(effect) ? last : effect;
    this.#before = this.#words[effectWord(effect)] as number;
  }

  afterStep(actor: number, next: number, step: number): void {
    if (step === 0) return;
    const effect = this.#effect;
    this.#last.set(actor, effect);
    const word = effectWord(effect);
    const failed = next >= 0 && effectKind(next) === WAIT_LOCK && this.#words[word] === this.#before;
    if (word === 0 || failed) return;
    const clock = new Map<number, number>();
    for (const event of this.#events) {
      if (event.actor !== actor && !this.#depend(event.effect, effect)) continue;
      for (const [each, count] of event.clock) clock.set(each, Math.max(count, clock.get(each) ?? 0));
    }
    clock.set(actor, (clock.get(actor) ?? 0) + 1);
    this.#events.push({ actor, effect, clock });
  }

  #depend(one: number, other: number): boolean {
    if (effectWord(one) !== effectWord(other)) return false;
    const pair = [effectKind(one), effectKind(other)];
    return !pair.every((kind) => kind === EFFECT_READ) && !pair.every((kind) => kind === EFFECT_ADD);
  }

  get key(): string {
    return this.#events
      .map(({ actor, effect, clock }) => {
        const before = [...clock].toSorted(([x], [y]) => x - y).map(([each, count]) => `${each}.${count}`);
        return `${actor}.${clock.get(actor)} ${effect} < ${before.join(' ')}`;
      })
      .toSorted()
      .join('\n');
  }
}

/** The outcomes of all schedules: those that lead to a state seen before are not followed. */
export function bruteForce(actors: readonly (readonly Op[])[]): Set<string> {
  const { program, logs, held } = generated(actors);
  const thread = new OneThread(program, 300);
  thread.goesOn = true;
  const outcomes = new Set<string>();
  const seen = new Set<string>();
  const everything = new Everything();
  const strategy: Strategy = {
    name: 'states',
    exhausted: false,
    begin: () => everything.begin(),
    pick: (view) => {
      const pending = [...view.pending.subarray(0, view.actors)];
      const waits = pending.map((effect, actor) => (effectKind(effect) >= FIRST_WAIT ? program.waitValue(actor) : 0));
      const broken = program.alarm.violations.slice(0, 1).map(({ invariant, what }) => `${invariant} ${what}`);
      const stand = held.flatMap(({ begun, seen }) => [begun, seen]);
      const parts = [[...program.words], ...logs, pending, waits, stand, broken];
      const state = parts.map((part) => part.join(' ')).join(' | ');
      if (everything.isNew && seen.has(state)) return -1;
      seen.add(state);
      return everything.pick(view);
    },
    end: () => everything.end(),
    guarantee: () => '',
  };
  while (strategy.begin(0, actors.length)) {
    thread.run(strategy, 0);
    if (hasEnded(thread)) outcomes.add(outcome(thread, logs));
  }
  return outcomes;
}
