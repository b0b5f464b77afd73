/** EL2 as an actor (actors/el2.ts): messages instead of calls, one instance or several, against each other. */
import { describe, expect, it } from 'vitest';
import { EPERM } from '#src/machine/abi.js';
import type { Context } from '#src/machine/context.js';
import { MM_LOCKED_VM, mmWord, pinnedPageWord } from '#src/machine/layout.js';
import { STAT } from '#src/machine/stats.js';
import { el2 } from '#actors/el2.js';
import { touchUser } from '#actors/user-access.js';
import { assignEl2, hostStage2Abort } from '#src/kvm/call-hyp.js';
import { vcpuAccess } from '#src/kvm/vcpu.js';
import { kvmDestroyVm } from '#src/kvm/vm.js';
import { Task, interleave } from '../helpers/interleave.js';
import { audit } from '../helpers/audit.js';
import { runToEnd } from '../helpers/drive.js';
import { Guest } from '../kvm/guest.js';
import { illOwned } from './ownership.js';

function* guestThread(ctx: Context, cpu: number): Generator<number, number, void> {
  for (let i = 0; i < 4; i++) {
    const result = yield* vcpuAccess(ctx, 0, cpu, (i * 3 + cpu * 2) & 7, true, (cpu << 8) | i);
    if (result !== 0) return result;
  }
  return yield* ctx.kernel.vcpuPut(ctx, 0, cpu);
}

/** The VMM touches its memory too: a page that the guest has already kills the access, never the machine. */
function* vmmThread(ctx: Context): Generator<number, number, void> {
  for (let vpn = 0; vpn < 10; vpn++) yield* touchUser(ctx, 0, vpn, false, 0);
  return 0;
}

describe('EL2 instances', () => {
  for (const servers of [[4], [4, 5]]) {
    it(`${servers.length}: serve two vCPUs and a VMM at once, ownership exact, and all is given back`, () => {
      for (let seed = 1; seed <= 25; seed++) {
        const guest = new Guest({ policy: 'pkvm-2022', isProtected: true });
        assignEl2(guest.m, servers);
        const tasks: Task[] = [0, 1].map((cpu) => new Task(guest.ctx(cpu), guestThread(guest.ctx(cpu), cpu)));
        tasks.push(new Task(guest.ctx(2), vmmThread(guest.ctx(2))));
        for (const cpu of servers) tasks.push(new Task(guest.ctx(cpu), el2(guest.ctx(cpu)), true));
        interleave(tasks, seed);
        expect(tasks.slice(0, 3).map(({ result }) => result)).toEqual([0, 0, 0]);
        expect(illOwned(guest.ctx(0)), `seed ${seed}`).toEqual([]);
        let pinned = 0;
        for (let gfn = 0; gfn < 16; gfn++) if (guest.word(pinnedPageWord(guest.m, 0, gfn)) !== 0) pinned++;
        expect(guest.word(mmWord(guest.m, 0, MM_LOCKED_VM))).toBe(pinned);
        expect(guest.word(guest.ctx(0).statsAt + STAT.messages)).toBeGreaterThan(4);
        // the run is over: teardown runs EL2's part in place
        assignEl2(guest.m, []);
        runToEnd(kvmDestroyVm(guest.ctx(0), 0), guest.ctx(0));
        expect(illOwned(guest.ctx(0))).toEqual([]);
        expect(audit(guest.m)).toEqual([]);
      }
    });
  }

  it('answer with errors as they are', () => {
    const guest = new Guest({ policy: 'pkvm-2022', isProtected: true });
    guest.store(1, 1);
    const pfn = guest.word(pinnedPageWord(guest.m, 0, 1)) - 1;
    assignEl2(guest.m, [4]);
    const server = new Task(guest.ctx(4), el2(guest.ctx(4)), true);
    const caller = new Task(guest.ctx(2), hostStage2Abort(guest.ctx(2), pfn));
    interleave([caller, server] as Task[], 1);
    expect(caller.result).toBe(-EPERM);
  });
});
