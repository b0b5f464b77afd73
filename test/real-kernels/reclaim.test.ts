/**
 * Reclaim against pins and a running guest, as observed: pinned pages never moved and stayed coherent (F2, E14), the mapping of a
 * pinned page was not even announced, an unpinned page goes with one notifier call, and a plain reference only keeps the frame.
 * Kernel-model table 4, row 10: before v5.19 a pin that came late did not keep the PTE.
 */
import { describe, expect, it } from 'vitest';
import { type LitmusReport, runLitmus } from '#src/lab/litmus/run.js';
import { litmusSubject } from '#src/lab/litmus/subject.js';

const file = (header: string, init: string, columns: string, questions: string): string => `
litmus reclaim
"Reclaim and whoever uses the page."
machine swap 2
${header}
process A {
  a: anon 1 read write
}
vm G of A {
  slot 0: gfn 0 pages 1 at a
}
init {
  A: write(a, 1);
  G: guest_read(0);
  ${init}
}
${columns}
${questions}
`;

/**
 * Explores it at random and with PCT; nothing may be broken, and every question is answered as it asks: a `sometimes` by one of
 * them, the others by both.
 * @returns the answer to the last question
 */
async function answered(text: string, schedules = 120): Promise<string> {
  const subject = litmusSubject({ path: 'reclaim.litmus', text, options: {} });
  const reports: LitmusReport[] = [];
  for (const strategy of ['random', 'pct']) reports.push(await runLitmus({ subject, schedules, strategy }));
  const wrong: string[] = [];
  let last = 'none-tried';
  reports[0]?.questions.forEach(({ question }, i) => {
    const both = reports.map(({ questions }) => questions[i]);
    const ok = both.map((each) => each?.ok === true);
    if (!(question.startsWith('sometimes') ? ok.some(Boolean) : ok.every(Boolean))) wrong.push(question);
    last = both.find((each) => each?.answer !== 'none-tried')?.answer ?? 'none-tried';
  });
  expect([reports.flatMap(({ violations }) => violations), wrong]).toEqual([[], []]);
  return last;
}

/** A pin that comes while reclaim has the page, in a kernel of some release. */
const latePin = (version: string): string =>
  file(
    `kernel ${version}`,
    '',
    'cpu0@A | kswapd ;\n p = pin(a, WRITE, LONGTERM) | s = swap_out(a) ;',
    'forbidden (p == pfn0(a) /\\ refs(p) < 1024)\nexists (p == pfn0(a) /\\ pte(a) == swap)',
  );

describe('reclaim', () => {
  it('of an unpinned page of a guest: one notifier call, stage 2 empty until the guest comes back to its content', async () => {
    const text = file(
      '',
      '',
      'kswapd | vcpu@G ;\n s = swap_out(a) | v = guest_read(0) ;',
      'always (s == 1 /\\ v == 1 /\\ notifier_starts(reclaim) == 1 \\/ s == 0 /\\ v == 1)\nsometimes (s == 1)',
    );
    await answered(text);
  });

  it('of a pinned page: not announced, its stage-2 entry stays, and the device sees what the guest writes', async () => {
    const text = file(
      '',
      'p = A: pin(a, WRITE, LONGTERM);\n  G: guest_write(0, 2);',
      'kswapd | vcpu@G ;\n s = swap_out(a) | w = guest_write(0, 3) ;\n | v = pin_read(p) ;',
      [
        'always (s == 0 /\\ v == 3 /\\ pfn(a) == p /\\ notifier_starts(reclaim) == 0)',
        'forbidden during (stage2(G, 0) == none)',
      ].join('\n'),
    );
    await answered(text);
  });

  it('races with pins: the pinned page stays in place and coherent, whoever comes first (E14)', async () => {
    const text = file(
      '',
      '',
      [
        'dma@A | kswapd | vcpu@G ;',
        'p = pin(a, WRITE, LONGTERM) | s = swap_out(a) | x = guest_write(0, 3) ;',
        'w = pin_write(p, 5) | | ;',
        'v = read(a) | | ;',
      ].join('\n'),
      'forbidden (p > 0 /\\ ~ pfn(a) == p)\nforbidden (v == 1)\nsometimes (s == 1)\nsometimes (s == 0)',
    );
    await answered(text);
  });

  it('of a page with a plain reference: unmapped, written, kept, and found again in the swap cache', async () => {
    const text = file(
      '',
      'g = A: get(a);',
      'kswapd | cpu0@A ;\n s = swap_out(a) | v = read(a) ;\n | put(g) ;',
      'always (v == 1)\nsometimes (s == 0 /\\ pfn(a) == g /\\ flag(a, swapcache) == 1)',
    );
    await answered(text);
  });

  it('before v5.19 takes the mapping of a page whose pin came late, though never the page', async () => {
    expect(await answered(latePin('v5.17'), 300)).toBe('sometimes');
    expect(await answered(latePin('v6.18'), 300)).toBe('none-tried');
  });
});
