/** Exploration in a worker of its own (a Piscina task): what ran in the process before does not count. */
import { explore } from '../explore/explore.js';
import { planSubject, programSubject, subjectOf } from '../explore/subject.js';
import type { Subject } from '../explore/explored.js';
import { programKind } from '../../engine/programs/index.js';
import { makePlan } from '../scenario/plan.js';
import { loadScenario } from '../scenario/scenario.js';
import type { Plan } from '../../plan/plan.js';

export interface OneThreadTask {
  /** A model's or a scenario's name. */
  readonly subject: string;
  readonly strategy: string;
  readonly depth: number;
  readonly oracles: Plan['oracles'];
  readonly seed: number;
  readonly ms: number;
}

export interface OneThreadResult {
  readonly schedulesPerSecond: number;
  readonly stepsPerSecond: number;
}

/** As `pinfall explore` sets it up; scenarios' oracles are a setting here. */
function subject({ subject: name, seed, oracles }: OneThreadTask): Subject {
  const model = programKind(name);
  if (model !== undefined) return programSubject(name, 'classic', seed, model.create);
  const options = { seed, oracles, policy: 'classic', opsEach: 8 } as const;
  return oracles === 'all'
    ? subjectOf({ scenario: name, policy: 'classic', seed })
    : planSubject(makePlan(loadScenario(name), options));
}

/** Explores for `ms` milliseconds. @throws Error when the program breaks a rule: then it is not this one that is measured */
export default async function oneThread(task: OneThreadTask): Promise<OneThreadResult> {
  const end = performance.now() + task.ms;
  const { report } = await explore({
    subject: subject(task),
    strategy: task.strategy,
    depth: task.depth,
    schedules: Number.MAX_SAFE_INTEGER,
    stop: () => performance.now() >= end,
  });
  const [violation] = report.violations;
  if (violation !== undefined) throw new Error(`${task.subject}: ${violation.invariant}: ${violation.what}`);
  return { schedulesPerSecond: report.schedules / report.elapsed_s, stepsPerSecond: report.steps / report.elapsed_s };
}
