/** What random programs have found, made small: false alarms of oracles and of the language, and what kernel code did wrong. */
import { describe, expect, it } from 'vitest';
import { tryText } from './alarms.js';

const PFNMAP = 'process A { a: pfnmap 1 read write }\n';
const GUEST = `process A { a: anon 1 read write }
vm G of A vcpus 2 { slot 0: gfn 0 pages 1 at a }
init { G: guest_write(0, 1); }
`;
const UNBORN = `process A { a: anon 1 read write }
vm G of A unborn { slot 0: gfn 0 pages 1 at a }
`;

describe('what random programs have found', () => {
  it.each([
    ['a VM that was never made is not destroyed', `policy pkvm-2022\n${UNBORN}v@A;\nr = destroy_vm(G);`],
    ['a VM is destroyed once', `policy pkvm-np-upstream\n${GUEST}u@A | v@A;\ndestroy_vm(G) | destroy_vm(G);`],
    ['memslots of a VM that goes', `policy pkvm-2022\n${GUEST}u@A | v@A;\ndestroy_vm(G) | delete_memslot(G, 0);`],
    ['a VM that is made anew', `${GUEST}u@A | v@G.1;\ndestroy_vm(G) | guest_write(0, 3);\ncreate_vm(G) | ;`],
    [
      'a slot that goes in the first schedule of all',
      `${GUEST}u@A | v@G.1;\ndelete_memslot(G, 0) | guest_write(0, 3);`,
    ],
    ["a driver's memory is not merged", `${PFNMAP}u@A | v@A;\nmadvise(a, MERGEABLE) | madvise(a, UNMERGEABLE);`],
    [
      'what a protected guest keeps when its process has let go of it',
      `policy pkvm-np-upstream\nprocess A { a: anon 1 read write }\nvm G of A protected { slot 0: gfn 0 pages 1 at a }
init { G: guest_write(0, 1); A: munmap(a); }\nv@G;\nguest_write(0, 2);`,
    ],
    [
      'a protected guest under pkvm-np-upstream',
      `policy pkvm-np-upstream\n${GUEST.replace('{ slot', 'protected { slot')}u@A | v@G.1;\nmadvise(a, DONTNEED) | guest_write(0, 2);`,
    ],
    [
      'a guest that is not protected gives up',
      `policy pkvm-np-upstream\n${GUEST}u@A | v@G.1 | w@G;\nmadvise(a, DONTNEED) | guest_relinquish(0) | guest_write(0, 3);`,
    ],
    [
      'a pin from before the process let go of its page',
      'process A { a: anon 1 read write }\ninit { p = A: pin(a); A: madvise(a, DONTNEED); q = A: pin(a); }\nu@A;\nread(a);',
    ],
    [
      'a page of the huge zero page that breaks',
      `policy pkvm-np-upstream\nmachine thp_order 1\nknobs thp_enabled always, thp_use_zero_page 1\nprocess A { a: anon 2 read write }
vm G of A { slot 0: gfn 0 pages 2 at a }\ninit { A: read(a[0]); A: memory_failure(a[1]); }\nv@G;\nguest_write(0, 2);`,
    ],
    [
      'a block that dirty logging splits',
      `machine thp_order 1\nknobs thp_enabled always\nprocess A { a: anon 2 read write }\nvm G of A { slot 0: gfn 0 pages 2 at a }
init { G: guest_write(1, 3); A: log_memslot(G, 0); }\nv@G;\nguest_write(0, 3);`,
    ],
    [
      "a driver's memory that fork has shared",
      'process A { a: pfnmap 1 read write }\nprocess B;\ninit { A: fork(B); }\nu@A | v@B;\nwrite(a, 2) | read(a);',
    ],
    [
      'a VM that is made while a page of its process migrates: mm_take_all_locks() takes the rmap locks too',
      `${UNBORN.replace('unborn', 'vcpus 1 unborn')}v@A | w@A node 1;\nwrite(a, 1) | migrate(a, 0);\ncreate_vm(G) | ;`,
    ],
    [
      'a guest of 2022 gives up',
      `policy pkvm-2022\n${GUEST}u@A | v@G.1 | w@G;\nmunmap(a) | guest_relinquish(0) | guest_write(0, 3);`,
    ],
    [
      'two scans of huge pages at one cursor',
      'process A { a: anon 1 read write }\nu@A | khugepaged;\nkhugepaged_scan(3) | khugepaged_scan(3);',
    ],
    [
      'a VM that goes beside one who holds a lock of the rmap only',
      `policy classic\n${GUEST}u@A | v@A;\nswap_out(a) | destroy_vm(G);`,
    ],
    [
      'a VM that is made beside its guest',
      `policy pkvm-2022\n${UNBORN.replace('unborn', 'vcpus 1 protected unborn')}v@G | w@A;\nguest_write(0, 1) | create_vm(G);`,
    ],
    [
      'a VM that is made again when it has gone',
      `policy pkvm-2022\n${GUEST}v@A | w@A;\ndestroy_vm(G) | create_vm(G);\n | destroy_vm(G);`,
    ],
    [
      'a page handed out again where GUP-fast comes by the old entry',
      `process A { a: anon 1 read write }\nprocess B { a: anon 1 read write }\ninit { A: write(a, 1); }
u@A | v@A | w@B;\np = pin_fast(a) | munmap(a) | write(a, 5);`,
    ],
    [
      'a huge page that is split and mapped again under GUP-fast',
      `machine thp_order 1\nknobs thp_enabled always\nprocess A { a: anon 2 read write }\ninit { A: write(a[0], 1); }
u@A | v@A;\np = pin_fast(a[1], LONGTERM) | madvise(a, DONTNEED);\nunpin(p) | write(a[0], 2);`,
    ],
  ])('%s', (_, text) => {
    expect(tryText(`litmus x "s"\n${text}`, 150)).toMatchObject({ alarm: '', refused: [], schedules: 150 });
  });
});
