/**
 * What an actor is presumed to have done whose events are lost: a violation reaches the log a moment later, and a busy actor's ring may
 * have gone round by then. Its kind says what it can do to a page; which of that it was the search finds out.
 */
import { FOLL_WRITE, VM_READ } from '../../machine/abi.js';
import type { SeenOperation, OperationName } from './operations.js';
import type { Incident } from './incident/incident.js';

/** Numbers of presumed pins begin here: no log comes so far. */
const PINS_FROM = 2_000_000;

type Act = readonly [op: OperationName, flags?: number];

/** By the kind of an actor, each a short sequence; the likeliest first. */
const ACTS: Readonly<Partial<Record<string, readonly (readonly Act[])[]>>> = {
  vcpu: [[['guest_write']], [['guest_read']], [['guest_write'], ['guest_read']]],
  dma: [
    [['pin_fast', FOLL_WRITE]],
    [
      ['pin_fast', FOLL_WRITE],
      ['unpin', FOLL_WRITE],
    ],
    [['pin_fast', 0]],
  ],
  vmm: [[['dontneed']], [['write']], [['mprotect', VM_READ]], [['split_pmd']], [['collapse']], [['read']]],
  'numa-balancer': [[['numa_scan']]],
  ksmd: [[['ksm_scan']], [['ksm_scan'], ['ksm_scan']]],
  khugepaged: [[['khugepaged_scan']]],
  kswapd: [[['swap_out']]],
};

/** The sequences that `actor` may have run; none of a kind that does nothing to pages. */
export function presumedOperations(
  { plan, pages, until }: Incident,
  actor: number,
): readonly (readonly SeenOperation[])[] {
  const kind = plan.actors[actor]?.kind ?? '';
  const scans = plan.actors[actor]?.tier === 'daemon';
  return (ACTS[kind] ?? []).map((acts) =>
    acts.map(([op, flags = 0]): SeenOperation => ({
      actor,
      op,
      pages: scans ? pages.map((_, i) => i) : [0],
      flags,
      pin: op === 'pin_fast' || op === 'unpin' ? PINS_FROM : -1,
      start: until,
      end: until,
    })),
  );
}

/** Actors of which the log tells nothing that was done to the pages by the time of the violation. */
export const silentActors = ({ plan }: Incident, operations: readonly SeenOperation[]): readonly number[] =>
  plan.actors.flatMap(({ kind }, actor) =>
    kind in ACTS && !operations.some((operation) => operation.actor === actor) ? [actor] : [],
  );

/**
 * The operations with what must have been there: whoever broke the rule did something, and of a rule about pins somebody pinned.
 */
export function withPresumed(incident: Incident, operations: readonly SeenOperation[]): readonly SeenOperation[] {
  const { suspicion, plan } = incident;
  const kindOf = (actor: number): string => plan.actors[actor]?.kind ?? '';
  const silent = silentActors(incident, operations).filter(
    (actor) =>
      actor === suspicion.actor ||
      (suspicion.invariant.includes('PIN') &&
        kindOf(actor) === 'dma' &&
        !operations.some(({ op }) => op === 'pin_fast' || op === 'unpin')),
  );
  return [...operations, ...silent.flatMap((actor) => presumedOperations(incident, actor)[0] ?? [])];
}
