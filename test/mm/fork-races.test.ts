/** fork against faults, pins, migration, KSM, collapse and zaps of both processes, in orders that seeds decide, under all oracles. */
import { describe, expect, it } from 'vitest';
import { touchUser } from '#actors/user-access.js';
import { FOLL_PIN, FOLL_WRITE, MIGRATE_ASYNC, NUMA_NO_NODE, VM_HUGEPAGE, VM_MERGEABLE } from '#src/machine/abi.js';
import type { Context, Coroutine } from '#src/machine/context.js';
import { isPresent } from '#src/machine/entries.js';
import { exitMmap } from '#src/mm/exit.js';
import { dupMm } from '#src/mm/fork.js';
import { folioOf } from '#src/mm/folio.js';
import { pinUserPagesFast } from '#src/mm/gup/gup.js';
import { khugepagedScan } from '#src/mm/khugepaged/khugepaged.js';
import { ksmDoScan } from '#src/mm/ksm/ksm.js';
import { madviseDontneed } from '#src/mm/madvise/madvise.js';
import { folioIsolateLru } from '#src/mm/swap.js';
import { Task, interleave } from '../helpers/interleave.js';
import { ForkLab } from './fork-lab.js';

const PARENT = 0;
const CHILD = 1;
const PAGES = 8;
/** Scheduled by seeds; failing orders are named by theirs. */
const SEEDS = Array.from({ length: 40 }, (_, i) => i + 1);

function* forks(ctx: Context): Coroutine {
  for (let i = 0; i < 2; i++) {
    const result = yield* dupMm(ctx, PARENT, CHILD);
    if (result !== 0) throw new Error(`fork: ${result}`);
    ctx.probe.onProgress(ctx);
    for (let vpn = 0; vpn < PAGES; vpn++) {
      yield* touchUser(ctx, CHILD, vpn, false, 0);
      if ((vpn & 1) === i) yield* touchUser(ctx, CHILD, vpn, true, 1000 * (i + 1) + vpn);
      yield* touchUser(ctx, CHILD, vpn, false, 0);
      ctx.probe.onProgress(ctx);
    }
    if (i === 0) yield* exitMmap(ctx, CHILD);
    ctx.probe.onProgress(ctx);
  }
  return 0;
}

function* accesses(ctx: Context): Coroutine {
  for (let i = 0; i < 12; i++) {
    yield* touchUser(ctx, PARENT, (i * 3) % PAGES, true, 10_000 + i);
    yield* touchUser(ctx, PARENT, (i * 5) % PAGES, false, 0);
    ctx.probe.onProgress(ctx);
  }
  return 0;
}

function* pins(ctx: Context): Coroutine {
  for (let i = 0; i < 4; i++) {
    const vpn = (i * 3) % PAGES;
    const flags = FOLL_PIN | ((i & 1) === 0 ? FOLL_WRITE : 0);
    const pfn = yield* pinUserPagesFast(ctx, PARENT, vpn, flags);
    if (pfn < 0) throw new Error('pin');
    yield* touchUser(ctx, PARENT, vpn, true, 20_000 + i);
    yield* ctx.kernel.unpinUserPage(ctx, pfn, false);
    ctx.probe.onProgress(ctx);
  }
  return 0;
}

/** Moves what the parent maps at a few pages, wherever it is by then. */
const migrations = (lab: ForkLab) =>
  function* (ctx: Context): Coroutine {
    for (let vpn = 0; vpn < PAGES; vpn += 2) {
      const pmd = lab.pmd(PARENT, vpn);
      const pfn = lab.pfn(PARENT, vpn);
      if (pmd === 0 || pfn <= 0 || pfn >= lab.m.frames || !isPresent(lab.pte(PARENT, vpn) | pmd)) continue;
      const head = folioOf(ctx, pfn);
      // the page may be gone by now: its flag then is, too
      if (lab.refs(head) > 0 && (yield* folioIsolateLru(ctx, head))) {
        yield* ctx.kernel.migratePages(ctx, [head], NUMA_NO_NODE, MIGRATE_ASYNC);
      }
      ctx.probe.onProgress(ctx);
    }
    return 0;
  };

function* daemons(ctx: Context): Coroutine {
  for (let i = 0; i < 3; i++) {
    yield* ksmDoScan(ctx, 2 * PAGES);
    yield* khugepagedScan(ctx, 2 * PAGES);
    ctx.probe.onProgress(ctx);
  }
  return 0;
}

function* zaps(ctx: Context): Coroutine {
  for (const vpn of [1, 5, 6]) {
    yield* madviseDontneed(ctx, PARENT, vpn, vpn + 1);
    ctx.probe.onProgress(ctx);
  }
  return 0;
}

function race(seed: number, flags: number, others: (lab: ForkLab) => ((ctx: Context) => Coroutine)[]): ForkLab {
  const lab = new ForkLab({}, { cpus: 4, framesPerNode: 96 });
  lab.map(PARENT, 0, PAGES, flags);
  for (let vpn = 0; vpn < PAGES; vpn++) lab.write(PARENT, vpn, 100 + (vpn >> 1));
  const tasks = [forks, ...others(lab)].map((main, cpu) => new Task(lab.ctx(cpu), main(lab.ctx(cpu))));
  interleave(tasks, seed);
  return lab;
}

describe('fork against', () => {
  for (const [name, flags, others] of [
    ['accesses and pins', 0, () => [accesses, pins]],
    ['accesses, pins and zaps over THPs', VM_HUGEPAGE, () => [accesses, pins, zaps]],
    ['accesses and migration', 0, (lab: ForkLab) => [accesses, migrations(lab)]],
    ['KSM, collapse and accesses', VM_MERGEABLE | VM_HUGEPAGE, () => [daemons, accesses]],
  ] as const) {
    it(name, () => {
      for (const seed of SEEDS) {
        const lab = race(seed, flags, others);
        expect([seed, ...lab.violations()]).toEqual([seed]);
        for (const mm of [PARENT, CHILD]) lab.run((ctx) => exitMmap(ctx, mm));
        expect([seed, ...lab.violations()]).toEqual([seed]);
      }
    });
  }
});
