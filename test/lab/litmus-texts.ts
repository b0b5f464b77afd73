/** Litmus texts for the tests of the language. */
import { type Mistake } from '#src/lab/litmus/language/parse.js';
import { type LitmusTest } from '#src/lab/litmus/compile.js';
import { checkedLitmus } from '#src/lab/litmus/subject.js';

/** The declarations that most texts share: `a` has two pages, `b` one that is read-only; the guest shows `a`. */
export const HEAD = `litmus good_test
"A sentence."
process A {
  a: anon 2 read write
  b: anon 1 read
}
vm G of A { slot 0: gfn 0 pages 2 at a }
`;

/** Mistakes as `line:column message`. */
export const told = (mistakes: readonly Mistake[]): string[] =>
  mistakes.map(({ line, column, message }) => `${line}:${column} ${message}`);

export const mistakesOf = (text: string): string[] => told(checkedLitmus(text).mistakes);

/** The test of a text without mistakes. */
export function testOf(text: string): LitmusTest {
  const { test, mistakes } = checkedLitmus(text);
  if (test === null) throw new Error(told(mistakes).join('\n'));
  return test;
}

/** Every construct of the page once. */
export const EVERYTHING = `litmus good_everything
"All there is,
 over two lines."
kernel v5.17
policy classic
machine nodes 2, frames 16, thp_order 1, el2 0, swap 4, lru_batch 0
knobs ksm_smart_scan 0, ksm_use_zero_pages 1, thp_enabled never, max_ptes_none 511
inject alloc cpu0 2
inject alloc ksmd 0x3
expect violation I-PIN
steps 5000

process A memlock 4 {
  a: anon 2 read write mergeable
  d: anon 1 read
  s: shared obj 1 read write
  p: pfnmap 1 read write
  u: anon 1 read write unmapped
}
process B;
vm G of A vcpus 2 {
  slot 0: gfn 0 pages 2 at a
  slot 1: gfn 4 pages 1 at d read-only
  slot 2: gfn 6 pages 1 at u log-dirty-pages unset
}
vm H of A protected unborn { slot 0: gfn 0 pages 1 at A.a[1] }
poison a[1];
unpinnable 8..15;
nomap 20;
init {
  A: write(a, 1);   # a comment
  A: write(a[1], 2);
  G.1: guest_read(1);
  q = A: pin(a[0], LONGTERM, WRITE);
  ksmd: ksm_scan(4);
}

cpu0@A node 0        | vcpu0@G.1         | ksmd node 1       | numa-balancer@A ;
r = pin_fast(a[0], WRITE) | v = guest_read(0) | ksm_scan(2) | numa_scan() ;
unpin(r)             |                   |                   | ;
madvise(a[0..1], DONTNEED) | guest_write(0, 3) | x = migrate(A.a, 1) | ;
mprotect(a, read, write)||split_folio(a)|v = read(a);
fork(B) ;

exists (r > 0 /\\ stage2(G, 0) == none)
forbidden (r == -EFAULT or not (refs(r) == 1 and maps(a) >= 2) \\/ ~ pins(pfn0(a)) < 0)
sometimes (cpu0:r != 0)
always during (pte(a) != hwpoison)
exists (vcpu0:v <= 1 /\\ numa-balancer:v == -1011)
exists (flag(a, ksm) == 1 /\\ notifier_starts(ksm, a) > 0 /\\ stage2_unmaps(G, 0) == 0)
exists (lock(mmap_lock, A) == free /\\ lock(folio, r) == held /\\ done(cpu0) == 1 /\\ pmd(B.a[1]) == table)
`;

/** What a litmus subject is made from. */
export const source = (text: string, options = {}) => ({ path: 'x.litmus', text, options });

/** A pin against a scan that looks at pins before it tells the guest. */
export const PINS = `litmus bad_pins "A pin lands between the look at the pins and the notifier."
policy check-then-notify
expect violation I-PINNED-S2
process A { a: anon 1 read write }
vm G of A { slot 0: gfn 0 pages 1 at a }
init { G: guest_write(0, 1); }
cpu0@A               | numa-balancer@A node 1 ;
p = pin(a, LONGTERM) | numa_scan() ;
exists (p > 0 /\\ stage2(G, 0) == none)
`;
