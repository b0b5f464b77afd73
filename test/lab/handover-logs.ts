/** Logs of real threads, as hand-over tests write them. */
import { EventLog } from '#src/events/record.js';
import { EVENT, type EventName } from '#src/events/table.js';
import { FOLL_LONGTERM, FOLL_PIN, FOLL_WRITE } from '#src/machine/abi.js';
import { MECH } from '#src/machine/mechanisms.js';
import type { Plan } from '#src/plan/plan.js';
import { incidentOf } from '#src/lab/handover/incident/gather.js';
import type { Incident } from '#src/lab/handover/incident/incident.js';
import { loadScenario } from '#src/lab/scenario/scenario.js';
import { makePlan } from '#src/lab/scenario/plan.js';

export const VCPU = 0;
export const DMA = 1;
export const NUMA = 2;
export const KSMD = 3;
export const PIN = FOLL_PIN | FOLL_WRITE | FOLL_LONGTERM;
export const VIOLATION = { invariant: 'I-PINNED-S2', actor: NUMA, time: 22, vm: 0, gfn: 2, pfn: 5 };

export const planOf = (policy: string): Plan => makePlan(loadScenario('pin-race'), { policy, seed: 1 });

type Row = readonly [time: number, actor: number, type: EventName, ...args: number[]];

export function logOf(rows: readonly Row[]): Int32Array {
  const log = new EventLog();
  for (const [time, actor, type, a = 0, b = 0, c = 0, d = 0] of rows) {
    log.write(EVENT[type], actor, time, a, b, c, d);
  }
  return log.view();
}

/** Race d1: a pin lands between the look at the pins and the notifier. */
export const D1 = logOf([
  [8, DMA, 'page_pin', 0, 1, 9, PIN],
  [10, VCPU, 'stage2_map', 0, 2, 5, 1],
  [11, VCPU, 'stage2_fault', 0, 2, 1, 0],
  [12, DMA, 'page_pin', 0, 2, 5, PIN],
  [13, DMA, 'page_unpin', 5, 1],
  [20, NUMA, 'notifier_start', 0, 2, 3, MECH.numa_scan],
  [21, DMA, 'page_pin', 0, 2, 5, PIN],
  [22, NUMA, 'stage2_unmap', 0, 2, 5, 1],
]);

export function incidentFrom(records: Int32Array, violation: Parameters<typeof incidentOf>[2] = VIOLATION): Incident {
  const told = incidentOf(planOf('check-then-notify'), records, violation);
  if ('reason' in told) throw new Error(told.reason);
  return told.incident;
}

export const BAD = `litmus bad
"Two actors too many."
policy check-then-notify
expect violation I-PINNED-S2

process A {
  a: anon 1 read write
  b: anon 1 read write
}
vm G of A {
  slot 0: gfn 0 pages 1 at a
}
init {
  A: write(b, 1);
  G: guest_write(0, 1);
}

numa-balancer@A | dma@A             | vmm@A       ;
numa_scan()     | q = pin(b)        | read(b)     ;
                | unpin(q)          | write(b, 3) ;
                | p = pin(a, LONGTERM) |          ;
`;
