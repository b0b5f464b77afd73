/**
 * Counts, errnos and states that a process sees on a real kernel (v6.18 where no other is named), each as one task's litmus file:
 * nothing else runs, so there is one outcome. They follow from the code named beside them; what user space can see of them was
 * looked at on Linux 6.18 (x86-64), through /proc/self/pagemap, /proc/kpagecount and /proc/kpageflags.
 */
import { describe, expect, it } from 'vitest';
import { runLitmus } from '#src/lab/litmus/run.js';
import { litmusSubject } from '#src/lab/litmus/subject.js';

interface Experiment {
  /** Header lines. */
  readonly head?: string;
  /** The mappings of process A. */
  readonly maps?: string;
  readonly init?: string;
  /** What the task does, an operation each. */
  readonly does: readonly string[];
  /** What must hold at the end. */
  readonly sees: string;
  /** Whose memory A's is: a guest's. */
  readonly guest?: boolean;
}

const text = ({
  head = '',
  maps = 'a: anon 1 read write',
  init = '',
  does,
  sees,
  guest = false,
}: Experiment): string => `
litmus counts
"What a process sees."
${head}
process A memlock 8 {
  ${maps}
}
process B;
${guest ? 'vm G of A { slot 0: gfn 0 pages 2 at a }' : ''}
init { ${init} }
cpu0@A node 1 ;
${does.map((operation) => `${operation} ;`).join('\n')}
always (${sees})
`;

async function check(experiment: Experiment): Promise<void> {
  const subject = litmusSubject({ path: 'counts.litmus', text: text(experiment), options: {} });
  const report = await runLitmus({ subject, schedules: 1, strategy: 'random' });
  const outcomes = report.outcomes.map(({ state }) => state);
  expect([report.violations, report.questions.map(({ answer }) => answer), outcomes]).toEqual([
    [],
    ['all-tried'],
    outcomes,
  ]);
}

const HUGE = 'a: anon 2 read write hugepage';
const MADVISE = 'knobs thp_enabled madvise';
const TWO = 'a: anon 2 read write';
const MERGEABLE = 'a: anon 3 read write mergeable';
/** Two full scans: checksums, then merging. */
const SCANS = ['ksm_scan(64)', 'ksm_scan(64)'];

const EXPERIMENTS: Readonly<Record<string, Readonly<Record<string, Experiment>>>> = {
  'references and pins (mm/gup.c)': {
    'a page written once: one reference, one mapping, no notifier': {
      does: ['write(a, 1)'],
      sees: 'refs(a) == 1 /\\ maps(a) == 1 /\\ pte(a) == rw /\\ flag(a, anon_exclusive) == 1',
    },
    'two pins: 1 + 2 * GUP_PIN_COUNTING_BIAS; one dropped': {
      does: ['write(a, 1)', 'p = pin(a, WRITE)', 'q = pin_fast(a, WRITE)', 'unpin(p)', 'r = pin(a, WRITE)'],
      sees: 'refs(a) == 2049 /\\ pins(a) == 2',
    },
    'a large folio has a pin count of its own: one reference a pin': {
      head: MADVISE,
      maps: HUGE,
      does: ['write(a, 1)', 'p = pin_fast(a, WRITE)', 'q = pin_fast(a[1], WRITE)', 'g = get(a[1])'],
      sees: 'refs(a) == 4 /\\ pins(a) == 2 /\\ pmd(a) == huge',
    },
    'the zero page is not counted: FOLL_PIN and FOLL_GET for reading give it': {
      does: ['p = pin(a)', 'g = get(a)', 'unpin(p)'],
      sees: 'p == 0 /\\ g == 0 /\\ pte(a) == zero',
    },
    'a long-term pin for reading of a page that is not there unshares: an anonymous page': {
      does: ['p = pin(a, LONGTERM)'],
      sees: '~ p == 0 /\\ p == pfn(a) /\\ flag(a, anon_exclusive) == 1 /\\ content(a) == 0',
    },
    'of the zero page that is mapped already: the same': {
      does: ['v = read(a)', 'p = pin(a, LONGTERM)'],
      sees: 'v == 0 /\\ ~ p == 0 /\\ p == pfn(a) /\\ flag(a, anon_exclusive) == 1',
    },
    'FOLL_WRITE needs VM_WRITE, and nothing comes of a hole or of PROT_NONE': {
      maps: 'r: anon 1 read\n  n: anon 1 read write\n  h: anon 1 read write unmapped',
      does: ['p = pin(r, WRITE)', 'write(n, 1)', 'mprotect(n, none)', 'q = pin(n)', 's = pin_fast(n)', 't = get(h)'],
      sees: 'p == -EFAULT /\\ q == -EFAULT /\\ s == -EFAULT /\\ t == -EFAULT',
    },
    'FOLL_FORCE reads PROT_NONE (ptrace)': {
      does: ['write(a, 7)', 'mprotect(a, none)', 'g = get(a, FORCE)', 'v = pin_read(g)'],
      sees: 'g == pfn(a) /\\ v == 7',
    },
    'FOLL_FORCE | FOLL_WRITE breaks COW of a read-only private mapping, whose entry stays read-only': {
      maps: 'a: anon 1 read write',
      does: ['write(a, 7)', 'mprotect(a, read)', 'p = pin(a, WRITE, FORCE)', 'w = pin_write(p, 8)', 'v = read(a)'],
      sees: 'p == pfn(a) /\\ v == 8 /\\ pte(a) == ro',
    },
    'a driver mapping without struct pages is read by the process and by no pin': {
      maps: 'd: pfnmap 1 read write',
      does: ['v = read(d)', 'p = pin(d)', 'q = pin(d, WRITE, LONGTERM)'],
      sees: 'p == -EFAULT /\\ q == -EFAULT',
    },
  },

  'copy on write (mm/memory.c)': {
    'fork shares: two references, two mappings, both entries read-only': {
      does: ['write(a, 1)', 'fork(B)'],
      sees: 'refs(a) == 2 /\\ maps(a) == 2 /\\ pte(a) == ro /\\ pte(B.a) == ro /\\ flag(a, anon_exclusive) == 0',
    },
    'the parent writes first: it copies, and the child has the old page for itself': {
      init: 'A: write(a, 1);',
      does: ['fork(B)', 'write(a, 2)'],
      sees: 'pfn(B.a) == pfn0(a) /\\ ~ pfn(a) == pfn0(a) /\\ refs(B.a) == 1 /\\ refs(a) == 1 /\\ pte(B.a) == ro /\\ content(B.a) == 1',
    },
    'a reference by vmsplice makes the last owner copy (v5.9)': {
      init: 'A: write(a, 1); g = A: get(a);',
      does: ['mprotect(a, read)', 'mprotect(a, read, write)', 'fork(B)', 'write(a, 2)'],
      sees: '~ pfn(a) == pfn0(a) /\\ refs(pfn0(a)) == 2 /\\ content(pfn0(a)) == 1',
    },
    'a page that is exclusive is written again without a copy, whatever its references (v5.19)': {
      init: 'A: write(a, 1); g = A: get(a);',
      does: ['mprotect(a, read)', 'mprotect(a, read, write)', 'write(a, 2)'],
      sees: 'pfn(a) == pfn0(a) /\\ refs(a) == 2 /\\ content(g) == 2',
    },
    'before v5.19 such a reference costs a copy': {
      head: 'kernel v5.17',
      init: 'A: write(a, 1); g = A: get(a);',
      does: ['mprotect(a, read)', 'mprotect(a, read, write)', 'write(a, 2)'],
      sees: '~ pfn(a) == pfn0(a) /\\ content(g) == 1',
    },
    'a pinned page is copied for the child at fork, and the parent writes on in place': {
      init: 'A: write(a, 1); p = A: pin(a, WRITE, LONGTERM);',
      does: ['fork(B)', 'write(a, 2)'],
      sees: 'pfn(a) == p /\\ ~ pfn(B.a) == p /\\ content(B.a) == 1 /\\ content(p) == 2 /\\ refs(B.a) == 1',
    },
    'a huge page after fork: the writer splits its PMD and copies one page': {
      head: MADVISE,
      maps: HUGE,
      does: ['write(a, 1)', 'fork(B)', 'write(a, 2)'],
      sees: 'pmd(a) == table /\\ pmd(B.a) == huge /\\ refs(B.a) == 2 /\\ pfn(a[1]) == pfn(B.a[1]) /\\ ~ pfn(a) == pfn(B.a) /\\ maps(B.a[1]) == 2',
    },
    'where only the zero page is mapped there is no anon_vma, and fork copies no entry': {
      maps: TWO,
      does: ['v = read(a)', 'fork(B)'],
      sees: 'pte(B.a) == none /\\ pte(a) == zero',
    },
    'beside a page of its own the zero page is shared by fork without a count': {
      maps: TWO,
      does: ['v = read(a)', 'write(a[1], 1)', 'fork(B)', 'write(a, 3)'],
      sees: 'pte(B.a) == zero /\\ pte(a) == rw /\\ refs(a) == 1',
    },
    'shared memory is not copied': {
      maps: 's: shared obj 1 read write',
      does: ['write(s, 1)', 'fork(B)', 'write(s, 2)'],
      sees: 'content(s) == 2 /\\ pte(s) == rw /\\ pte(B.s) == none',
    },
  },

  'notifiers of the process itself': {
    'the first touch sends none, the copy from the zero page one': {
      maps: TWO,
      guest: true,
      does: ['write(a, 1)', 'v = read(a[1])', 'write(a[1], 2)'],
      sees: 'notifier_starts(any, a) == 0 /\\ notifier_starts(any, a[1]) == 1',
    },
    'mprotect and its undoing: one each; the page writable again without a fault': {
      head: 'machine thp_order 2',
      maps: TWO,
      guest: true,
      init: 'A: write(a, 1); G: guest_write(0, 2);',
      does: ['mprotect(a[0], read)', 'mprotect(a[0], read, write)'],
      sees: 'notifier_starts(any, a) == 2 /\\ stage2(G, 0) == none /\\ pte(a) == rw',
    },
    'MADV_DONTNEED and MADV_FREE: one each, touched or not': {
      maps: TWO,
      guest: true,
      does: ['madvise(a[0], DONTNEED)', 'madvise(a[0], FREE)'],
      sees: 'notifier_starts(any) == 2',
    },
    'a guest that only reads what nobody has written gets the zero page, read-only': {
      maps: TWO,
      guest: true,
      init: 'G: guest_read(0);',
      does: ['v = read(a[1])'],
      sees: 'stage2(G, 0) == ro /\\ stage2_pfn(G, 0) == 0 /\\ pte(a) == zero',
    },
    'and reading a written page maps it writable': {
      maps: TWO,
      guest: true,
      init: 'A: write(a, 4); G: guest_read(0);',
      does: ['v = read(a[1])'],
      sees: 'stage2(G, 0) == rw /\\ refs(a) == 1',
    },
    'what the guest then writes replaces the zero page: one notifier, one more fault': {
      maps: TWO,
      guest: true,
      init: 'G: guest_read(0); G: guest_write(0, 5);',
      does: ['v = read(a[1])'],
      sees: 'stage2(G, 0) == rw /\\ content(a) == 5 /\\ refs(a) == 1',
    },
  },

  'madvise (mm/madvise.c)': {
    'MADV_DONTNEED and MADV_FREE of locked memory: EINVAL': {
      maps: 'a: anon 1 read write locked',
      does: ['write(a, 1)', 'r = madvise(a, DONTNEED)', 's = madvise(a, FREE)', 'v = read(a)'],
      sees: 'r == -EINVAL /\\ s == -EINVAL /\\ v == 1',
    },
    'over a hole: ENOMEM, but what is mapped behind it is done': {
      maps: 'a: anon 4 read write',
      does: [
        'write(a[0], 1)',
        'write(a[3], 1)',
        'munmap(a[1])',
        'r = madvise(a, DONTNEED)',
        'v = read(a[3])',
        'w = read(a[0])',
      ],
      sees: 'r == -ENOMEM /\\ v == 0 /\\ w == 0',
    },
    'MADV_REMOVE of private memory: EINVAL': {
      does: ['write(a, 1)', 'r = madvise(a, REMOVE)'],
      sees: 'r == -EINVAL /\\ content(a) == 1',
    },
    'MADV_FREE of shared memory: EINVAL; MADV_DONTNEED of it keeps the content': {
      maps: 's: shared obj 1 read write',
      does: ['write(s, 1)', 'r = madvise(s, FREE)', 'q = madvise(s, DONTNEED)', 'v = read(s)'],
      sees: 'r == -EINVAL /\\ q == 0 /\\ v == 1',
    },
    'MADV_FREE: a write after it saves the page from reclaim': {
      head: 'machine swap 2',
      does: ['write(a, 1)', 'r = madvise(a, FREE)', 'write(a, 2)', 's = swap_out(a)', 'v = read(a)'],
      sees: 'r == 0 /\\ v == 2',
    },
    'MADV_FREE: without one reclaim drops it, no swap slot used': {
      head: 'machine swap 2',
      does: ['write(a, 1)', 'r = madvise(a, FREE)', 's = swap_out(a)'],
      sees: 'r == 0 /\\ s == 1 /\\ pte(a) == none',
    },
    'MADV_MERGEABLE of shared memory is ignored: 0, and nothing merges': {
      maps: 's: shared obj 2 read write',
      does: ['write(s[0], 1)', 'write(s[1], 1)', 'r = madvise(s, MERGEABLE)', ...SCANS, 'ksm_scan(64)'],
      sees: 'r == 0 /\\ ~ pfn(s[0]) == pfn(s[1])',
    },
    'MADV_COLLAPSE: EINVAL where nothing is mapped, and where MADV_NOHUGEPAGE was said': {
      maps: 'a: anon 2 read write\n  n: anon 2 read write nohugepage',
      does: ['r = madvise(a, COLLAPSE)', 'write(n, 1)', 's = madvise(n, COLLAPSE)'],
      sees: 'r == -EINVAL /\\ s == -EINVAL /\\ pmd(n) == table',
    },
    'MADV_COLLAPSE: 0 and huge with one page of two there; 0 when it is huge already': {
      maps: TWO,
      does: ['write(a[1], 1)', 'r = madvise(a, COLLAPSE)', 's = madvise(a, COLLAPSE)'],
      sees: 'r == 0 /\\ s == 0 /\\ pmd(a) == huge /\\ refs(a) == 1 /\\ content(a[1]) == 1 /\\ content(a[0]) == 0',
    },
    'MADV_COLLAPSE of pages that a child shares copies them: the child keeps the old ones': {
      maps: TWO,
      does: ['write(a[0], 1)', 'write(a[1], 2)', 'fork(B)', 'r = madvise(a, COLLAPSE)'],
      sees: 'r == 0 /\\ pmd(a) == huge /\\ pmd(B.a) == table /\\ refs(B.a[0]) == 1 /\\ refs(B.a[1]) == 1 /\\ pte(B.a[0]) == ro',
    },
    'MADV_COLLAPSE of PROT_NONE and of locked memory: 0': {
      maps: 'a: anon 2 read write\n  l: anon 2 read write locked',
      does: ['write(a, 1)', 'write(l, 1)', 'mprotect(a, none)', 'r = madvise(a, COLLAPSE)', 's = madvise(l, COLLAPSE)'],
      sees: 'r == 0 /\\ pmd(a) == huge /\\ s == 0 /\\ pmd(l) == huge',
    },
    'MADV_COLLAPSE of zero pages: EINVAL without an anon_vma; 0 with one, and of an empty table too': {
      maps: 'a: anon 2 read write\n  b: anon 2 read write\n  c: anon 2 read write',
      does: [
        'v = read(a)',
        'r = madvise(a, COLLAPSE)',
        'w = read(b[0])',
        'write(b[1], 1)',
        'madvise(b[1], DONTNEED)',
        's = madvise(b, COLLAPSE)',
        'write(c, 1)',
        'madvise(c, DONTNEED)',
        't = madvise(c, COLLAPSE)',
      ],
      sees: 'r == -EINVAL /\\ s == 0 /\\ pmd(b) == huge /\\ t == 0 /\\ pmd(c) == huge',
    },
    'mprotect over a hole: ENOMEM': {
      maps: 'a: anon 4 read write',
      does: ['munmap(a[1])', 'r = mprotect(a, read)'],
      sees: 'r == -ENOMEM',
    },
  },

  'KSM (mm/ksm.c)': {
    'three equal pages: one page with three mappings and three references, the tree has none': {
      maps: MERGEABLE,
      does: ['write(a[0], 5)', 'write(a[1], 5)', 'write(a[2], 5)', ...SCANS, 'ksm_scan(64)'],
      sees: 'pfn(a[0]) == pfn(a[2]) /\\ pfn(a[1]) == pfn(a[2]) /\\ refs(a) == 3 /\\ maps(a) == 3 /\\ flag(a, ksm) == 1 /\\ pte(a[0]) == ro',
    },
    'a page that equals no other stays as it was: writable, no notifier': {
      maps: MERGEABLE,
      does: ['write(a[0], 5)', 'write(a[1], 6)', ...SCANS, ...SCANS],
      sees: 'flag(a, ksm) == 0 /\\ pte(a) == rw /\\ notifier_starts(ksm) == 0',
    },
    'the last mapping of a KSM page is written by copying, too': {
      maps: MERGEABLE,
      does: [
        'write(a[0], 5)',
        'write(a[1], 5)',
        ...SCANS,
        'g = get(a[0])',
        'put(g)',
        'write(a[0], 6)',
        'write(a[1], 7)',
      ],
      sees: '~ pfn(a[0]) == g /\\ ~ pfn(a[1]) == g /\\ flag(a, ksm) == 0 /\\ refs(g) == 0 /\\ flag(g, free) == 1',
    },
    'MADV_UNMERGEABLE gives each its own page back': {
      maps: MERGEABLE,
      does: ['write(a[0], 5)', 'write(a[1], 5)', ...SCANS, 'r = madvise(a, UNMERGEABLE)'],
      sees: 'r == 0 /\\ ~ pfn(a[0]) == pfn(a[1]) /\\ refs(a[0]) == 1 /\\ flag(a[0], ksm) == 0 /\\ flag(a[1], ksm) == 0 /\\ content(a[1]) == 5',
    },
    'pages written with zeroes merge like others; with use_zero_pages they become the zero page': {
      head: 'knobs ksm_use_zero_pages 1',
      maps: MERGEABLE,
      does: ['write(a[0], 0)', 'write(a[1], 0)', ...SCANS],
      sees: 'pte(a[0]) == zero /\\ pte(a[1]) == zero',
    },
    'without it they share a KSM page': {
      maps: MERGEABLE,
      does: ['write(a[0], 0)', 'write(a[1], 0)', ...SCANS],
      sees: 'pfn(a[0]) == pfn(a[1]) /\\ flag(a, ksm) == 1',
    },
    'locked memory merges': {
      maps: 'a: anon 2 read write mergeable locked',
      does: ['write(a[0], 5)', 'write(a[1], 5)', ...SCANS],
      sees: 'pfn(a[0]) == pfn(a[1]) /\\ flag(a, ksm) == 1',
    },
    'a long-term pin for reading breaks the sharing first': {
      maps: MERGEABLE,
      does: ['write(a[0], 5)', 'write(a[1], 5)', ...SCANS, 'p = pin(a[0], LONGTERM)'],
      sees: 'p == pfn(a[0]) /\\ flag(a[0], ksm) == 0 /\\ flag(a[1], ksm) == 1 /\\ refs(a[1]) == 1 /\\ content(p) == 5',
    },
    'fork adds a mapping and a reference to a KSM page': {
      maps: MERGEABLE,
      does: ['write(a[0], 5)', 'write(a[1], 5)', ...SCANS, 'fork(B)'],
      sees: 'refs(a) == 4 /\\ maps(a) == 4 /\\ pfn(B.a[1]) == pfn(a[0])',
    },
    'MADV_COLLAPSE of a range that has a KSM page twice: EAGAIN, for it is locked already': {
      maps: TWO.replace('write', 'write mergeable'),
      does: ['write(a[0], 5)', 'write(a[1], 5)', ...SCANS, 'r = madvise(a, COLLAPSE)'],
      sees: 'r == -EAGAIN /\\ refs(a) == 2 /\\ flag(a, ksm) == 1',
    },
    'MADV_COLLAPSE takes KSM pages: one mapping and one reference less': {
      maps: 'a: anon 4 read write mergeable',
      does: ['write(a[0], 5)', 'write(a[1], 6)', 'write(a[2], 5)', ...SCANS, 'r = madvise(a[0..1], COLLAPSE)'],
      sees: 'r == 0 /\\ pmd(a) == huge /\\ refs(a[2]) == 1 /\\ flag(a[2], ksm) == 1',
    },
  },

  'migration and NUMA (mm/migrate.c, mm/mprotect.c)': {
    'an unpinned page moves, content and counts with it': {
      does: ['write(a, 9)', 'r = migrate(a, 0)'],
      sees: 'r == 0 /\\ node(a) == 0 /\\ content(a) == 9 /\\ refs(a) == 1 /\\ maps(a) == 1',
    },
    'a pinned one, or one with a reference, stays: one page not moved': {
      maps: TWO,
      does: [
        'write(a[0], 9)',
        'write(a[1], 8)',
        'p = pin(a[0], WRITE)',
        'g = get(a[1])',
        'r = migrate(a[0], 0)',
        's = migrate(a[1], 0)',
      ],
      sees: 'r == 1 /\\ s == 1 /\\ pfn(a[0]) == p /\\ pfn(a[1]) == g /\\ pte(a[0]) == rw /\\ pte(a[1]) == rw',
    },
    'a page of two processes moves for both': {
      does: ['write(a, 9)', 'fork(B)', 'r = migrate(a, 0)'],
      sees: 'r == 0 /\\ pfn(a) == pfn(B.a) /\\ node(a) == 0 /\\ refs(a) == 2 /\\ maps(a) == 2',
    },
    'a KSM page moves for all its mappings': {
      maps: MERGEABLE,
      does: ['write(a[0], 5)', 'write(a[1], 5)', ...SCANS, 'r = migrate(a[0], 0)'],
      sees: 'r == 0 /\\ pfn(a[0]) == pfn(a[1]) /\\ node(a) == 0 /\\ refs(a) == 2 /\\ flag(a, ksm) == 1',
    },
    'a huge page moves whole': {
      head: MADVISE,
      maps: HUGE,
      does: ['write(a, 9)', 'r = migrate(a, 0)'],
      sees: 'r == 0 /\\ pmd(a) == huge /\\ node(a) == 0 /\\ node(a[1]) == 0 /\\ refs(a) == 1',
    },
    'the zero page and KSM pages get no hints, nor what a child shares': {
      maps: 'z: anon 1 read write\n  a: anon 2 read write mergeable\n  f: anon 1 read write',
      does: [
        'v = read(z)',
        'write(a[0], 5)',
        'write(a[1], 5)',
        ...SCANS,
        'write(f, 1)',
        'migrate(f, 0)',
        'fork(B)',
        'numa_scan()',
      ],
      sees: 'pte(z) == zero /\\ pte(a) == ro /\\ pte(f) == ro',
    },
    'pages on the node of the only task get no hints, others do': {
      maps: TWO,
      does: ['write(a[0], 1)', 'write(a[1], 1)', 'migrate(a[1], 0)', 'numa_scan()'],
      sees: 'node(a[0]) == 1 /\\ pte(a[0]) == rw /\\ pte(a[1]) == protnone',
    },
    'GUP for reading looks through a hint (v6.8)': {
      does: ['write(a, 1)', 'migrate(a, 0)', 'numa_scan()', 'p = pin(a)'],
      sees: 'p == pfn(a) /\\ pte(a) == protnone /\\ node(a) == 0',
    },
    'for writing it takes the hint fault, for the entry is not writable: the page moves before it is pinned': {
      does: ['write(a, 1)', 'migrate(a, 0)', 'numa_scan()', 'p = pin(a, WRITE)'],
      sees: 'p == pfn(a) /\\ pte(a) == rw /\\ node(a) == 1',
    },
    'GUP-fast does so as well': {
      does: ['write(a, 1)', 'migrate(a, 0)', 'numa_scan()', 'p = pin_fast(a)'],
      sees: 'p == pfn(a) /\\ pte(a) == protnone',
    },
  },

  'huge pages (mm/huge_memory.c)': {
    'one fault maps all of it: one reference, a mapping for each page': {
      head: MADVISE,
      maps: HUGE,
      does: ['write(a[1], 1)'],
      sees: 'pmd(a) == huge /\\ refs(a) == 1 /\\ maps(a) == 1 /\\ maps(a[1]) == 1',
    },
    'a read fault maps the huge zero page, a write to it allocates': {
      head: MADVISE,
      maps: HUGE,
      does: ['v = read(a)', 'write(a[1], 4)'],
      sees: 'v == 0 /\\ pmd(a) == huge /\\ content(a[1]) == 4 /\\ content(a[0]) == 0',
    },
    'split_folio: 0, small pages with a reference each; refused while pinned': {
      head: MADVISE,
      maps: 'a: anon 2 read write hugepage\n  b: anon 2 read write hugepage',
      does: ['write(a, 1)', 'write(b, 1)', 'p = pin(b[1], WRITE)', 'r = split_folio(a)', 's = split_folio(b)'],
      sees: 'r == 0 /\\ s == -EAGAIN /\\ refs(a[0]) == 1 /\\ refs(a[1]) == 1 /\\ flag(a, huge) == 0 /\\ flag(b, huge) == 1 /\\ pfn(b[1]) == p',
    },
    'unmapping half of it splits the PMD; the folio keeps the other half': {
      head: MADVISE,
      maps: HUGE,
      does: ['write(a, 1)', 'r = munmap(a[1])'],
      sees: 'r == 0 /\\ pmd(a) == table /\\ refs(a) == 1 /\\ maps(a) == 1 /\\ flag(a, huge) == 1',
    },
    'MADV_DONTNEED of all of it frees the folio without a split': {
      head: MADVISE,
      maps: HUGE,
      does: ['write(a, 1)', 'g = get(a)', 'put(g)', 'r = madvise(a, DONTNEED)'],
      sees: 'r == 0 /\\ pmd(a) == none /\\ refs(g) == 0',
    },
  },

  'reclaim and swap (mm/vmscan.c, mm/memory.c)': {
    'a read goes around the swap cache where the slot has one user and the device is synchronous (zram); writable again':
      {
        head: 'machine swap 4',
        does: ['write(a, 1)', 's = swap_out(a)', 'v = read(a)'],
        sees: 's == 1 /\\ v == 1 /\\ refs(a) == 1 /\\ flag(a, swapcache) == 0 /\\ pte(a) == rw /\\ flag(a, anon_exclusive) == 1',
      },
    'a write frees the slot: one reference': {
      head: 'machine swap 4',
      does: ['write(a, 1)', 's = swap_out(a)', 'write(a, 2)'],
      sees: 's == 1 /\\ refs(a) == 1 /\\ flag(a, swapcache) == 0 /\\ content(a) == 2',
    },
    'MADV_FREE, then reclaim, then a read: zeroes': {
      head: 'machine swap 4',
      does: ['write(a, 1)', 'madvise(a, FREE)', 's = swap_out(a)', 'v = read(a)'],
      sees: 's == 1 /\\ v == 0 /\\ pte(a) == zero',
    },
    'locked memory is not reclaimed': {
      head: 'machine swap 4',
      maps: 'a: anon 1 read write locked',
      does: ['write(a, 1)', 's = swap_out(a)'],
      sees: 's == 0 /\\ pte(a) == rw',
    },
    'after fork both come back to one page': {
      head: 'machine swap 4',
      does: ['write(a, 1)', 'fork(B)', 's = swap_out(a)', 'v = read(a)'],
      sees: 's == 1 /\\ v == 1 /\\ pte(B.a) == swap /\\ pte(a) == ro',
    },
  },

  accesses: {
    'PROT_NONE, read-only and holes: SIGSEGV': {
      maps: 'a: anon 1 read write\n  r: anon 1 read\n  h: anon 1 read write unmapped',
      does: ['mprotect(a, none)', 'v = read(a)', 'w = write(r, 1)', 'x = read(h)', 'y = read(r)'],
      sees: 'v == -SIGSEGV /\\ w == -SIGSEGV /\\ x == -SIGSEGV /\\ y == 0',
    },
    'the pin keeps the page that MADV_DONTNEED took from the process': {
      does: ['write(a, 1)', 'p = pin(a, WRITE, LONGTERM)', 'madvise(a, DONTNEED)', 'v = read(a)', 'w = pin_read(p)'],
      sees: 'v == 0 /\\ w == 1 /\\ refs(p) == 1024 /\\ maps(p) == 0 /\\ pte(a) == zero',
    },
  },
};

for (const [group, experiments] of Object.entries(EXPERIMENTS)) {
  describe(group, () => {
    for (const [name, experiment] of Object.entries(experiments)) it(name, () => check(experiment));
  });
}
