/** What a sweep tries, stage by stage: first who sits where, then EL2, then the engine's numbers around the best of those. */
import type { ActorSpec } from '../../plan/plan.js';
import { placeActors } from '../../engine/threads/placement.js';
import { schemePlacement } from '../live/placements.js';
import { makePlan } from '../scenario/plan.js';
import type { Scenario } from '../scenario/scenario.js';
import { ENGINE_DEFAULTS, type Setting } from './setting.js';

/** Records of a ring by default: where events are only kept for diagrams, and where all of them are read. */
const RING_DEFAULTS = { recorder: 1 << 13, lossless: 1 << 16 } as const;

interface SubjectOptions {
  readonly policy?: string;
  readonly cpus?: number;
  readonly seed: number;
  readonly base?: string;
  /** Whether all events are read (metric `races`). */
  readonly watched: boolean;
}

/** What the candidates of a scenario depend on. */
export interface Subject {
  readonly policy: string;
  /** Without EL2 contexts. */
  readonly hosts: readonly ActorSpec[];
  /** What `stress` takes when nobody says anything. */
  readonly standard: Setting;
  actorsWith(el2Instances: number): readonly ActorSpec[];
}

export function subjectOf(scenario: Scenario, options: SubjectOptions): Subject {
  const plan = makePlan(scenario, options);
  const { engine } = scenario.file;
  const hosts = plan.actors.filter(({ kind }) => kind !== 'el2');
  const el2 = plan.actors.filter(({ kind }) => kind === 'el2');
  const actorsWith = (instances: number): readonly ActorSpec[] => {
    const pattern = el2[0];
    if (pattern === undefined) return hosts;
    return [...hosts, ...Array.from({ length: instances }, (_, i) => ({ ...pattern, name: `el2-${i}` }))];
  };
  const grouped = Array.isArray(engine.placement);
  const standard: Setting = {
    workers: grouped
      ? (engine.placement?.length ?? 1)
      : Math.min(engine.workers ?? plan.actors.length, plan.actors.length),
    placement: Array.isArray(engine.placement) ? 'groups' : (engine.placement ?? 'balanced'),
    el2_instances: el2.length,
    quantum: engine.quantum ?? ENGINE_DEFAULTS.quantum,
    slice_us: engine.slice_us ?? ENGINE_DEFAULTS.slice_us,
    spin_turns: engine.spin_turns ?? ENGINE_DEFAULTS.spin_turns,
    ring_records: engine.ring_records ?? (options.watched ? RING_DEFAULTS.lossless : RING_DEFAULTS.recorder),
  };
  return { policy: plan.kernel, hosts, standard, actorsWith };
}

/** Which actors sit together; two settings with the same partition differ in name only. */
function partition(subject: Subject, setting: Setting): string {
  if (setting.placement === 'groups') return 'groups';
  const actors = subject.actorsWith(setting.el2_instances);
  const placement =
    setting.placement === 'balanced'
      ? placeActors(actors, setting.workers)
      : schemePlacement(actors, setting.workers, setting.placement);
  const seen = new Map<number, number>();
  return placement
    .map((worker) => {
      if (!seen.has(worker)) seen.set(worker, seen.size);
      return seen.get(worker);
    })
    .join(' ');
}

/** The first of each that behave alike. */
function different(subject: Subject, settings: readonly Setting[]): Setting[] {
  const seen = new Set<string>();
  return settings.filter((setting) => {
    const { el2_instances, quantum, slice_us, spin_turns, ring_records } = setting;
    const numbers = [el2_instances, quantum, slice_us, spin_turns, ring_records].join(' ');
    const key = `${partition(subject, setting)} ${numbers}`;
    if (seen.has(key)) return false;
    seen.add(key);
    return true;
  });
}

/**
 * Worker counts, each spread evenly and with CPUs and daemons apart. The default setting is the first.
 * @param range of workers, both included; more than actors are cut down
 */
export function placementStage(subject: Subject, range: readonly [number, number]): Setting[] {
  const { standard } = subject;
  const all = subject.actorsWith(standard.el2_instances).length;
  const from = Math.min(range[0], all);
  const counts = Array.from({ length: Math.min(range[1], all) - from + 1 }, (_, i) => from + i);
  const settings = counts.flatMap((workers) => [
    { ...standard, workers, placement: 'balanced' as const },
    { ...standard, workers, placement: 'apart' as const },
  ]);
  return different(subject, [standard, ...settings]);
}

/** EL2 on workers of its own, and other numbers of contexts, around the best placement; nothing without an EL2. */
export function el2Stage(subject: Subject, best: Setting): Setting[] {
  const { standard, hosts } = subject;
  if (standard.el2_instances === 0) return [];
  const wished = [1, Math.ceil(standard.el2_instances / 2), Math.min(hosts.length, standard.el2_instances * 2)];
  // workers are kept where they can be; one per actor stays one per actor
  const alone = best.workers === subject.actorsWith(best.el2_instances).length;
  const settings = wished.map((el2_instances): Setting => {
    const all = subject.actorsWith(el2_instances).length;
    const workers = alone ? all : Math.min(best.workers, all);
    return Object.assign({}, best, { el2_instances, workers });
  });
  return different(subject, [standard, best, { ...best, placement: 'el2-apart' as const }, ...settings]);
}

/** Each of the engine's numbers, smaller and larger, around the best so far. */
export function engineStage(subject: Subject, best: Setting): Setting[] {
  // whoever is alone on a worker has no turn to give up, and no slice to end
  const shared = best.workers < subject.actorsWith(best.el2_instances).length;
  const ring = (records: number): Setting[] =>
    records >= 64 && records <= 1 << 22 ? [{ ...best, ring_records: records }] : [];
  return different(subject, [
    subject.standard,
    best,
    ...(shared
      ? [
          { ...best, quantum: Math.max(1, best.quantum >> 2) },
          { ...best, quantum: best.quantum * 4 },
          { ...best, slice_us: best.slice_us * 4 },
        ]
      : []),
    { ...best, spin_turns: Math.floor(best.spin_turns / 4) },
    { ...best, spin_turns: best.spin_turns === 0 ? 200 : best.spin_turns * 5 },
    ...ring(best.ring_records >> 3),
  ]);
}
