/**
 * Locks are fair (src/locks/queue.ts): bounded bypass, for every kind of lock, in every order of attempts and releases. The actors
 * are stepped one attempt at a time on one thread, so that each schedule is exact; only the order of the line is theirs to keep.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Doorbell } from '#src/engine/host/doorbell.js';
import { HostedActor, MODE_ON_LOCK } from '#src/engine/host/hosted-actor.js';
import { RingWriter, ringBuffer } from '#src/events/ring.js';
import { Context, type Kernel, Probe } from '#src/machine/context.js';
import { LOCAL, effectWord } from '#src/machine/effects.js';
import { contended } from '#src/machine/wait.js';
import { SMALL_MACHINE } from '#src/machine/config.js';
import {
  ACTOR_WORKER,
  GLOBAL_DRIVER_MUTEX,
  VM_MMU_LOCK,
  anonVmaWord,
  ANON_VMA_RWSEM,
  Machine,
  actorWord,
  globalLock,
  vmWord,
} from '#src/machine/layout.js';

import { LOCK_ANON_VMA, LOCK_DRIVER_MUTEX, LOCK_MMU, LOCK_PTL } from '#src/locks/classes.js';
import {
  folioLock,
  folioLockWord,
  folioUnlock,
  mutexLock,
  mutexUnlock,
  spinLock,
  spinUnlock,
} from '#src/locks/exclusive.js';
import { PATIENCE } from '#src/locks/queue.js';
import { downRead, downWrite, readLock, readUnlock, upRead, upWrite, writeLock, writeUnlock } from '#src/locks/rw.js';

const ACTORS = 6;

interface Kind {
  readonly name: string;
  readonly word: (m: Machine) => number;
  readonly take: (ctx: Context, read: boolean) => boolean;
  readonly drop: (ctx: Context, read: boolean) => void;
  readonly shared: boolean;
}

const driver = (m: Machine): number => globalLock(m, GLOBAL_DRIVER_MUTEX);
const rwsem = (m: Machine): number => anonVmaWord(m, 1, ANON_VMA_RWSEM);
const mmuLock = (m: Machine): number => vmWord(m, 0, VM_MMU_LOCK);

const KINDS: readonly Kind[] = [
  {
    name: 'spinlock',
    word: driver,
    take: (ctx) => spinLock(ctx, driver(ctx.m), LOCK_PTL),
    drop: (ctx) => spinUnlock(ctx, driver(ctx.m), LOCK_PTL),
    shared: false,
  },
  {
    name: 'mutex',
    word: driver,
    take: (ctx) => mutexLock(ctx, driver(ctx.m), LOCK_DRIVER_MUTEX),
    drop: (ctx) => mutexUnlock(ctx, driver(ctx.m), LOCK_DRIVER_MUTEX),
    shared: false,
  },
  {
    name: 'folio lock',
    word: (m) => folioLockWord({ m } as Context, 5),
    take: (ctx) => folioLock(ctx, 5),
    drop: (ctx) => folioUnlock(ctx, 5),
    shared: false,
  },
  {
    name: 'rwsem',
    word: rwsem,
    take: (ctx, read) =>
      read ? downRead(ctx, rwsem(ctx.m), LOCK_ANON_VMA) : downWrite(ctx, rwsem(ctx.m), LOCK_ANON_VMA),
    drop: (ctx, read) => (read ? upRead(ctx, rwsem(ctx.m), LOCK_ANON_VMA) : upWrite(ctx, rwsem(ctx.m), LOCK_ANON_VMA)),
    shared: true,
  },
  {
    name: 'rwlock',
    word: mmuLock,
    take: (ctx, read) => (read ? readLock(ctx, mmuLock(ctx.m), LOCK_MMU) : writeLock(ctx, mmuLock(ctx.m), LOCK_MMU)),
    drop: (ctx, read) =>
      read ? readUnlock(ctx, mmuLock(ctx.m), LOCK_MMU) : writeUnlock(ctx, mmuLock(ctx.m), LOCK_MMU),
    shared: true,
  },
];

/** An actor: outside, in line since `came` with `failed` attempts as the first, or inside. */
class Contender {
  readonly ctx: Context;
  state: 'outside' | 'waiting' | 'inside' = 'outside';
  read = false;
  came = 0;
  failedFirst = 0;
  constructor(m: Machine, actor: number) {
    this.ctx = new Context(m, {} as Kernel, new Probe(), { write: () => {} }, actor, 0, 1);
    this.ctx.queues = true;
  }
}

/** Plays `moves` (whose turn, and whether a newcomer reads) and holds every acquisition against the line. */
function play(kind: Kind, moves: readonly (readonly [number, boolean])[]): Contender[] {
  const m = new Machine({ ...SMALL_MACHINE, cpus: ACTORS });
  const all = Array.from({ length: ACTORS }, (_, actor) => new Contender(m, actor));
  let clock = 0;
  const turn = (who: Contender, read: boolean): void => {
    clock++;
    if (who.state === 'inside') {
      kind.drop(who.ctx, who.read);
      who.state = 'outside';
      return;
    }
    if (who.state === 'outside') who.read = kind.shared && read;
    const line = all.filter((other) => other.state === 'waiting').toSorted((x, y) => x.came - y.came);
    const inside = all.filter((other) => other.state === 'inside');
    const fits = inside.every((other) => who.read && other.read);
    const [first] = line;
    const closed = first !== undefined && first !== who && first.failedFirst >= PATIENCE;
    if (kind.take(who.ctx, who.read)) {
      expect(fits, `${kind.name}: two inside`).toBe(true);
      expect(closed, `${kind.name}: the first in line is overtaken`).toBe(false);
      who.state = 'inside';
      return;
    }
    // whoever may have it has it: nobody waits for a lock that stands open
    expect(
      fits && (first === undefined || first === who) && who.state === 'waiting',
      `${kind.name}: refused though free`,
    ).toBe(false);
    if (who.state === 'outside') [who.state, who.came, who.failedFirst] = ['waiting', clock, 0];
    if (first === undefined || first === who) who.failedFirst++;
  };
  for (const [actor, read] of moves) turn(all[actor] as Contender, read);
  // everybody who waits comes to it, and nothing is left in the word
  for (let round = 0; round < 4 * ACTORS && all.some(({ state }) => state !== 'outside'); round++) {
    for (const who of all) if (who.state !== 'outside') turn(who, false);
  }
  expect(all.map(({ state }) => state)).toEqual(all.map(() => 'outside'));
  expect(m.words[kind.word(m)]).toBe(0);
  return all;
}

const SLEEPERS = 4;

/** An actor on a worker of its own, which sleeps by the waiting protocol and without any time-out. */
class Sleeper extends Contender {
  readonly #m: Machine;
  readonly #doorbell: Doorbell;
  readonly #hosted: HostedActor;
  /** Its doorbell's sample while it sleeps. */
  #asleep: number | null = null;
  #refused = false;

  constructor(m: Machine, actor: number) {
    super(m, actor);
    this.#m = m;
    m.words[actorWord(m, actor, ACTOR_WORKER)] = actor;
    this.#doorbell = new Doorbell(m, actor, new RingWriter(ringBuffer(0), true));
    this.#hosted = new HostedActor(actor, 0, this.ctx, (function* () {})());
    this.#hosted.mode = MODE_ON_LOCK;
  }

  /** One step: an attempt, the step from a failed attempt to sleep, waking up if it was rung for, or the release. */
  step(kind: Kind, read: boolean): void {
    if (this.state === 'inside') {
      kind.drop(this.ctx, this.read);
      this.state = 'outside';
    } else if (this.#asleep !== null) {
      if (this.#doorbell.sample() !== this.#asleep) this.#asleep = null;
    } else if (this.#refused) {
      this.#refused = false;
      const sample = this.#doorbell.sample();
      if (this.#doorbell.register(this.#hosted)) this.#asleep = sample;
    } else {
      if (this.state === 'outside') this.read = kind.shared && read;
      this.state = kind.take(this.ctx, this.read) ? 'inside' : 'waiting';
      if (this.state === 'inside') return;
      const wait = contended(this.ctx, kind.word(this.#m));
      [this.#refused, this.#hosted.word, this.#hosted.value] = [wait !== LOCAL, effectWord(wait), this.ctx.waitValue];
    }
  }
}

/** Plays `moves`; then nobody comes any more, and all who are inside or wait get in and out. */
function playAsleep(kind: Kind, moves: readonly (readonly [number, boolean])[]): void {
  const m = new Machine({ ...SMALL_MACHINE, cpus: SLEEPERS });
  const all = Array.from({ length: SLEEPERS }, (_, actor) => new Sleeper(m, actor));
  for (const [actor, read] of moves) all[actor]?.step(kind, read);
  for (let round = 0; round < 20 * SLEEPERS; round++) {
    for (const who of all) if (who.state !== 'outside') who.step(kind, false);
  }
  expect(all.map(({ state }) => state)).toEqual(all.map(() => 'outside'));
}

describe.each(KINDS)('$name', (kind) => {
  it('never lets anybody overtake the first in line once it has looked often enough', () => {
    const moves = fc.array(fc.tuple(fc.nat({ max: ACTORS - 1 }), fc.boolean()), { maxLength: 120 });
    fc.assert(
      fc.property(moves, (list) => void play(kind, list)),
      { numRuns: 150 },
    );
  });

  it('loses no wake-up: whoever sleeps is rung for when its turn comes, though the word looks as before', () => {
    const moves = fc.array(fc.tuple(fc.nat({ max: SLEEPERS - 1 }), fc.boolean()), { minLength: 20, maxLength: 200 });
    fc.assert(
      fc.property(moves, (list) => playAsleep(kind, list)),
      { numRuns: 2000 },
    );
  });

  it('gives a writer its turn among others that come back at once', () => {
    const m = new Machine({ ...SMALL_MACHINE, cpus: ACTORS });
    const [writer, ...others] = Array.from({ length: ACTORS }, (_, actor) => new Contender(m, actor).ctx);
    const holders: Context[] = [];
    let overtaken = 0;
    for (const other of others) if (kind.take(other, false)) holders.push(other);
    // the writer looks after every second release only; the others try after each, round after round
    for (let turn = 0; turn < 100; turn++) {
      if (turn % 2 === 0 && kind.take(writer as Context, false)) break;
      const holder = holders.shift();
      if (holder !== undefined) kind.drop(holder, false);
      for (const other of others) {
        if (holders.includes(other) || !kind.take(other, false)) continue;
        holders.push(other);
        overtaken++;
      }
    }
    expect(writer?.task.heldCount).toBe(1);
    expect(overtaken).toBeLessThanOrEqual(2 * PATIENCE + others.length);
  });
});
