/** Shared memory against holes, migration, munmap, pins and fork, in orders that seeds decide, under all oracles. */
import { describe, expect, it } from 'vitest';
import { touchUser } from '#actors/user-access.js';
import { FOLL_PIN, FOLL_WRITE, MIGRATE_ASYNC, NUMA_NO_NODE, VM_READ, VM_WRITE, sharedFlags } from '#src/machine/abi.js';
import type { Context, Coroutine } from '#src/machine/context.js';
import { objectPageWord } from '#src/machine/layout.js';
import { exitMmap } from '#src/mm/exit.js';
import { dupMm } from '#src/mm/fork.js';
import { pinUserPagesFast } from '#src/mm/gup/gup.js';
import { madviseDontneed } from '#src/mm/madvise/madvise.js';
import { mmapRegion } from '#src/mm/vma/mmap.js';
import { mprotect } from '#src/mm/mprotect/mprotect.js';
import { munmap } from '#src/mm/vma/munmap.js';
import { folioIsolateLru } from '#src/mm/swap.js';
import { shmemPunchHole } from '#src/mm/truncate.js';
import { Task, interleave } from '../helpers/interleave.js';
import { ForkLab } from './fork-lab.js';

const A = 0;
const B = 1;
const CHILD = 2;
const PAGES = 4;
const SEEDS = Array.from({ length: 40 }, (_, i) => i + 1);
const SHARED = sharedFlags(0, VM_READ | VM_WRITE);

const accesses = (mm: number, first: number, value: number) =>
  function* (ctx: Context): Coroutine {
    for (let i = 0; i < 8; i++) {
      yield* touchUser(ctx, mm, first + ((i * 3) % PAGES), true, value + i);
      yield* touchUser(ctx, mm, first + (i % PAGES), false, 0);
      ctx.probe.onProgress(ctx);
    }
    return 0;
  };

function* holes(ctx: Context): Coroutine {
  for (let i = 0; i < 3; i++) {
    yield* shmemPunchHole(ctx, 0, i, i + 2);
    ctx.probe.onProgress(ctx);
  }
  return 0;
}

const migrations = (lab: ForkLab) =>
  function* (ctx: Context): Coroutine {
    for (let i = 0; i < 6; i++) {
      const pfn = lab.word(objectPageWord(lab.m, 0, i % PAGES));
      if (pfn !== 0 && lab.refs(pfn) > 0 && (yield* folioIsolateLru(ctx, pfn))) {
        yield* ctx.kernel.migratePages(ctx, [pfn], NUMA_NO_NODE, MIGRATE_ASYNC);
      }
      ctx.probe.onProgress(ctx);
    }
    return 0;
  };

function* pins(ctx: Context): Coroutine {
  for (let i = 0; i < 4; i++) {
    const pfn = yield* pinUserPagesFast(ctx, A, i % PAGES, FOLL_PIN | ((i & 1) === 0 ? FOLL_WRITE : 0));
    if (pfn < 0) continue;
    yield* touchUser(ctx, A, i % PAGES, true, 500 + i);
    yield* ctx.kernel.unpinUserPage(ctx, pfn, true);
    ctx.probe.onProgress(ctx);
  }
  return 0;
}

/** B's mapping is cut, zapped, taken away and made again. */
function* changes(ctx: Context): Coroutine {
  yield* mprotect(ctx, B, 5, 6, VM_READ);
  ctx.probe.onProgress(ctx);
  yield* madviseDontneed(ctx, B, 4, 8);
  ctx.probe.onProgress(ctx);
  yield* munmap(ctx, B, 4, 6);
  ctx.probe.onProgress(ctx);
  yield* mmapRegion(ctx, B, 0, 2, SHARED);
  yield* touchUser(ctx, B, 1, true, 900);
  yield* touchUser(ctx, B, 0, false, 0);
  ctx.probe.onProgress(ctx);
  return 0;
}

function* forks(ctx: Context): Coroutine {
  if ((yield* dupMm(ctx, A, CHILD)) !== 0) throw new Error('fork');
  ctx.probe.onProgress(ctx);
  for (let vpn = 0; vpn < PAGES; vpn++) {
    yield* touchUser(ctx, CHILD, vpn, false, 0);
    yield* touchUser(ctx, CHILD, vpn, true, 700 + vpn);
    ctx.probe.onProgress(ctx);
  }
  yield* exitMmap(ctx, CHILD);
  ctx.probe.onProgress(ctx);
  return 0;
}

describe('shared memory against', () => {
  for (const [name, mains] of [
    ['accesses of another process and holes', () => [accesses(A, 0, 100), accesses(B, 4, 200), holes]],
    ['migration and pins', (lab: ForkLab) => [accesses(B, 4, 200), migrations(lab), pins]],
    ['holes, migration and fork', (lab: ForkLab) => [forks, holes, migrations(lab)]],
    ['changes of a mapping, migration and accesses', (lab: ForkLab) => [changes, migrations(lab), accesses(A, 0, 100)]],
  ] as const) {
    it(name, () => {
      for (const seed of SEEDS) {
        const lab = new ForkLab({}, { cpus: 4, framesPerNode: 64, objects: 1, objectPages: PAGES });
        lab.run((ctx) => mmapRegion(ctx, A, 0, PAGES, SHARED));
        lab.run((ctx) => mmapRegion(ctx, B, 4, PAGES, SHARED));
        interleave(
          mains(lab).map((main, cpu) => new Task(lab.ctx(cpu), main(lab.ctx(cpu)))),
          seed,
        );
        expect([seed, ...lab.violations()]).toEqual([seed]);
        for (const mm of [A, B]) lab.run((ctx) => exitMmap(ctx, mm));
        lab.run((ctx) => shmemPunchHole(ctx, 0, 0, PAGES));
        expect([seed, ...lab.violations()]).toEqual([seed]);
      }
    });
  }
});
