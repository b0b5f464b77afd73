/** Budgets of CPU time: what a busy machine takes from a worker it gives back later; the clock ends it at ten times the budget. */
import { describe, expect, it } from 'vitest';
import { Budget } from '#src/lab/explore/budget.js';
import { explore } from '#src/lab/explore/explore.js';
import { runLitmus } from '#src/lab/litmus/run.js';
import { litmusSubject } from '#src/lab/litmus/subject.js';
import { subjectOf } from '#src/lab/explore/subject.js';

/** A machine whose clock and CPU time go as the test says. */
class Machine {
  now = 100;
  spent = 7;
  readonly clock = (): number => this.now;
  readonly cpu = (): number => this.spent;

  pass(seconds: number, cpu: number): void {
    this.now += seconds;
    this.spent += cpu;
  }
}

describe('a budget', () => {
  it('is used by CPU time, whatever the clock says', () => {
    const machine = new Machine();
    const budget = new Budget(5, machine);
    machine.pass(40, 4.5);
    expect([budget.end, budget.used, budget.left]).toEqual(['', 4.5, 0.5]);
    machine.pass(4, 0.6);
    expect(budget.end).toBe('budget');
    expect(budget.tell('budget')).toBe('its 5 s of CPU time were used');
  });

  it('is ended by the clock at ten times that', () => {
    const machine = new Machine();
    const budget = new Budget(5, machine);
    machine.pass(49, 2);
    expect(budget.end).toBe('');
    machine.pass(1, 0);
    expect(budget.end).toBe('clock');
    expect(budget.tell('clock')).toBe(
      '50 s on the clock, 10 times its budget, in which it got 2 s of CPU time: the machine is busy',
    );
  });

  it("is of each worker; what helper threads of the process use is nobody's", () => {
    const machine = new Machine();
    const budget = new Budget(5, machine);
    // one worker, and a compiler thread beside it
    machine.pass(2, 3.5);
    expect(budget.used).toBe(2);
    budget.workers = 4;
    machine.pass(1, 4);
    expect(budget.used).toBe(3);
    machine.pass(4, 4);
    expect([budget.used, budget.end]).toEqual([4, '']);
    machine.pass(1, 4);
    expect(budget.end).toBe('budget');
  });

  it('is shared out: a part has a clock of its own', () => {
    const machine = new Machine();
    const whole = new Budget(10, machine);
    const part = whole.part(0.6);
    machine.pass(60, 3);
    expect([part.end, whole.end]).toEqual(['clock', '']);
    expect(whole.left).toBe(7);
  });
});

/** CPU time that never passes, and a clock that is far ahead at each look: a machine that gives this process nothing. */
class Starved {
  #looks = 0;
  readonly clock = (): number => this.#looks++ * 5;
  readonly cpu = (): number => 0;
}
/** The other way round: all the time there is. */
class Idle {
  #looks = 0;
  readonly clock = (): number => this.#looks++;
  readonly cpu = (): number => this.#looks;
}

describe('a search says what has ended it', () => {
  const subject = subjectOf({ scenario: 'pin-race', policy: 'classic', seed: 1 });
  it.each(['portfolio', 'exhaustive'])('%s', async (strategy) => {
    const starved = await explore({ subject, strategy, schedules: 1e12, budget: new Budget(2, new Starved()) });
    expect(starved.report.end).toMatchObject({ kind: 'clock', detail: expect.stringMatching(/the machine is busy$/) });
    const used = await explore({ subject, strategy, schedules: 1e12, budget: new Budget(3, new Idle()) });
    expect(used.report.end).toEqual({ kind: 'budget', detail: 'its 3 s of CPU time were used' });
  });

  it('a proof that did not end in its share of the budget says so', async () => {
    const path = 'x.litmus';
    const rows = Array.from({ length: 9 }, () => 'write(a, 1) | write(a, 1) | write(a, 1) ;').join('\n');
    const text = `litmus x\n"long"\nprocess A { a: anon 1 read write }\ncpu0@A | cpu1@A | cpu2@A ;\n${rows}\nexists (content(a) == 1)\n`;
    const report = await runLitmus({
      subject: litmusSubject({ path, text, options: {} }),
      seconds: 0.2,
      schedules: 1e6,
    });
    expect(report.guarantee).toMatch(/^not proved: .*; (its 0\.1 s of CPU time were used|.* on the clock)/);
    expect(report.questions[0]?.answer).toBe('all-tried');
  });
});
