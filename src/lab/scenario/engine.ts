/** The `engine:` section of a scenario: how a run is spread over threads, where its caller does not say. */
import { DEFAULT_NOISE, NOISE } from '../../engine/host/noise.js';
import { placeActors } from '../../engine/threads/placement.js';
import type { ActorSpec } from '../../plan/plan.js';
import type { ThreadOptions } from '../../engine/threads/run.js';
import { schemePlacement } from '../live/placements.js';
import type { PlacementScheme } from '../live/types.js';
import { meant } from '../input/nearest.js';
import type { Mistakes } from './mistakes.js';
import type { Scenario } from './scenario.js';

/** What a caller may have said already. */
interface EngineWishes extends ThreadOptions {
  readonly scheme?: PlacementScheme;
  /** vCPUs of guest 0: with others than the scenario's, its groups may name actors that are not there. */
  readonly cpus?: number;
}

/**
 * The options of a run on threads that a scenario gives, each overridden by what `wishes` has. Workers that are wished
 * for make groups of the scenario void, but not its scheme.
 * @throws InputError for a group that names an actor that is not there, or names one twice
 */
export function engineOptions(scenario: Scenario, actors: readonly ActorSpec[], wishes: EngineWishes): ThreadOptions {
  const { engine } = scenario.file;
  const quantum = wishes.quantum ?? engine.quantum;
  const sliceMicros = wishes.sliceMicros ?? engine.slice_us;
  const spinTurns = wishes.spinTurns ?? engine.spin_turns;
  const ringRecords = wishes.ringRecords ?? engine.ring_records;
  const noise = wishes.noise ?? NOISE[engine.noise ?? DEFAULT_NOISE];
  return {
    noise,
    placement: wishes.placement ?? placementOf(scenario, actors, wishes),
    ...(quantum !== undefined && { quantum }),
    ...(sliceMicros !== undefined && { sliceMicros }),
    ...(spinTurns !== undefined && { spinTurns }),
    ...(ringRecords !== undefined && { ringRecords }),
  };
}

function placementOf(scenario: Scenario, actors: readonly ActorSpec[], wishes: EngineWishes): number[] {
  const { engine } = scenario.file;
  const ofFile = typeof engine.placement === 'string' ? engine.placement : undefined;
  const scheme = wishes.scheme ?? ofFile ?? 'balanced';
  const { placement: groups } = engine;
  if (Array.isArray(groups) && wishes.workers === undefined && wishes.scheme === undefined) {
    return groupsPlacement(scenario, actors, wishes.cpus !== undefined);
  }
  const workers = wishes.workers ?? engine.workers ?? 0;
  return scheme === 'balanced'
    ? placeActors(actors, workers)
    : schemePlacement(actors, workers === 0 ? actors.length : workers, scheme);
}

/** Names that may be missing: EL2 instances under a policy without them, and vCPUs when their number is an option. */
const absentIsFine = (name: string, otherCpus: boolean): boolean =>
  /^el2-\d+$/.test(name) || (otherCpus && /^(?:vm\d+-)?vcpu\d+$/.test(name));

/** The worker of each actor that the groups name; -1 of the others. Groups of nobody who is there have no worker. */
export function placementGroups(
  scenario: Scenario,
  actors: readonly ActorSpec[],
  otherCpus: boolean,
  mistakes: Mistakes,
): { readonly placement: number[]; readonly load: number[] } {
  const { placement: groups } = scenario.file.engine;
  const names = actors.map((spec) => spec.name);
  const placement = actors.map(() => -1);
  const load: number[] = [];
  if (!Array.isArray(groups)) return { placement, load };
  groups.forEach((group, i) => {
    const members = group.flatMap((name, j) => {
      const actor = names.indexOf(name);
      const at = ['engine', 'placement', i, j];
      if (actor >= 0 && placement[actor] === -1) {
        placement[actor] = load.length;
        return [actor];
      }
      if (actor >= 0) mistakes.note(at, `${name} has a worker already`);
      else if (!absentIsFine(name, otherCpus)) {
        mistakes.note(at, `no actor ${name}; there are ${names.join(', ')}${meant(name, names)}`);
      }
      return [];
    });
    if (members.length > 0) load.push(members.length);
  });
  return { placement, load };
}

/** As the groups have it, the others where the fewest are. */
function groupsPlacement(scenario: Scenario, actors: readonly ActorSpec[], otherCpus: boolean): number[] {
  const mistakes = scenario.mistakes();
  const { placement, load } = placementGroups(scenario, actors, otherCpus, mistakes);
  mistakes.tell();
  if (load.length === 0) load.push(0);
  placement.forEach((worker, actor) => {
    if (worker >= 0) return;
    const emptiest = load.indexOf(Math.min(...load));
    placement[actor] = emptiest;
    load[emptiest] = (load[emptiest] as number) + 1;
  });
  return placement;
}
