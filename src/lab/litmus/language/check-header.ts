/** The header of a litmus file: kernel, machine, knobs, faults, what is expected. */
import { MACHINE_LIMITS } from '../../../machine/config.js';
import { KERNEL_FIXES, type KernelFix } from '../../scenario/find-knobs.js';
import { parseKernelVersion } from '../../../machine/rules.js';
import { INVARIANTS } from '../../../oracle/table.js';
import { POLICIES } from '../../../policies/index.js';
import { BUGS, bugById } from '../../../zoo/index.js';
import type { Header, LitmusFile, Setting, Word, Whole } from './ast.js';
import { listed } from './grammar-messages.js';
import type { Expectation } from './model.js';
import type { Scope } from './scope.js';

/** Numbers of the `machine` line with their limits; -1 = not said. */
const MACHINE_SETTINGS = {
  nodes: MACHINE_LIMITS.nodes,
  frames: [4, 1 << 16],
  thp_order: MACHINE_LIMITS.thpOrder,
  el2: [0, 64],
  swap: [0, 1 << 12],
  lru_batch: MACHINE_LIMITS.lruBatch,
  store_buffer: [0, 1],
} as const;
const KNOBS = {
  ksm_smart_scan: [0, 1],
  ksm_use_zero_pages: [0, 1],
  max_ptes_none: [0, 511],
  thp_use_zero_page: [0, 1],
  tlbbatch: [0, 1],
  migrate_passes: [1, 10],
  file_objects: [0, 1],
} as const;
const THP_ENABLED = ['never', 'madvise', 'always'] as const;

export interface HeaderModel {
  /** Policy's or bug's id, with `@` and a release when the file names one. */
  readonly kernel: string;
  readonly machine: Readonly<Record<keyof typeof MACHINE_SETTINGS, number>>;
  readonly knobs: Readonly<Record<keyof typeof KNOBS, number>>;
  readonly thpEnabled: 0 | 1 | 2;
  readonly fix: KernelFix;
  readonly injects: readonly { readonly actor: Word; readonly nth: number }[];
  readonly expect: Expectation | null;
  readonly stepsMax: number;
}

const LITMUS_STEPS_MAX = 20_000;
const DEFAULT_POLICY = 'classic';
const DEFAULT_VERSION = 'v6.18';
/** madvise, as distributions have it: mappings that say `hugepage` are huge, others are not. */
const DEFAULT_THP_ENABLED = 1;

/** What the command line says instead of the file. */
export interface LitmusOverrides {
  readonly policy?: string | undefined;
  readonly bug?: string | undefined;
  /** The kernel's whole id, with its release: `classic@v5.17`. */
  readonly kernel?: string | undefined;
}

export function checkHeader(scope: Scope, { headers }: LitmusFile, overrides: LitmusOverrides): HeaderModel {
  onceEach(scope, headers);
  const find = <T extends Header['kind']>(kind: T): Extract<Header, { kind: T }> | undefined =>
    headers.find((header): header is Extract<Header, { kind: T }> => header.kind === kind);
  const machine = { nodes: -1, frames: 24, thp_order: 1, el2: 1, swap: 4, lru_batch: 0, store_buffer: 0 };
  for (const setting of settingsOf(headers, 'machine'))
    numberSetting(scope, setting, 'machine setting', MACHINE_SETTINGS, machine);
  const knobs = {
    ksm_smart_scan: 0,
    ksm_use_zero_pages: 0,
    max_ptes_none: 511,
    thp_use_zero_page: 0,
    tlbbatch: 1,
    migrate_passes: 10,
    file_objects: 0,
  };
  let thpEnabled: 0 | 1 | 2 = DEFAULT_THP_ENABLED;
  let fix: KernelFix = 'none';
  for (const setting of settingsOf(headers, 'knobs')) {
    const { name, value } = setting;
    if (name.text === 'thp_enabled') {
      thpEnabled = Math.max(0, THP_ENABLED.indexOf(wordSetting(scope, name, value, THP_ENABLED))) as 0 | 1 | 2;
    } else if (name.text === 'fix') fix = wordSetting(scope, name, value, KERNEL_FIXES);
    else numberSetting(scope, setting, 'knob', KNOBS, knobs, ['thp_enabled', 'fix']);
  }
  const steps = find('steps')?.steps;
  if (steps !== undefined && !(steps.value >= 1 && steps.value <= 1_000_000)) {
    scope.mistake(steps.at, `steps: expected 1 to 1000000, got ${steps.value}`);
  }
  return {
    kernel: kernelOf(scope, find('policy')?.name, find('bug')?.name, find('kernel')?.name, overrides),
    machine,
    knobs,
    thpEnabled,
    fix,
    injects: headers.flatMap((header) => (header.kind === 'inject' ? [injectOf(scope, header)] : [])),
    expect: expectOf(scope, find('expect')),
    stepsMax: steps?.value ?? LITMUS_STEPS_MAX,
  };
}

function onceEach(scope: Scope, headers: readonly Header[]): void {
  headers.forEach((header, i) => {
    const again = header.kind !== 'inject' && headers.slice(0, i).some(({ kind }) => kind === header.kind);
    if (again) scope.mistake(header.at, `a second '${header.kind}' line`);
  });
}

const settingsOf = (headers: readonly Header[], kind: 'machine' | 'knobs'): readonly Setting[] =>
  headers.flatMap((header) => (header.kind === kind ? header.settings : []));

/** Takes one `NAME NUMBER` into `values`. */
function numberSetting<T extends string>(
  scope: Scope,
  { name, value }: Setting,
  what: string,
  limits: Readonly<Record<T, readonly [number, number]>>,
  values: Record<T, number>,
  others: readonly string[] = [],
): void {
  const known = Object.keys(limits) as T[];
  const key = known.find((each) => each === name.text);
  if (key === undefined) {
    scope.unknown(name, what, [...known, ...others]);
    return;
  }
  const [low, high] = limits[key];
  if ('text' in value || value.value < low || value.value > high) {
    scope.mistake(
      value.at,
      `${key}: expected ${low} to ${high}, got ${'text' in value ? `'${value.text}'` : value.value}`,
    );
    return;
  }
  values[key] = value.value;
}

/** A knob whose value is a word: one of `words`, the first of them where there is a mistake. */
function wordSetting<T extends string>(scope: Scope, name: Word, value: Word | Whole, words: readonly T[]): T {
  const word = 'text' in value ? words.find((each) => each === value.text) : undefined;
  if (word !== undefined) return word;
  const got = 'text' in value ? `'${value.text}'` : value.value;
  scope.mistake(value.at, `${name.text}: expected ${listed(words)}, got ${got}`);
  return words[0] as T;
}

function kernelOf(
  scope: Scope,
  policy: Word | undefined,
  bug: Word | undefined,
  version: Word | undefined,
  overrides: LitmusOverrides,
): string {
  if (policy !== undefined && bug !== undefined) {
    scope.mistake(bug.at, `'bug' and 'policy' in one file; expected one of them: a bug names its policy`);
  }
  let id = overrides.bug ?? overrides.policy ?? DEFAULT_POLICY;
  if (policy !== undefined && !POLICIES.some((each) => each.id === policy.text)) {
    scope.unknown(
      policy,
      'policy',
      POLICIES.map((each) => each.id),
    );
  } else if (bug !== undefined && bugById(bug.text) === undefined) {
    scope.unknown(
      bug,
      'bug',
      BUGS.map((each) => each.id),
    );
  } else if (overrides.bug === undefined && overrides.policy === undefined) {
    id = bug?.text ?? policy?.text ?? DEFAULT_POLICY;
  }
  if (overrides.kernel !== undefined) return overrides.kernel;
  if (version === undefined || version.text === DEFAULT_VERSION) return id;
  if (parseKernelVersion(version.text) !== null) return `${id}@${version.text}`;
  scope.mistake(version.at, `expected a kernel version such as v5.17, got '${version.text}'`);
  return id;
}

function injectOf(
  scope: Scope,
  { actor, nth }: Extract<Header, { kind: 'inject' }>,
): { readonly actor: Word; readonly nth: number } {
  if (nth.value < 1) scope.mistake(nth.at, `expected which allocation fails, from 1, got ${nth.value}`);
  return { actor, nth: nth.value };
}

function expectOf(scope: Scope, header: Extract<Header, { kind: 'expect' }> | undefined): Expectation | null {
  if (header === undefined) return null;
  if (header.what !== 'violation') return { kind: header.what };
  const { invariant } = header;
  if (!INVARIANTS.some(({ id }) => id === invariant.text)) {
    scope.unknown(
      invariant,
      'invariant',
      INVARIANTS.map(({ id }) => id),
    );
  }
  return { kind: 'violation', invariant: invariant.text };
}
