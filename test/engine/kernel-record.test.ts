/** The kernel record is what mm, kvm and hyp list, each function once, with its place in the kernel. */
import { describe, expect, it } from 'vitest';
import { BASE_KERNEL, KERNEL_FUNCTIONS, resolveKernel } from '#src/engine/machine/kernel.js';
import { HYP_FUNCTIONS } from '#src/hyp/functions.js';
import { KVM_FUNCTIONS } from '#src/kvm/functions.js';
import { MM_FUNCTIONS } from '#src/mm/functions.js';
import { POLICIES } from '#src/policies/index.js';
import { BUGS } from '#src/zoo/index.js';

const NO_FUNCTIONS = new Set(['id', 'rules', 'subscribers']);
const FUNCTIONS = Object.fromEntries(Object.entries(BASE_KERNEL).filter(([name]) => !NO_FUNCTIONS.has(name)));

describe('the kernel record', () => {
  it('has each listed function, and no other', () => {
    const rows = { ...MM_FUNCTIONS, ...KVM_FUNCTIONS, ...HYP_FUNCTIONS };
    expect(KERNEL_FUNCTIONS.length).toBe(Object.keys(rows).length);
    expect(new Map(Object.entries(FUNCTIONS))).toEqual(
      new Map(Object.entries(rows).map(([name, row]) => [name, row.run])),
    );
  });

  it('says of each where the kernel has it', () => {
    const wrong = KERNEL_FUNCTIONS.filter(
      ({ file, function: name, release }) =>
        !/^(?:mm|block|virt\/kvm|include\/linux|arch\/arm64)\/[\w/.-]+\.[ch]$/.test(file) ||
        !/^\w+$/.test(name) ||
        !/^(?:v\d+\.\d+|android\d+-\d+\.\d+)$/.test(release),
    );
    expect(wrong).toEqual([]);
  });

  it('has one shape, whatever is replaced in it', () => {
    const keys = Object.keys(resolveKernel('classic'));
    for (const { id } of [...POLICIES, ...BUGS]) expect(Object.keys(resolveKernel(id)), id).toEqual(keys);
  });

  it('has nothing that no policy, no bug and no version could replace by mistake', () => {
    const known = new Set([...Object.keys(FUNCTIONS), 'rules', 'subscribers']);
    const strays = [...POLICIES, ...BUGS].flatMap(({ replace }) =>
      Object.keys(replace).filter((name) => !known.has(name)),
    );
    expect(strays).toEqual([]);
  });
});
