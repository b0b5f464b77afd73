/**
 * Synthetic actors for tests of the engine, one module for all that a host imports: lock users that count under their
 * locks, and actors that misbehave. Vitest cannot compile for worker threads, so they stand here, with the engine.
 *
 * The counters are plain words of the kernel-wide data, raised by one under the lock: exact if and only if the lock works.
 */
import { type Context, type Coroutine, type Kernel, Probe, RULES_V6_18, randomBelow } from '../../machine/context.js';
import { IDLE_SLEEP, IDLE_TOP, LOCAL, acquires, releases, updates } from '../../machine/effects.js';
import {
  ACTOR_PROGRESS,
  ANON_VMA_RWSEM,
  GLOBAL_DRIVER_MUTEX,
  GLOBAL_KSM_THREAD_MUTEX,
  VM_MMU_LOCK,
  anonVmaWord,
  globalLock,
  globalWord,
  ptlOf,
  vmWord,
} from '../../machine/layout.js';
import { contended, idleWhile, waitWhile, wake } from '../../machine/wait.js';
import { EVENT } from '../../events/table.js';
import { emit } from '../../events/emit.js';
import { LOCK_ANON_VMA, LOCK_DRIVER_MUTEX, LOCK_KSM_THREAD_MUTEX, LOCK_MMU, LOCK_PTL } from '../../locks/classes.js';
import {
  folioLock,
  folioLockWord,
  folioUnlock,
  mutexLock,
  mutexUnlock,
  spinLock,
  spinUnlock,
} from '../../locks/exclusive.js';
import {
  downRead,
  downWrite,
  readLock,
  readUnlock,
  rwReaders,
  rwWriter,
  upRead,
  upWrite,
  writeLock,
  writeUnlock,
} from '../../locks/rw.js';
import {
  mmapReadLock,
  mmapReadUnlock,
  mmapWriteLock,
  mmapWriteUnlock,
  vmaEndRead,
  vmaLockWord,
  vmaStartRead,
  vmaStartWrite,
} from '../../locks/vma-lock.js';
import { fetchAdd, get, readOnce, set, writeOnce } from '#words';
import type { Violation } from '../../oracle/violation.js';
import type { ActorSpec, Plan } from '../plan.js';

/** Counters, by lock kind: words of the kernel-wide data from here on, a line apart. */
const COUNTERS_AT = 128;
export const COUNTERS = ['spin', 'mutex', 'folio', 'rwsem', 'rwlock', 'vma'] as const;
export const counterWord = (ctx: { readonly m: Context['m'] }, counter: number): number =>
  globalWord(ctx.m, COUNTERS_AT + counter * 16);
/** Where a reader notes that it saw a writer inside. */
export const TORN_AT = COUNTERS_AT + 1;

/** A token that actors hand round, and a word that never changes. */
export const TOKEN_AT = 112;
export const NEVER_AT = 113;
/** How many have their first lock. */
export const FIRST_LOCKS_AT = 114;

/** A kernel that has nothing but a name. */
export const resolveKernel = (id: string): Kernel => {
  if (id !== 'stub') throw new RangeError(`unknown kernel ${JSON.stringify(id)}`);
  return { id, rules: RULES_V6_18, subscribers: [] } as unknown as Kernel;
};

class CountingProbe extends Probe {
  readonly violations: Violation[] = [];
  override onWarn(ctx: Context, invariant: string, what: string, pfn: number): void {
    this.violations.push({ invariant, what, pfn, actor: ctx.actor, actors: [ctx.actor] });
  }
}
export const createProbe = (): CountingProbe => new CountingProbe();

/** Two halves of a counter's raise with a schedule point between, so that a broken lock loses counts. */
function* raise(ctx: Context, counter: number): Coroutine<void> {
  const at = counterWord(ctx, counter);
  const before = get(ctx.words, at);
  if (--ctx.quantum < 0) yield LOCAL;
  set(ctx.words, at, before + 1);
}

/** Two looks at a counter under a read lock: they agree, or a writer was inside. */
function* compare(ctx: Context, counter: number): Coroutine<void> {
  const at = counterWord(ctx, counter);
  const before = get(ctx.words, at);
  if (--ctx.quantum < 0) yield LOCAL;
  if (get(ctx.words, at) !== before) fetchAdd(ctx.words, globalWord(ctx.m, TORN_AT), 1);
}

function* exclusive(
  ctx: Context,
  counter: number,
  lock: number,
  take: () => boolean,
  drop: () => void,
): Coroutine<void> {
  if (--ctx.quantum < 0) yield acquires(lock);
  while (!take()) yield contended(ctx, lock);
  yield* raise(ctx, counter);
  if (--ctx.quantum < 0) yield releases(lock);
  drop();
}

function* readWrite(
  ctx: Context,
  counter: number,
  lock: number,
  write: boolean,
  take: () => boolean,
  drop: () => void,
): Coroutine<void> {
  if (--ctx.quantum < 0) yield acquires(lock);
  while (!take()) yield contended(ctx, lock);
  if (write) yield* raise(ctx, counter);
  else yield* compare(ctx, counter);
  if (--ctx.quantum < 0) yield releases(lock);
  drop();
}

/** One round of VMA 0's lock: readers fall back to mmap_lock as a fault does. Returns 1 when it wrote. */
function* vmaRound(ctx: Context, write: boolean): Coroutine<void> {
  if (write) {
    yield* mmapWriteLock(ctx, 0);
    yield* vmaStartWrite(ctx, 0, 0);
    yield* raise(ctx, 5);
    yield* mmapWriteUnlock(ctx, 0);
  } else if (yield* vmaStartRead(ctx, 0, 0)) {
    yield* compare(ctx, 5);
    if (--ctx.quantum < 0) yield releases(vmaLockWord(ctx, 0));
    vmaEndRead(ctx, 0);
  } else {
    yield* mmapReadLock(ctx, 0);
    yield* compare(ctx, 5);
    yield* mmapReadUnlock(ctx, 0);
  }
}

/**
 * Takes every kind of lock in turn, writing one time in `write_one_in`. After `rounds` it leaves what it wrote in its own
 * six words of the kernel-wide data, and returns. 0 rounds: until it is told to.
 */
function* locks(ctx: Context, spec: ActorSpec): Coroutine<void> {
  const { m } = ctx;
  const rounds = spec.params.rounds ?? 0;
  const writeOneIn = spec.params.write_one_in ?? 2;
  const written = COUNTERS.map(() => 0);
  const ptl = ptlOf(m, 0);
  const mutex = globalLock(m, GLOBAL_KSM_THREAD_MUTEX);
  const rwsem = anonVmaWord(m, 1, ANON_VMA_RWSEM);
  const rwlock = vmWord(m, 0, VM_MMU_LOCK);
  for (let round = 0; (rounds === 0 || round < rounds) && !ctx.finish; round++) {
    if (ctx.drain) {
      yield IDLE_TOP;
      continue;
    }
    const kind = round % COUNTERS.length;
    const write = kind < 3 || randomBelow(ctx, writeOneIn) === 0;
    if (kind === 0)
      yield* exclusive(
        ctx,
        0,
        ptl,
        () => spinLock(ctx, ptl, LOCK_PTL),
        () => spinUnlock(ctx, ptl, LOCK_PTL),
      );
    if (kind === 1) {
      yield* exclusive(
        ctx,
        1,
        mutex,
        () => mutexLock(ctx, mutex, LOCK_KSM_THREAD_MUTEX),
        () => mutexUnlock(ctx, mutex, LOCK_KSM_THREAD_MUTEX),
      );
    }
    if (kind === 2)
      yield* exclusive(
        ctx,
        2,
        folioLockWord(ctx, 5),
        () => folioLock(ctx, 5),
        () => folioUnlock(ctx, 5),
      );
    if (kind === 3) {
      yield* readWrite(
        ctx,
        3,
        rwsem,
        write,
        () => (write ? downWrite(ctx, rwsem, LOCK_ANON_VMA) : downRead(ctx, rwsem, LOCK_ANON_VMA)),
        () => (write ? upWrite(ctx, rwsem, LOCK_ANON_VMA) : upRead(ctx, rwsem, LOCK_ANON_VMA)),
      );
    }
    if (kind === 4) {
      yield* readWrite(
        ctx,
        4,
        rwlock,
        write,
        () => (write ? writeLock(ctx, rwlock, LOCK_MMU) : readLock(ctx, rwlock, LOCK_MMU)),
        () => (write ? writeUnlock(ctx, rwlock, LOCK_MMU) : readUnlock(ctx, rwlock, LOCK_MMU)),
      );
    }
    if (kind === 5) yield* vmaRound(ctx, write);
    if (write) (written[kind] as number)++;
    const progress = ctx.recordAt + ACTOR_PROGRESS;
    set(ctx.words, progress, get(ctx.words, progress) + 1);
    emit(ctx, EVENT.mark, round);
  }
  written.forEach((count, kind) => fetchAdd(ctx.words, counterWord(ctx, kind) + 2, count));
}

/** Waits for the token's value to be its own number, then passes it on; `rounds` times. */
function* token(ctx: Context, spec: ActorSpec): Coroutine<void> {
  const word = globalWord(ctx.m, TOKEN_AT);
  const { ring = 2, rounds = 100, me = ctx.actor } = spec.params;
  for (let round = 0; round < rounds; round++) {
    for (;;) {
      const seen = readOnce(ctx.words, word);
      if (seen % ring === me) break;
      yield spec.params.idle === 1 ? idleWhile(ctx, word, seen) : waitWhile(ctx, word, seen);
      if (ctx.finish && spec.params.idle === 1) return;
    }
    if (--ctx.quantum < 0) yield updates(word);
    fetchAdd(ctx.words, word, 1);
    wake(ctx.m, word);
  }
}

/** Sleeps `sleep_us` between rounds, counting them in the token word. */
function* ticker(ctx: Context, spec: ActorSpec): Coroutine<void> {
  const word = globalWord(ctx.m, TOKEN_AT);
  while (!ctx.finish) {
    ctx.sleepMicros = spec.params.sleep_us ?? 1000;
    yield IDLE_SLEEP;
    if (ctx.drain || ctx.finish) continue;
    if (--ctx.quantum < 0) yield updates(word);
    fetchAdd(ctx.words, word, 1);
    wake(ctx.m, word);
  }
}

/** Works without waiting; `events` per round. */
function* spinner(ctx: Context, spec: ActorSpec): Coroutine<void> {
  const mine = globalWord(ctx.m, COUNTERS_AT) + 8 + (ctx.actor & 7);
  for (let round = 0; !ctx.finish; round++) {
    if (ctx.drain) yield IDLE_TOP;
    if (--ctx.quantum < 0) yield LOCAL;
    writeOnce(ctx.words, mine, round);
    for (let n = 0; n < (spec.params.events ?? 0); n++) emit(ctx, EVENT.mark, n, round);
    ctx.time += ctx.tick;
  }
}

/** Takes its first lock, then its second: two of these the other way round deadlock. */
function* crossed(ctx: Context, spec: ActorSpec): Coroutine<void> {
  const locksOf = [globalLock(ctx.m, GLOBAL_KSM_THREAD_MUTEX), globalLock(ctx.m, GLOBAL_DRIVER_MUTEX)];
  const classes = [LOCK_KSM_THREAD_MUTEX, LOCK_DRIVER_MUTEX];
  const held = globalWord(ctx.m, FIRST_LOCKS_AT);
  for (const which of spec.params.first === 1 ? [1, 0] : [0, 1]) {
    const lock = locksOf[which] as number;
    if (--ctx.quantum < 0) yield acquires(lock);
    while (!mutexLock(ctx, lock, classes[which] as number)) yield contended(ctx, lock);
    fetchAdd(ctx.words, held, 1);
    wake(ctx.m, held);
    for (let seen = readOnce(ctx.words, held); seen < 2; seen = readOnce(ctx.words, held))
      yield waitWhile(ctx, held, seen);
  }
}

/** Returns with a lock held. */
function* forgetful(ctx: Context): Coroutine<void> {
  const mutex = globalLock(ctx.m, GLOBAL_KSM_THREAD_MUTEX);
  if (--ctx.quantum < 0) yield acquires(mutex);
  while (!mutexLock(ctx, mutex, LOCK_KSM_THREAD_MUTEX)) yield contended(ctx, mutex);
}

/** Waits in the middle of an operation for what nobody does. */
function* waitsForEver(ctx: Context): Coroutine<void> {
  for (;;) yield waitWhile(ctx, globalWord(ctx.m, NEVER_AT), 0);
}

/** After `rounds` with the PTL of table 0 and mmap_lock held, goes wrong as `how` says. */
function* doomed(ctx: Context, spec: ActorSpec): Coroutine<void> {
  const ptl = ptlOf(ctx.m, 0);
  yield* mmapReadLock(ctx, 0);
  if (--ctx.quantum < 0) yield acquires(ptl);
  while (!spinLock(ctx, ptl, LOCK_PTL)) yield contended(ctx, ptl);
  for (let round = 0; round < (spec.params.rounds ?? 1000); round++) {
    if (--ctx.quantum < 0) yield LOCAL;
  }
  yield updates(ptl);
  const { how = 0 } = spec.params;
  if (how === 0) throw new Error('planted: the actor throws');
  if (how === 1) process.exit(7);
  if (how === 2) {
    const hoard: number[][] = [];
    for (;;) hoard.push(Array.from({ length: 100_000 }, (_, n) => n + hoard.length));
  }
  if (how === 3) for (;;) Atomics.load(ctx.words, ptl);
  ctx.probe.onWarn(ctx, 'I-TEST', 'planted: a violation', 3);
  if (--ctx.quantum < 0) yield releases(ptl);
  spinUnlock(ctx, ptl, LOCK_PTL);
  yield* mmapReadUnlock(ctx, 0);
}

/**
 * Fairness: readers overlap, so that without PENDING the lock is never free; the writer counts how many readers got in
 * while it waited. Readers stop when the writer has been in `rounds` times.
 */
function* fairReader(ctx: Context, spec: ActorSpec): Coroutine<void> {
  const rwsem = anonVmaWord(ctx.m, 1, ANON_VMA_RWSEM);
  const turns = counterWord(ctx, 3);
  while (readOnce(ctx.words, turns) < (spec.params.rounds ?? 10) && !ctx.finish) {
    if (--ctx.quantum < 0) yield acquires(rwsem);
    while (!downRead(ctx, rwsem, LOCK_ANON_VMA)) yield contended(ctx, rwsem);
    fetchAdd(ctx.words, turns + 1, 1);
    // holds it until another reader has come in, or a writer holds all others back
    for (let hold = 0; hold < 50; hold++) {
      yield LOCAL;
      if (rwReaders(readOnce(ctx.words, rwsem)) > 1) break;
    }
    if (--ctx.quantum < 0) yield releases(rwsem);
    upRead(ctx, rwsem, LOCK_ANON_VMA);
  }
}

function* fairWriter(ctx: Context, spec: ActorSpec): Coroutine<void> {
  const rwsem = anonVmaWord(ctx.m, 1, ANON_VMA_RWSEM);
  const turns = counterWord(ctx, 3);
  for (let round = 0; round < (spec.params.rounds ?? 10); round++) {
    if (--ctx.quantum < 0) yield acquires(rwsem);
    let asked = -1;
    while (!downWrite(ctx, rwsem, LOCK_ANON_VMA)) {
      // the first failed attempt has set PENDING: nobody enters from here on
      if (asked < 0) asked = readOnce(ctx.words, turns + 1);
      yield contended(ctx, rwsem);
    }
    const entered = asked < 0 ? 0 : readOnce(ctx.words, turns + 1) - asked;
    if (entered > get(ctx.words, turns + 2)) set(ctx.words, turns + 2, entered);
    if (rwWriter(readOnce(ctx.words, rwsem)) !== ctx.actor) fetchAdd(ctx.words, globalWord(ctx.m, TORN_AT), 1);
    fetchAdd(ctx.words, turns, 1);
    if (--ctx.quantum < 0) yield releases(rwsem);
    upWrite(ctx, rwsem, LOCK_ANON_VMA);
    yield LOCAL;
  }
}

type ActorKind = (ctx: Context, spec: ActorSpec, plan: Plan) => Coroutine<void>;

export const ACTOR_KINDS: Readonly<Record<string, ActorKind>> = {
  locks,
  token,
  ticker,
  spinner,
  crossed,
  forgetful,
  'waits-for-ever': waitsForEver,
  doomed,
  'fair-reader': fairReader,
  'fair-writer': fairWriter,
};
