/** The two steps that each planted bug records: they name what there is, and are recognised in reports. */
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { type BugClash, changes, isRecorded, locks, looksAt } from '#src/zoo/bug-clash.js';
import { BUGS } from '#src/zoo/index.js';
import { POLICY_CLASHES } from '#src/zoo/policy-clashes.js';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));

/** Every function of the simulated kernel, its policies, bugs and actors. */
const functions = new Set(
  ['src/mm', 'src/kvm', 'src/hyp', 'src/machine', 'src/policies', 'src/zoo', 'actors']
    .flatMap((room) =>
      readdirSync(join(ROOT, room), { recursive: true, encoding: 'utf8' }).map((name) => join(ROOT, room, name)),
    )
    .filter((path) => path.endsWith('.ts'))
    .flatMap((path) => [...readFileSync(path, 'utf8').matchAll(/function\*?\s+(\w+)/g)].map(([, fn]) => fn)),
);

const stepsOf = ({ steps, or }: BugClash) => [...steps, ...(or ?? [])];

describe('the two steps of a planted bug', () => {
  it.each(BUGS.map(({ id, clash }) => [id, clash] as const))('%s: names functions that there are', (_, clash) => {
    for (const step of stepsOf(clash)) {
      expect(step.functions.filter((fn) => !functions.has(fn))).toEqual([]);
      expect(step.words).not.toEqual([]);
    }
  });

  it('of the policies as well', () => {
    const named = POLICY_CLASHES.flatMap(({ clash }) => stepsOf(clash).flatMap((step) => step.functions));
    expect(named.filter((fn) => !functions.has(fn))).toEqual([]);
  });

  it('follow the commit that the bug names, or its story', () => {
    for (const { id, commit, clash } of BUGS) {
      expect(clash.follows === 'story' || commit.includes(clash.follows), id).toBe(true);
      expect(clash.follows === 'story', id).toBe(!/^[0-9a-f]{12}/.test(commit));
    }
  });
});

describe('a pair that a report names', () => {
  const clash: BugClash = {
    steps: [looksAt('refs', 'collapseHugePage'), changes('refs', 'gupFast')],
    or: [locks('PTL of table', 'zap'), looksAt('entry of stage-2 table', 'guestAccess')],
    follows: 'story',
  };
  const look = { does: 'read refs of pfn 0x1', calls: ['collapseHugePage', 'isolate'] };
  const pin = { does: 'update refs of pfn 0x1', calls: ['gupFast', 'tryGrabFolioFast'] };

  it('is the recorded one in either order', () => {
    expect(isRecorded(clash, [look, pin])).toBe(true);
    expect(isRecorded(clash, [pin, look])).toBe(true);
  });

  it('is not with another word, another function, or another kind of access', () => {
    expect(isRecorded(clash, [{ ...look, does: 'read maps of pfn 0x1' }, pin])).toBe(false);
    expect(isRecorded(clash, [{ ...look, calls: ['zap'] }, pin])).toBe(false);
    expect(isRecorded(clash, [look, { ...pin, does: 'read refs of pfn 0x1' }])).toBe(false);
    expect(isRecorded(clash, [look, look])).toBe(false);
  });

  it('may be the other one that is told, numbers and names of objects left out', () => {
    const lock = { does: 'wait for lock PTL of table 3', calls: ['zap'] };
    const walk = { does: 'read entry 12 of stage-2 table 0', calls: ['guestAccess'] };
    expect(isRecorded(clash, [lock, walk])).toBe(true);
    expect(isRecorded({ ...clash, steps: [looksAt('mmap_lock', 'f'), locks('mmap_lock', 'f')] }, [lock, walk])).toBe(
      true,
    );
    const hold = { does: 'acquire for reading mm0 mmap_lock', calls: ['f'] };
    expect(isRecorded({ steps: [locks('mmap_lock', 'f'), locks('mmap_lock', 'f')], follows: '' }, [hold, hold])).toBe(
      true,
    );
  });
});
