/** The row of a violation, which is one whatever has found it, and the schema of the reports that it stands in. */
import { describe, expect, it } from 'vitest';
import { PlanProgram } from '#src/engine/one-thread/plan-program.js';
import { programKind } from '#src/engine/programs/index.js';
import { MM_MMAP_LOCK, mmWord } from '#src/machine/layout.js';
import type { Violation } from '#src/oracle/violation.js';
import { explore } from '#src/lab/explore/explore.js';
import { listEverything } from '#src/lab/report/list.js';
import { readSchedule, replay } from '#src/lab/replay/replay.js';
import { reportJsonSchema, reportMistakes } from '#src/lab/report/schema.js';
import { violationRow } from '#src/lab/report/violation.js';
import { programSubject, subjectOf } from '#src/lab/explore/subject.js';
import { reportViolation } from '#src/lab/tell/violations.js';
import { validator } from '../helpers/validator.js';

const BUGGY = 'pin-vs-write-protect-buggy';
const kind = programKind(BUGGY);
const subject = programSubject(BUGGY, 'classic', 1, () => {
  if (kind === undefined) throw new Error(BUGGY);
  return kind.create();
});

const asJson = (value: unknown): unknown => JSON.parse(JSON.stringify(value));

describe('the row of a violation', () => {
  const program = subjectOf({ scenario: 'pin-race', seed: 1 }).create();
  if (!(program instanceof PlanProgram)) throw new Error('no plan');
  const { machine, actors } = program;
  const found: Violation = {
    invariant: 'I-LOCKORD',
    what: 'LK1 sleeps holding a spinlock',
    actor: 1,
    actors: [1, 0],
    time: 12,
    held: [{ lock: mmWord(machine, 0, MM_MMAP_LOCK), lockClass: 0, mode: 1 }],
    lock: mmWord(machine, 0, MM_MMAP_LOCK),
    other: 0,
    gfn: 3,
    vm: 0,
  };

  it('is the same from real threads and from one: names of actors and locks', () => {
    const { diagram, ...threads } = reportViolation(found, [], 16, actors, machine);
    expect(violationRow(found, program, {})).toEqual(threads);
    expect(threads).toEqual({
      invariant: 'I-LOCKORD',
      what: 'LK1 sleeps holding a spinlock',
      actor: actors[1],
      actors: [actors[1], actors[0]],
      time: 12,
      held: ['mm0 mmap_lock'],
      lock: 'mm0 mmap_lock',
      other: actors[0],
      gfn: 3,
      vm: 0,
    });
    expect(diagram).toContain('I-LOCKORD');
  });

  it('of an audit names nobody, and has no fields that the oracle did not know', () => {
    const audit: Violation = { invariant: 'I-REF', what: 'references do not add up', actor: -1, other: -1, pfn: 4 };
    const row = violationRow(audit, program, { seed: 1 });
    expect(row).toEqual({
      invariant: 'I-REF',
      what: 'references do not add up',
      actor: null,
      actors: [],
      time: 0,
      held: [],
      pfn: 4,
      seed: 1,
    });
  });

  it('does not carry along what a program has beside it', () => {
    const more = Object.assign({}, found, { private: 7 });
    expect(violationRow(more, program, {})).not.toHaveProperty('private');
  });
});

describe("a report's schema", () => {
  it('takes what commands give, and says where a report is another', async () => {
    const isReport = validator(asJson(reportJsonSchema()) as object);
    const { report } = await explore({ subject, strategy: 'pct', schedules: 5000 });
    const text = String(report.violations[0]?.schedule);
    const again = replay(readSchedule(text, 'x.schedule'), subject, 'x.schedule').report;
    const proved = await explore({ subject, strategy: 'exhaustive', schedules: 5000 });
    for (const each of [report, again, proved.report]) {
      expect(each.violations.length).toBeGreaterThan(0);
      expect(reportMistakes(asJson(each))).toEqual([]);
      expect(isReport(asJson(each))).toBe(true);
    }
    const [violation] = report.violations;
    const wrong: [object, RegExp][] = [
      [{ ...report, violations: [{ ...violation, actor: 2 }] }, /^violations\.0\.actor: .*expected string/],
      [{ ...report, violations: [{ ...violation, held: [{ lock: 1 }] }] }, /^violations\.0\.held\.0: /],
      [{ ...report, violations: [{ ...violation, note: '' }] }, /^violations\.0: Unrecognized key: "note"/],
      [{ ...report, steps: undefined }, /^steps: /],
      [{ ...report, elapsed_s: Number.NaN }, /^elapsed_s: /],
      [{ ...report, command: 'explode' }, /^command: /],
      [{ ...again, command: 'explore' }, /./],
    ];
    for (const [each, mistake] of wrong) {
      expect(reportMistakes(asJson(each)).join('\n')).toMatch(mistake);
      expect(isReport(asJson(each))).toBe(false);
    }
  });

  it('stands in the list, and tells the commands apart', () => {
    const { report_schema } = listEverything();
    expect(report_schema).toEqual(reportJsonSchema());
    const texts = JSON.stringify(report_schema);
    for (const command of ['stress', 'dashboard', 'compare', 'tune', 'explore', 'replay', 'litmus', 'explain', 'zoo'])
      expect(texts).toContain(`"${command}"`);
  });
});
