/** How `setWorkers` spreads actors over workers. */
import { placeActors } from '../../engine/threads/placement.js';
import type { ActorSpec } from '../../plan/plan.js';
import type { PlacementScheme } from './types.js';

type Tier = ActorSpec['tier'];

/**
 * The worker of each actor under `scheme`.
 * @param workers at least 1; more than there are actors are cut down
 */
export function schemePlacement(actors: readonly ActorSpec[], workers: number, scheme: PlacementScheme): number[] {
  const count = Math.max(1, Math.min(workers, actors.length));
  if (scheme === 'apart') return groupsApart(actors, count, [['client'], ['daemon'], ['server']]);
  if (scheme === 'el2-apart') return groupsApart(actors, count, [['client', 'daemon'], ['server']]);
  return placeActors(actors, count);
}

/** Each group on workers of its own, as many as its share of the actors, at least one; too few workers are shared. */
function groupsApart(actors: readonly ActorSpec[], count: number, groups: readonly (readonly Tier[])[]): number[] {
  const members = groups
    .map((tiers) => actors.flatMap((spec, actor) => (tiers.includes(spec.tier) ? [actor] : [])))
    .filter((group) => group.length > 0);
  if (count <= members.length) {
    const placement = actors.map(() => 0);
    // the last groups share what is left
    members.forEach((group, n) => {
      for (const actor of group) placement[actor] = Math.min(n, count - 1);
    });
    return placement;
  }
  const shares = members.map(() => 1);
  for (let left = count - members.length; left > 0; left--) {
    const crowded = members.map((group, n) => group.length / (shares[n] as number));
    const most = crowded.indexOf(Math.max(...crowded));
    shares[most] = (shares[most] as number) + 1;
  }
  const placement = actors.map(() => 0);
  let first = 0;
  members.forEach((group, n) => {
    const share = shares[n] as number;
    group.forEach((actor, index) => (placement[actor] = first + (index % share)));
    first += share;
  });
  return placement;
}
