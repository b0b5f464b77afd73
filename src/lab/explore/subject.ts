/** What is explored: a small model by its name, or a scenario under a policy. Both come to a program. */
import type { Subject, SubjectDescription } from './explored.js';
import { PlanProgram } from '../../engine/one-thread/plan-program.js';
import type { Plan } from '../../plan/plan.js';
import type { Program } from '../../engine/one-thread/program.js';
import { PROGRAMS, programKind } from '../../engine/programs/index.js';
import { hashText } from '../../engine/one-thread/schedule-file.js';
import { POLICIES } from '../../policies/index.js';
import { planNotAsked } from '../report/asked.js';
import { InputError } from '../../errors/errors.js';
import { isLitmus, litmusSubject, readLitmus } from '../litmus/subject.js';
import type { LitmusSource } from '../litmus/source.js';
import { meant } from '../input/nearest.js';
import { loadScenario } from '../scenario/scenario.js';
import { makePlan } from '../scenario/plan.js';

interface SubjectOptions {
  /** A model of PROGRAMS, a shipped scenario, or a scenario file's path. */
  readonly scenario?: string | undefined;
  readonly policy?: string | undefined;
  readonly seed: number;
  /** What relative paths are relative to. */
  readonly base?: string | undefined;
  /** The text of the litmus file that `scenario` names, where it is known already. */
  readonly litmus?: string | undefined;
  /** Where that text stands in another file: for messages. */
  readonly within?: LitmusSource['within'];
}

/** A small scenario that every policy can run. */
const DEFAULT_SCENARIO = 'pin-race';
const DEFAULT_POLICY = 'classic';
/** Operations of actors that have no number of their own: a schedule must end. */
const OPS_EACH = 8;

/** A program as a subject. Models have one workload and no policy: theirs is noted and changes nothing. */
export function programSubject(name: string, policy: string, seed: number, create: () => Program): Subject {
  const { actors } = create();
  const description: SubjectDescription | null =
    programKind(name)?.create === create ? { kind: 'program', name, policy, seed } : null;
  const hash = hashText(`${name} ${actors.join(' ')}`);
  return { scenario: name, policy, seed, hash, varies: false, create, description };
}

/**
 * A module's program as a subject.
 * @param url of a module with an export `program(): Program`
 */
export async function moduleSubject(url: string, name: string, seed: number): Promise<Subject> {
  const { program } = (await import(url)) as { program: () => Program };
  return { ...programSubject(name, DEFAULT_POLICY, seed, program), description: { kind: 'module', url, name, seed } };
}

/** The subject that was described. */
export async function subjectFrom(description: SubjectDescription): Promise<Subject> {
  switch (description.kind) {
    case 'program': {
      const { name, policy, seed } = description;
      const model = programKind(name);
      if (model === undefined) throw new InputError(`no program ${name}`);
      return programSubject(name, policy, seed, model.create);
    }
    case 'plan':
      return planSubject(description.plan);
    case 'litmus':
      return litmusSubject(description.source);
    case 'module':
      return moduleSubject(description.url, description.name, description.seed);
  }
}

/** A plan as a subject. */
export function planSubject(plan: Plan): Subject {
  const why = planNotAsked(plan);
  return {
    scenario: plan.scenario,
    policy: plan.kernel,
    seed: plan.seed,
    // the name and the seed stand in the file beside it
    hash: hashText(JSON.stringify({ ...plan, scenario: '', seed: 0 })),
    varies: true,
    create: () => new PlanProgram(plan),
    description: { kind: 'plan', plan },
    ...(why !== null && { notAsked: why }),
  };
}

/**
 * What the options name.
 * @throws InputError for an unknown name, and whatever a scenario file is refused for
 */
export function subjectOf({
  scenario = DEFAULT_SCENARIO,
  policy,
  seed,
  base = process.cwd(),
  litmus,
  within,
}: SubjectOptions): Subject {
  if (litmus !== undefined || isLitmus(scenario)) {
    const text = litmus ?? readLitmus(scenario, base);
    return litmusSubject({ path: scenario, text, options: { seed, kernel: policy }, within });
  }
  if (policy !== undefined && !POLICIES.some(({ id }) => id === policy)) {
    const known = POLICIES.map(({ id }) => id);
    throw new InputError(`no policy ${policy}; expected one of ${known.join(', ')}${meant(policy, known)}`);
  }
  const model = programKind(scenario);
  if (model !== undefined) return programSubject(scenario, policy ?? DEFAULT_POLICY, seed, model.create);
  const options = { seed, base, oracles: 'all', opsEach: OPS_EACH } as const;
  const models = PROGRAMS.map(({ name }) => name);
  const loaded = loadScenario(scenario, base, models);
  return planSubject(makePlan(loaded, policy === undefined ? options : { ...options, policy }));
}

/** The models' names and titles, for `list`. */
export const listPrograms = (): { readonly name: string; readonly description: string }[] =>
  PROGRAMS.map(({ name, title }) => ({ name, description: title }));
