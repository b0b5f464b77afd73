/** The machine's memory as its rows describe it: every word has a name, no two have the same, and what is printed from them is theirs. */
import { execFileSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { SMALL_MACHINE } from '#src/machine/config.js';
import {
  GLOBAL_MF_MUTEX,
  MM_NUMA_NEXT_SCAN,
  Machine,
  VCPU_HOST_MC_HEAD,
  VMA_PGOFF,
  VM_HYP_META,
  VM_MEMSLOT_SETS,
  cpuWord,
  CPU_MAILBOX,
  MAIL_RESULT,
  dirtyWord,
  faultedWord,
  generationWord,
  globalLock,
  mappedPageWord,
  mmWord,
  pmdLockOf,
  s2PteWord,
  vcpuWord,
  vmWord,
  vmaWord,
} from '#src/machine/layout.js';
import { describeWord } from '#src/machine/layout/describe.js';
import { regionsOf } from '#src/machine/layout/find.js';
import { REGIONS } from '#src/machine/layout/regions.js';

const LARGER = { ...SMALL_MACHINE, cpus: 7, mms: 3, vms: 2, nodes: 2, vmasPerMm: 77, thpOrder: 3, mmPages: 100 };
const MACHINES = [SMALL_MACHINE, { ...LARGER, vmPages: 70, objects: 3, objectPages: 9, swapSlots: 10 }];

describe.each(MACHINES)('a machine of %o', (config) => {
  const m = new Machine(config);

  it('has a name for every word, the first and the last included, and none twice', () => {
    const names = new Map<string, number>();
    const twice: string[] = [];
    for (let word = 0; word < m.totalWords; word++) {
      const name = describeWord(m, word);
      if (names.has(name)) twice.push(`${name}: ${names.get(name)} and ${word}`);
      names.set(name, word);
    }
    expect(twice).toEqual([]);
    expect([...names.keys()].filter((name) => /undefined|NaN|null/.test(name))).toEqual([]);
    // what fills the last line of a region, and nothing else
    const gaps = regionsOf(m).flatMap(({ end }) => Array.from({ length: (16 - (end % 16)) % 16 }, (_, n) => end + n));
    const unused = [...names].flatMap(([name, word]) => (name.endsWith('which nobody uses') ? [word] : []));
    expect(unused).toEqual(gaps);
  });

  it('has regions in line, without a gap of more than a line', () => {
    const regions = regionsOf(m);
    for (const [n, { at }] of regions.entries()) {
      const before = regions[n - 1]?.end ?? 0;
      expect(at - before).toBeGreaterThanOrEqual(0);
      expect(at - before).toBeLessThan(16);
    }
    expect(m.totalWords - (regions.at(-1)?.end ?? 0)).toBeLessThan(16);
  });
});

it('fields of a struct do not overlap, and stay inside it', () => {
  for (const { struct } of REGIONS) {
    const used = new Set<number>();
    for (const { at, words, constant, element } of struct.fields) {
      if (element !== null) expect(words % element.words).toBe(0);
      for (let word = at; word < at + words; word++) {
        expect(used.has(word), constant).toBe(false);
        used.add(word);
        expect(word, constant).toBeLessThan(struct.words);
      }
    }
  }
});

it('calls words by the kernel’s names', () => {
  const m = new Machine(MACHINES[1] as typeof SMALL_MACHINE);
  const names: readonly (readonly [number, string])[] = [
    [dirtyWord(m, 0, 40), 'dirty bitmap of vm0 gfns from 0x20'],
    [generationWord(m, 1, 3), 'marks followed of vm1 gfn 0x3'],
    [faultedWord(m, 1, 3), 'mapped before of vm1 gfns from 0x0'],
    [mappedPageWord(m, 0, 0x20), 'mapping at EL2 of vm0 gfn 0x20'],
    [globalLock(m, GLOBAL_MF_MUTEX), 'mf_mutex'],
    [globalLock(m, GLOBAL_MF_MUTEX) + 1, 'Lamport time of mf_mutex'],
    [mmWord(m, 0, MM_NUMA_NEXT_SCAN), 'mm0 numa_next_scan'],
    [pmdLockOf(m, 1, 70), 'PMD lock 1 of mm1'],
    [vmaWord(m, 3, VMA_PGOFF), 'vm_pgoff of VMA 3'],
    [vmWord(m, 1, VM_HYP_META), 'vm1 EL2 metadata page'],
    [vcpuWord(m, 0, 2, VCPU_HOST_MC_HEAD), 'vm0 vcpu2 memcache head'],
    [vmWord(m, 0, VM_MEMSLOT_SETS) + 16, 'count of vm0 memslot set 1'],
    [cpuWord(m, 5, CPU_MAILBOX + MAIL_RESULT), 'result of request slot of CPU 5'],
    [s2PteWord(m, 2, 5), 'entry 5 of stage-2 table 2'],
    [-1, 'word -1, which nobody uses'],
    [m.totalWords, `word ${m.totalWords}, which nobody uses`],
  ];
  expect(names.map(([word]) => describeWord(m, word))).toEqual(names.map(([, name]) => name));
});

it('what is printed from the rows is what the rows say', () => {
  execFileSync(process.execPath, ['.ci/layout.mjs', '--check'], { stdio: 'pipe' });
});
