/**
 * What the explorer names as the clash of planted bugs, held against the two steps that each records. A sample; `npm run soak:clashes` (CLASHES=all) goes
 * through every bug and every strategy that finds it, prints what was named, and counts.
 */
import { describe, expect, it } from 'vitest';
import { STRATEGIES } from '#src/engine/strategies/index.js';
import type { Clash } from '#src/lab/report/clash-row.js';
import { explore } from '#src/lab/explore/explore.js';
import { EXHAUSTIVE } from '#src/lab/explore/prove.js';
import type { ReportViolation } from '#src/lab/report/violation.js';
import { subjectOf } from '#src/lab/explore/subject.js';
import { zooBugs, zooSubject } from '#src/lab/zoo/zoo.js';
import { type BugClash, isRecorded } from '#src/zoo/bug-clash.js';
import { POLICY_CLASHES } from '#src/zoo/policy-clashes.js';

const ALL = process.env['CLASHES'] === 'all';
/** One of each kind: a stale look, a flush put off, a lock, the MMU, EL2, another actor's state, no race, a loop, one's own undoing. */
const SAMPLE = 'Z01-no-retry,Z04,Z07,Z12,Z15,Z18-nested,Z25,Z31,Z32,Z43-guest,Z46,Z52,Z60'.split(',');
const SHARE = 0.95;

const clashOf = (violation: ReportViolation | undefined): Clash | null => violation?.clash ?? null;

const shown = (clash: Clash | null): string =>
  clash === null
    ? 'none'
    : `${clash.sure}: ${clash.steps.map(({ actor, does, calls }) => `${actor}: ${does} in ${calls.slice(-2).join(' > ')}`).join(' | ')}`;

const agrees = (recorded: BugClash, clash: Clash | null): boolean =>
  clash !== null && isRecorded(recorded, clash.steps);

describe('the clash that is named', () => {
  it.runIf(!ALL)('is the one that planted bugs record', { timeout: 0 }, async () => {
    const missed: string[] = [];
    for (const bug of zooBugs(SAMPLE)) {
      const { report } = await explore({ subject: zooSubject(bug, true), schedules: 5000, lookOn: 0 });
      const clash = clashOf(report.violations.find(({ invariant }) => bug.expect.includes(invariant)));
      if (!agrees(bug.clash, clash)) missed.push(`${bug.id}: ${shown(clash)}`);
    }
    expect(missed).toEqual([]);
  });

  it('is the look at the pins and the pin, or the unpin, of the policies that look first', { timeout: 0 }, async () => {
    const missed: string[] = [];
    for (const { policy, scenario, invariant, clash: recorded } of POLICY_CLASHES) {
      if (recorded.alone === true) continue;
      const subject = subjectOf({ scenario, policy, seed: 1 });
      const { report } = await explore({ subject, schedules: 2000, lookOn: ALL ? 1000 : 100 });
      const violation = report.violations.find((each) => each.invariant === invariant);
      if (violation === undefined) continue;
      if (!agrees(recorded, clashOf(violation))) missed.push(`${policy} ${invariant}: ${shown(clashOf(violation))}`);
    }
    expect(missed).toEqual([]);
  });

  it.runIf(ALL)('is the recorded one in nineteen of twenty finds', { timeout: 0 }, async () => {
    let finds = 0;
    let good = 0;
    const rows: string[] = [];
    for (const bug of zooBugs()) {
      for (const strategy of [...STRATEGIES.map(({ name }) => name), EXHAUSTIVE]) {
        const schedules = strategy === EXHAUSTIVE ? 1e9 : 10_000;
        const subject = zooSubject(bug, true);
        const { report } = await explore({ subject, strategy, schedules, seconds: 5, lookOn: 0 });
        const violation = report.violations.find(({ invariant }) => bug.expect.includes(invariant));
        if (violation === undefined) continue;
        const right = agrees(bug.clash, clashOf(violation));
        finds++;
        if (right) good++;
        rows.push(`${right ? 'yes' : 'NO '} ${bug.id} ${strategy}: ${shown(clashOf(violation))}`);
      }
    }
    process.stdout.write(`${rows.join('\n')}\n${good} of ${finds} name the recorded pair\n`);
    expect(good / finds).toBeGreaterThanOrEqual(SHARE);
  });
});
