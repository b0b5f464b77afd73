/** All knobs of a run: the engine's, the kernel's, and those of its actors. */
import { type HostOptions, MACHINE_KNOBS } from '../../engine/threads/control.js';
import type { ActorSpec, Plan } from '../../plan/plan.js';
import { type Machine, globalWord } from '../../machine/layout.js';
import { InputError } from '../../errors/errors.js';
import type { KnobInfo } from './types.js';

type Row = readonly [unit: string, min: number, max: number, description: string];

const MICROS_MAX = 60_000_000;

const HOSTS: readonly (readonly [string, keyof HostOptions, ...Row])[] = [
  [
    'quantum',
    'quantum',
    'schedule points',
    1,
    1_000_000,
    'points an actor passes before the next one of its worker runs',
  ],
  ['slice_us', 'sliceMicros', 'us', 10, 1_000_000, 'how long a worker runs before it looks at its messages'],
  ['spin_turns', 'spinTurns', 'turns', 0, 1_000_000, 'looks at the words its actors wait for before a worker sleeps'],
];

const KERNEL: Readonly<Record<string, Row>> = {
  ksm_run: ['0/1', 0, 1, 'ksm/run: whether ksmd scans'],
  ksm_smart_scan: ['0/1', 0, 1, 'ksm/smart_scan: skip pages that have not merged for long'],
  ksm_use_zero_pages: ['0/1', 0, 1, 'ksm/use_zero_pages: merge zero pages with the zero page'],
  khugepaged_max_ptes_none: ['pages', 0, 511, 'khugepaged/max_ptes_none: empty entries a collapse may fill'],
  khugepaged_max_ptes_shared: ['pages', 0, 511, 'khugepaged/max_ptes_shared: shared pages a collapse may copy'],
  khugepaged_max_ptes_swap: ['pages', 0, 511, 'khugepaged/max_ptes_swap: swapped pages a collapse may bring in'],
  thp_enabled: ['0 never, 1 madvise, 2 always', 0, 2, 'transparent_hugepage/enabled'],
  thp_use_zero_page: ['0/1', 0, 1, 'transparent_hugepage/use_zero_page: huge zero page for reads'],
};

const PAUSE: Row = ['us', 0, MICROS_MAX, 'between two operations'];
const WRITES: Row = ['%', 0, 100, 'operations that write'];
const DUPLICATES: Row = ['%', 0, 100, 'writes of a content that other pages may hold too'];
const KINDS: Row = ['contents', 1, 1_000_000, 'how many such contents there are'];

/** Parameters that an actor reads at the top of its loop, by kind. The others are fixed when it starts. */
const ACTORS: Readonly<Record<string, Readonly<Record<string, Row>>>> = {
  vcpu: {
    burst_accesses: ['accesses', 0, 1_000_000_000, 'between two pauses, to within 64; 0 = never pauses'],
    pause_us: ['us', 0, MICROS_MAX, 'length of a pause'],
  },
  vmm: {
    touch_weight: ['weight', 0, 1_000_000, 'how often it touches guest memory'],
    balloon_weight: ['weight', 0, 1_000_000, 'how often it takes pages back (MADV_DONTNEED)'],
    mprotect_weight: ['weight', 0, 1_000_000, 'how often it changes the protection of a range'],
    collapse_weight: ['weight', 0, 1_000_000, 'how often it asks for a collapse (MADV_COLLAPSE)'],
    touch_pages: ['pages', 1, 65_536, 'of one touch'],
    balloon_pages: ['pages', 1, 65_536, 'of one MADV_DONTNEED'],
    mprotect_pages: ['pages', 1, 65_536, 'of one mprotect'],
    readonly_percent: ['%', 0, 100, 'mprotects that take the write permission away'],
    write_percent: WRITES,
    duplicate_percent: DUPLICATES,
    duplicate_kinds: KINDS,
    pause_us: PAUSE,
  },
  dma: {
    follow_percent: ['%', 0, 100, 'short-lived batches that are pinned where scanners are at work'],
    write_percent: WRITES,
    duplicate_percent: DUPLICATES,
    duplicate_kinds: KINDS,
    pause_us: PAUSE,
  },
  driver: { pause_us: PAUSE },
  ksmd: {
    pages_to_scan: ['pages', 1, 1_000_000, 'of a batch'],
    sleep_us: ['us', 0, MICROS_MAX, 'between two batches'],
  },
  khugepaged: {
    pages_to_scan: ['pages', 1, 1_000_000, 'of a batch'],
    sleep_us: ['us', 0, MICROS_MAX, 'between two batches'],
  },
  kswapd: {
    batch_pages: ['pages', 1, 65_536, 'isolated at once'],
    sleep_us: ['us', 0, MICROS_MAX, 'between two batches'],
  },
  'numa-balancer': {
    scan_pages: ['pages', 1, 1 << 22, 'that one scan may change'],
    period_us: ['us', 0, MICROS_MAX, 'between two scans'],
  },
};

const UNITS: readonly (readonly [RegExp, string])[] = [
  [/_us$/, 'us'],
  [/pages$|gfn$|vpn$/, 'pages'],
  [/percent$/, '%'],
  [/batches$/, 'batches'],
  [/records$/, 'records'],
];

/** Every knob with its present value. @param host the hosts' options as they are now */
export function listKnobs(m: Machine, plan: Plan, host: HostOptions): KnobInfo[] {
  const hosts = HOSTS.map(([name, field, ...row]) => knob('engine', name, Number(host[field]), row));
  const kernel = Object.entries(KERNEL).flatMap(([name, row]) => {
    const word = MACHINE_KNOBS[name];
    return word === undefined ? [] : [knob('kernel', name, m.words[globalWord(m, word)] as number, row)];
  });
  return [...hosts, ...kernel, ...plan.actors.flatMap((spec) => actorKnobs(spec))];
}

function actorKnobs(spec: ActorSpec): KnobInfo[] {
  const live = ACTORS[spec.kind] ?? {};
  return Object.entries(spec.params).map(([param, value]) => {
    const row = live[param];
    const name = `${spec.name}.${param}`;
    if (row !== undefined) return knob(spec.name, name, value, row);
    const unit = UNITS.find(([pattern]) => pattern.test(param))?.[1] ?? '';
    return knob(spec.name, name, value, [unit, value, value, 'fixed when the actor starts'], 'restart');
  });
}

const knob = (
  group: string,
  name: string,
  value: number,
  [unit, min, max, description]: Row,
  takes: KnobInfo['takes'] = 'live',
): KnobInfo => ({ name, group, value, unit, min, max, description, takes });

/** @throws InputError when there is no such knob, when it takes a restart, or for a value outside of its range */
export function checkKnob(knobs: readonly KnobInfo[], name: string, value: number): void {
  const found = knobs.find((candidate) => candidate.name === name);
  if (found === undefined) throw new InputError(`no knob ${name}; expected one such as ksm_run or ksmd.sleep_us`);
  if (found.takes === 'restart') throw new InputError(`knob ${name} is ${found.description}: it takes a restart`);
  if (Number.isInteger(value) && value >= found.min && value <= found.max) return;
  throw new InputError(`knob ${name}: expected a whole number from ${found.min} to ${found.max}, got ${value}`);
}
