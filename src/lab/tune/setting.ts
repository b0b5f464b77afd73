/** One setting of the engine that a sweep tries: what `engine:` of a scenario says, with every value filled in. */
import { HOST_DEFAULTS } from '../../engine/threads/control.js';
import type { PlacementScheme } from '../live/types.js';
import type { EngineSection } from '../scenario/schema.js';

export interface Setting {
  readonly workers: number;
  /** `groups`: those of the scenario; only the default setting can have them. */
  readonly placement: PlacementScheme | 'groups';
  /** EL2 contexts; 0 = the policy has no EL2. */
  readonly el2_instances: number;
  readonly quantum: number;
  readonly slice_us: number;
  readonly spin_turns: number;
  readonly ring_records: number;
}

/** What the engine takes where nobody says. */
export const ENGINE_DEFAULTS = {
  quantum: HOST_DEFAULTS.quantum,
  slice_us: HOST_DEFAULTS.sliceMicros,
  spin_turns: HOST_DEFAULTS.spinTurns,
} as const;

/** Two settings with the same id are the same. */
export const settingId = (s: Setting): string =>
  [s.workers, s.placement, s.el2_instances, s.quantum, s.slice_us, s.spin_turns, s.ring_records].join('/');

const PLACEMENT_WORDS = {
  balanced: '',
  apart: 'CPUs and daemons apart',
  'el2-apart': 'EL2 apart',
  groups: "the scenario's groups",
} as const;

/**
 * A setting in words: workers and placement, and what else differs from the default setting.
 * @param actors how many there are without EL2 contexts
 */
export function settingText(s: Setting, standard: Setting, actors: number): string {
  const alone = s.workers >= actors + s.el2_instances;
  const count = `${s.workers} ${s.workers === 1 ? 'worker' : 'workers'}`;
  const parts = [
    alone ? `${count}, one per actor` : count,
    alone ? '' : PLACEMENT_WORDS[s.placement],
    s.el2_instances === standard.el2_instances ? '' : `${s.el2_instances} EL2`,
    s.quantum === standard.quantum ? '' : `quantum ${s.quantum}`,
    s.slice_us === standard.slice_us ? '' : `slice ${s.slice_us} us`,
    s.spin_turns === standard.spin_turns ? '' : `spin ${s.spin_turns}`,
    s.ring_records === standard.ring_records ? '' : `ring ${s.ring_records}`,
  ];
  return parts.filter((part) => part !== '').join(', ');
}

/** The `engine:` section that makes a setting the scenario's own: what differs from what it takes by itself. */
export function engineSection(s: Setting, standard: Setting, ofFile: EngineSection): EngineSection {
  const changed = <Key extends keyof Setting & keyof EngineSection>(key: Key): boolean =>
    s[key] !== standard[key] || ofFile[key] !== undefined;
  return {
    workers: s.workers,
    ...(s.placement === 'groups'
      ? ofFile.placement !== undefined && { placement: ofFile.placement }
      : (s.placement !== 'balanced' || ofFile.placement !== undefined) && { placement: s.placement }),
    ...(s.el2_instances > 0 && changed('el2_instances') && { el2_instances: s.el2_instances }),
    ...(changed('quantum') && { quantum: s.quantum }),
    ...(changed('slice_us') && { slice_us: s.slice_us }),
    ...(changed('spin_turns') && { spin_turns: s.spin_turns }),
    ...(changed('ring_records') && { ring_records: s.ring_records }),
    ...(ofFile.noise !== undefined && { noise: ofFile.noise }),
  };
}
