/** What there is to run and to watch: the object of `pinfall list`. */
import { KERNEL_FUNCTIONS } from '../../engine/machine/kernel.js';
import { EVENT_TABLE } from '../../events/table.js';
import { INVARIANTS } from '../../oracle/table.js';
import { POLICIES } from '../../policies/index.js';
import { eventJsonSchema } from '../../trace/export/ndjson-schema.js';
import { BUGS } from '../../zoo/index.js';
import { OPS_LEGEND } from './legend.js';
import { listLitmus, listOperations, listTerms } from '../litmus/list.js';
import { reportJsonSchema } from './schema.js';
import { listScenarios } from '../scenario/scenario.js';
import { listPrograms } from '../explore/subject.js';

/** Everything `list` shows. */
export function listEverything() {
  return {
    schema: 'pinfall.list/1' as const,
    scenarios: listScenarios(),
    programs: listPrograms(),
    policies: POLICIES.map(({ id, title, claims }) => ({ id, title, claims })),
    invariants: INVARIANTS.map(({ id, sentence, when, checked }) => ({ id, sentence, when, checked })),
    kernel_functions: KERNEL_FUNCTIONS,
    events: EVENT_TABLE.map(([name, ...args]) => ({ name, arguments: args.map((arg) => arg.split(':')[0] as string) })),
    event_schema: eventJsonSchema(),
    report_schema: reportJsonSchema(),
    litmus: listLitmus(),
    operations: listOperations(),
    terms: listTerms(),
    counters: Object.entries(OPS_LEGEND).map(([name, counts]) => ({ name, counts })),
    zoo: BUGS.map(({ id, title, litmus, expect }) => ({ id, title, litmus, invariants: expect })),
  };
}
