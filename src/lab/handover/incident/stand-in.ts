/**
 * A page for a violation of which nothing tells the page: the events of who broke the rule are lost, or it came to light at the end of the
 * run, in a frame that belongs to nobody any more. Workloads do to one page what they do to others: the page that was last named
 * stands for it.
 */
import type { PinfallEvent } from '../../../trace/event.js';
import type { IncidentPage } from './incident.js';

interface Named {
  readonly mm?: number;
  readonly vpn?: number;
  readonly vm?: number;
  readonly gfn?: number;
}

interface StandInOptions {
  /** By the time of the violation where the log goes so far back, in merged order. */
  readonly events: readonly PinfallEvent[];
  /** Who broke the rule; -1: nobody. */
  readonly actor: number;
  /** The page behind a guest page. */
  readonly pageOfGfn: (vm: number, gfn: number) => IncidentPage | null;
  readonly isMapped: (page: IncidentPage) => boolean;
}

/** The page that the actor named last; else the one that a guest mapped last, or anybody named; else null. */
export function standIn({ events, actor, pageOfGfn, isMapped }: StandInOptions): IncidentPage | null {
  const last = (wanted: (event: PinfallEvent) => boolean): IncidentPage | null => {
    for (const event of events.toReversed()) {
      if (!wanted(event)) continue;
      const { mm = 0, vpn, vm = 0, gfn } = event as Named;
      const page = vpn !== undefined ? { mm, vpn } : gfn === undefined ? null : pageOfGfn(vm, gfn);
      if (page !== null && isMapped(page)) return page;
    }
    return null;
  };
  return (
    last((event) => actor >= 0 && event.actor === actor) ??
    last(({ type }) => type === 'stage2_map') ??
    last(() => true)
  );
}
