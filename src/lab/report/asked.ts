/**
 * Whether a run has asked anything. That no rule broke where none could have broken is no good answer: such a run says so in its first
 * line and by `asked: false`, and is not `ok`.
 */
import type { AskedRow } from './asked-row.js';
import type { Plan } from '../../plan/plan.js';
import { policyById } from '../../policies/index.js';
import type { OutcomeRow } from './outcome-row.js';
import type { Report } from './run-row.js';

export const askedRow = (why: string | null): AskedRow => ({ asked: why === null, not_asked: why });

/** The first line of a text report that has asked nothing. */
export const notAskedLine = (why: string): string => `Nothing was asked: ${why}. That nothing broke says nothing.`;

/** The end of a run on real threads whose actors have ended by themselves, so that nothing more could race. */
export const SCENARIO_OVER = 'scenario-over';

type ThreadFacts = Pick<Report, 'policy' | 'duration_s' | 'ops' | 'pins' | 'mechanisms' | 'violation_count' | 'end'>;

/** Why a run on real threads has asked nothing, or null. */
export function threadsNotAsked(run: ThreadFacts): string | null {
  if (run.violation_count > 0) return null;
  if (run.end.kind === SCENARIO_OVER) {
    return `after ${seconds(run.duration_s)} ${run.end.detail ?? 'all actors had ended'}; what they did was done once`;
  }
  if (run.ops.accesses + run.ops.host_accesses === 0) return 'no guest and no process accessed memory';
  const running = run.mechanisms.filter(({ name }) => name !== 'teardown');
  if (!running.some((row) => row.notifier_starts > 0)) return 'no notifier was sent, so no page was taken from anybody';
  if (isAboutPins(run.policy) && run.pins.kvm + run.pins.dma === 0) {
    return `no page was pinned, and policy ${run.policy} is about pinned pages`;
  }
  return null;
}

/** A policy that claims something of pinned pages alone. */
const isAboutPins = (policy: string): boolean => (policyById(policy)?.claims.pinnedKeepsStage2 ?? 'none') !== 'none';

/** Kinds of actors that take pages away, and those that pin some. */
const MOVERS: ReadonlySet<string> = new Set(['vmm', 'ksmd', 'khugepaged', 'kswapd', 'numa-balancer']);
const PINNERS: ReadonlySet<string> = new Set(['dma']);

/** Why no schedule of a plan can ask anything, or null: what its actors never do. */
export function planNotAsked({ kernel, actors }: Pick<Plan, 'kernel' | 'actors'>): string | null {
  if (!actors.some(({ kind }) => MOVERS.has(kind))) return 'it has no actor that takes pages away';
  const pins = policyById(kernel)?.claims.mappingPins === true || actors.some(({ kind }) => PINNERS.has(kind));
  return pins || !isAboutPins(kernel) ? null : `it has no actor that pins, and policy ${kernel} is about pinned pages`;
}

const seconds = (value: number): string => (value < 0.1 ? `${(value * 1000).toFixed(0)} ms` : `${value.toFixed(1)} s`);

/** Why a campaign or a search has asked nothing, or null. */
export function schedulesNotAsked(outcomes: readonly Pick<OutcomeRow, 'verdict' | 'count'>[]): string | null {
  const all = outcomes.reduce((sum, { count }) => sum + count, 0);
  if (all === 0) return 'no schedule was tried';
  if (outcomes.some(({ verdict }) => verdict !== 'cut')) return null;
  return `${all === 1 ? 'the only schedule was' : `all ${all.toLocaleString('en')} schedules were`} cut off before the end`;
}
