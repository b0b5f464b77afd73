/** Which worker hosts which actor. */
import { WORKERS_MAX } from '../../machine/layout.js';
import type { ActorSpec } from '../../plan/plan.js';

/**
 * Spreads actors over workers; the same actors and number always give the same answer.
 *
 * With as many workers as actors each has its own. With fewer, clients go round robin, a daemon goes where the fewest
 * are, and the n-th server stands beside the n-th client: its requests then need no other thread. No worker stays empty.
 * @param workers wished for; 0 = one per actor. More than actors, or than WORKERS_MAX, are cut down
 * @returns the worker of each actor; the number of workers is the largest plus one
 */
export function placeActors(actors: readonly ActorSpec[], workers: number): number[] {
  const wished = workers > 0 ? workers : actors.length;
  const count = Math.max(1, Math.min(wished, actors.length, WORKERS_MAX));
  if (count === actors.length) return actors.map((_, index) => index);

  const placement = actors.map(() => -1);
  const load = Array.from({ length: count }, () => 0);
  const put = (actor: number, worker: number): void => {
    placement[actor] = worker;
    load[worker] = (load[worker] as number) + 1;
  };
  const ofTier = (tier: ActorSpec['tier']): number[] =>
    actors.flatMap((spec, index) => (spec.tier === tier ? [index] : []));
  const leastLoaded = (): number => load.indexOf(Math.min(...load));

  const clients = ofTier('client');
  clients.forEach((actor, n) => put(actor, n % count));
  for (const actor of ofTier('daemon')) put(actor, leastLoaded());
  const servers = ofTier('server');
  servers.forEach((actor, n) => {
    const empty = load.filter((actorsThere) => actorsThere === 0).length;
    const beside = placement[clients[n % clients.length] ?? -1];
    put(actor, beside === undefined || empty >= servers.length - n ? leastLoaded() : beside);
  });
  return placement;
}

/** The actors of each worker. */
export function actorsByWorker(placement: readonly number[]): number[][] {
  const workers: number[][] = Array.from({ length: Math.max(-1, ...placement) + 1 }, () => []);
  placement.forEach((worker, actor) => workers[worker]?.push(actor));
  return workers;
}

/** Checks a placement that a scenario gives. @throws RangeError naming the actor */
export function checkPlacement(actors: readonly ActorSpec[], placement: readonly number[]): void {
  if (placement.length !== actors.length) {
    throw new RangeError(`placement: expected ${actors.length} entries, one per actor, got ${placement.length}`);
  }
  placement.forEach((worker, actor) => {
    if (!Number.isInteger(worker) || worker < 0 || worker >= WORKERS_MAX) {
      throw new RangeError(
        `placement: ${actors[actor]?.name ?? actor} on worker ${worker}: expected 0 to ${WORKERS_MAX - 1}`,
      );
    }
  });
  const empty = actorsByWorker(placement).findIndex((there) => there.length === 0);
  if (empty >= 0) throw new RangeError(`placement: worker ${empty} hosts no actor`);
}
