/**
 * What "proved" rests on: accesses that nothing orders are found, by machine/words/access-order.ts on words of a test's own, and on the kernel
 * with a lock taken away, where no search may call its answer proved. `npm run soak:proof` takes away every lock and re-check in turn.
 */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterEach, describe, expect, it } from 'vitest';
import {
  AccessOrder,
  DECLARED_OTHERWISE,
  LOCK_NOT_TOUCHED,
  NO_SUCH_LOCK,
  UNDECLARED_READ,
  UNDECLARED_WRITE,
} from '#src/machine/words/access-order.js';
import { LOCAL, acquires, adds, reads, releases, updates, writes } from '#src/machine/effects.js';
import {
  cmpxchg,
  fetchAdd,
  get,
  look,
  peek,
  readOnce,
  set,
  watch,
  writeOnce,
  xchg,
} from '#src/machine/words/words-ordered.js';

const LOCK = 1;
const FLAG = 2;
const DATA = 3;

/** Steps of two actors on a few words; says what was found. */
class Bench {
  readonly words = new Int32Array(8);
  readonly order = new AccessOrder(this.words, 2, () => {});

  constructor() {
    this.order.begin();
    watch(this.order);
  }

  step(actor: number, effect: number, ...accesses: (() => unknown)[]): this {
    this.order.step(actor, effect);
    for (const access of accesses) access();
    return this;
  }

  take = (actor: number) => () => cmpxchg(this.words, LOCK, 0, actor + 1);
  give = () => xchg(this.words, LOCK, 0);
  load = () => get(this.words, DATA);
  store = () => set(this.words, DATA, 1);

  found(): number[] {
    this.order.end();
    return this.order.found.map(({ what }) => what);
  }
}

afterEach(() => watch(null));

describe('accesses of two actors to one word', () => {
  it('are ordered by a lock that both hold', () => {
    const b = new Bench();
    b.step(0, acquires(LOCK), b.take(0), b.store).step(0, releases(LOCK), b.give);
    b.step(1, acquires(LOCK), b.take(1), b.load).step(1, releases(LOCK), b.give);
    expect(b.found()).toEqual([]);
  });

  it('are not when one of them does not take it, whoever comes first', () => {
    const b = new Bench();
    b.step(0, acquires(LOCK), b.take(0), b.store).step(0, releases(LOCK), b.give).step(1, LOCAL, b.load);
    expect(b.found()).toEqual([UNDECLARED_READ]);
    const c = new Bench();
    c.step(1, LOCAL, c.load);
    c.step(0, acquires(LOCK), c.take(0), c.store).step(0, releases(LOCK), c.give);
    expect(c.found()).toEqual([UNDECLARED_WRITE]);
    expect(c.order.found).toMatchObject([{ word: DATA, actor: 0, other: 1 }]);
  });

  it('are not when the second touches it behind its release', () => {
    const b = new Bench();
    b.step(0, acquires(LOCK), b.take(0)).step(0, releases(LOCK), b.give, b.store);
    b.step(1, acquires(LOCK), b.take(1), b.load);
    expect(b.found()).toEqual([UNDECLARED_READ]);
  });

  it('are ordered by a flag that one stores and the other has read; what a step does behind its store is not', () => {
    const b = new Bench();
    const flag = (): unknown => readOnce(b.words, FLAG);
    b.step(0, LOCAL, b.store).step(0, writes(FLAG), () => writeOnce(b.words, FLAG, 1));
    b.step(1, reads(FLAG), flag, b.load);
    expect(b.found()).toEqual([]);
    const c = new Bench();
    c.step(0, writes(FLAG), () => writeOnce(c.words, FLAG, 1), c.store);
    c.step(1, reads(FLAG), () => readOnce(c.words, FLAG), c.load);
    expect(c.found()).toEqual([UNDECLARED_READ]);
  });

  it('are not ordered by two reads of a word, or two additions to it', () => {
    for (const [effect, access] of [
      [reads(FLAG), (words: Int32Array) => readOnce(words, FLAG)],
      [adds(FLAG), (words: Int32Array) => fetchAdd(words, FLAG, 1)],
    ] as const) {
      const b = new Bench();
      b.step(0, LOCAL, b.store).step(0, effect, () => access(b.words));
      b.step(1, effect, () => access(b.words), b.load);
      expect(b.found()).toEqual([UNDECLARED_READ]);
    }
  });

  it('two loads need no order; a marked access that no point declares needs one like a plain one; looks do not count', () => {
    const b = new Bench();
    b.step(0, LOCAL, b.load).step(1, LOCAL, b.load, () => peek(b.words, DATA));
    expect(b.found()).toEqual([]);
    b.step(
      0,
      writes(FLAG),
      () => writeOnce(b.words, FLAG, 1),
      () => writeOnce(b.words, DATA, 1),
    );
    expect(b.found()).toEqual([UNDECLARED_WRITE]);
    const c = new Bench();
    c.step(0, LOCAL, c.store).step(1, LOCAL, () => look(c.words, DATA));
    expect(c.found()).toEqual([]);
  });

  it('the store that a point declares needs the loads before it to be ordered', () => {
    const b = new Bench();
    b.step(0, LOCAL, b.load).step(1, writes(DATA), () => writeOnce(b.words, DATA, 1));
    expect(b.found()).toEqual([UNDECLARED_READ]);
    expect(b.order.found).toMatchObject([{ actor: 0, other: 1 }]);
  });
});

describe('what a point declares', () => {
  it('is held against what is done: a store to what is read, a look at an addition', () => {
    const b = new Bench();
    b.step(0, reads(FLAG), () => writeOnce(b.words, FLAG, 1));
    expect(b.found()).toEqual([DECLARED_OTHERWISE]);
    const c = new Bench();
    c.step(0, adds(FLAG), () => readOnce(c.words, FLAG));
    expect(c.found()).toEqual([DECLARED_OTHERWISE]);
  });

  it('a lock is free when it is taken, ours when it is given back, and touched', () => {
    const b = new Bench();
    b.step(0, acquires(LOCK), b.take(0)).step(1, acquires(LOCK), () => cmpxchg(b.words, LOCK, 1, 2));
    expect(b.found()).toEqual([NO_SUCH_LOCK]);
    const c = new Bench();
    c.step(0, acquires(LOCK), c.take(0)).step(1, releases(LOCK), c.give);
    expect(c.found()).toEqual([NO_SUCH_LOCK]);
    const d = new Bench();
    d.step(0, acquires(LOCK)).step(1, updates(FLAG));
    expect(d.found()).toEqual([LOCK_NOT_TOUCHED]);
  });

  it('what a schedule finds does not depend on those before it, unless it is to be kept', () => {
    const b = new Bench();
    const race = (): Bench => b.step(0, LOCAL, b.store).step(1, LOCAL, b.load);
    race();
    b.order.begin();
    expect(b.found()).toEqual([]);
    race();
    expect(b.found()).toEqual([UNDECLARED_READ]);
    b.order.keeps = true;
    b.order.begin();
    expect(b.found()).toEqual([UNDECLARED_READ]);
  });
});

interface Checked {
  readonly proved: boolean;
  readonly wrong: boolean;
  readonly executions: number;
  readonly undeclared: readonly string[];
}

/** The kernel without what `mutant` names (test/proof/sites.mjs), in a process of its own. */
async function without(mutant: string, file = 'test/proof/register-vs-fault.litmus'): Promise<Checked> {
  const script = fileURLToPath(new URL('../proof/check.mjs', import.meta.url));
  const { stdout } = await promisify(execFile)(
    process.execPath,
    ['--import', new URL('../proof/register.mjs', import.meta.url).href, script, '500', '30', file],
    { env: { ...process.env, MUTANT: mutant }, cwd: fileURLToPath(new URL('../..', import.meta.url)) },
  );
  return (JSON.parse(stdout) as [Checked])[0];
}

describe('a kernel without a lock', () => {
  it('is not proved right: what the lock protected is undeclared, by name and line', async () => {
    const plain = await without('');
    expect(plain).toMatchObject({ proved: true, wrong: false, undeclared: [] });
    const { proved, wrong, undeclared } = await without('noop:src/kvm/vm.js:takeAllVmaLocks');
    expect({ proved, wrong }).toEqual({ proved: false, wrong: false });
    expect(undeclared[0]).toMatch(
      /^mm0 notifier subscriptions was stored to without a mark at src\/mm\/mmu-notifier\.ts:\d+, .* cpu1$/,
    );
  });

  it.each(['class:LOCK_MMAP', 'class:LOCK_MN_INVALIDATE'])('nor without %s', async (mutant) => {
    const { proved, undeclared } = await without(mutant);
    expect(proved).toBe(false);
    expect(undeclared).not.toEqual([]);
  });
});
