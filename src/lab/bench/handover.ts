/**
 * How often a violation on real threads comes to a schedule that replays: each planted bug is raced in a scenario that has what it needs,
 * and its litmus file on real threads as well; what shows is handed to the explorer. The table of lab/handover/README.md.
 */
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { median } from 'simple-statistics';
import { claimsOf } from '../../engine/machine/kernel.js';
import { runOracles } from '../../engine/threads/oracles.js';
import { prepareMachine } from '../../engine/machine/setup.js';
import { BUGS, bugById } from '../../zoo/index.js';
import { handOver, handOverLitmus } from '../handover/handover.js';
import type { Handover } from '../report/handover-row.js';
import { runLitmusThreads } from '../litmus/threads/report.js';
import { litmusSubject, readLitmus } from '../litmus/subject.js';
import { engineOptions } from '../scenario/engine.js';
import { makePlan } from '../scenario/plan.js';
import { loadScenario } from '../scenario/scenario.js';
import { Simulation } from '../run/simulation.js';

interface HandoverBenchOptions {
  /** Kernels; none: all bugs of the zoo, and the policies that have a race by design. */
  readonly ids?: readonly string[];
  /** Runs of each scenario and of each litmus file. */
  readonly runs: number;
  /** For a violation to show in a run. */
  readonly raceSeconds: number;
  /** CPU seconds for the explorer, each violation. */
  readonly explainSeconds: number;
  /** Litmus files on real threads as well. */
  readonly litmus: boolean;
  readonly stop: () => boolean;
  readonly onRow: (row: HandoverRow) => void;
}

/** What became of the violations of one invariant. */
export interface HandoverTally {
  readonly invariant: string;
  readonly handed: number;
  /** Found as the same rule; as one that the same mistake breaks earlier. */
  readonly found: number;
  readonly family: number;
  /** CPU seconds and tries of those found, in the order of the runs. */
  readonly seconds: readonly number[];
  readonly tries: readonly number[];
  /** Why not, of the others. */
  readonly reasons: readonly string[];
}

export interface HandoverRow {
  readonly kernel: string;
  /** A scenario's name, or `litmus`. */
  readonly where: string;
  readonly runs: number;
  readonly violated: number;
  readonly tallies: readonly HandoverTally[];
}

const POLICIES = ['check-then-notify', 'check-then-notify-backout', 'check-then-notify-range', 'notify-under-ptl'];

/**
 * Scenarios that have what a bug needs; the others need what no actor of a scenario does. The shipped ones with the policies that break
 * a rule in them (real-rates and two-processes show none in the time of a run; driver-deadlock deadlocks, which names no page).
 */
const SCENARIOS: readonly (readonly [scenario: string, ids: readonly string[]])[] = [
  ['short-pins', POLICIES],
  ['pin-race', ['notify-under-ptl']],
  ['synthetic-guest', POLICIES],
  ['redis-guest', POLICIES],
  ['zapped-guest', ['Z01', 'Z01-early-check', 'Z01-no-retry', 'Z43-guest', 'Z47']],
  ['huge-pages', ['Z03', 'Z04', 'Z15']],
  ['long-pins', ['Z06', 'Z07', 'Z08', 'Z12', 'Z21', 'Z32', 'Z50', 'Z53']],
  ['protected-guests', ['Z30', 'Z41', 'Z42', 'Z43', 'Z44']],
];

const FOLDER = new URL('../../../../src/lab/bench/scenarios/', import.meta.url);
const TESTS = new URL('../../../../src/lab/litmus/tests/', import.meta.url);
const LITMUS_OF: Readonly<Record<string, string>> = {
  'check-then-notify': 'bad_thread_2_check_then_notify',
  'check-then-notify-backout': 'bad_check_then_notify_backout',
  'check-then-notify-range': 'bad_thread_3_range_misses_notify',
  'notify-under-ptl': 'bad_thread_4_notify_under_ptl',
};
const LITMUS = new URL('../../../../src/zoo/litmus/', import.meta.url);
/** All actors meet so often: most rules about pins and contents are judged at rest. */
const AUDIT_SECONDS = 0.1;
/** As `stress` does. */
const SHIPPED_AUDIT_SECONDS = 5;
/** A run goes on so long after its first violation: others may follow. */
const AFTER_MS = 300;

interface Shown {
  readonly invariant: string;
  readonly handover: Handover;
}

export async function measureHandovers(options: HandoverBenchOptions): Promise<HandoverRow[]> {
  const ids = options.ids ?? [...POLICIES, ...BUGS.map(({ id }) => id)];
  const rows: HandoverRow[] = [];
  for (const kernel of ids) {
    const ways: readonly (readonly [string, (seed: number) => Promise<readonly Shown[]>])[] = [
      ...SCENARIOS.flatMap(([scenario, bugs]) =>
        bugs.includes(kernel)
          ? [[scenario, (seed: number) => inScenario(kernel, scenario, seed, options)] as const]
          : [],
      ),
      ...(fileOf(kernel) === '' || !options.litmus
        ? []
        : [['litmus', (seed: number) => inLitmus(kernel, seed, options)] as const]),
    ];
    for (const [where, race] of ways) {
      const shown: (readonly Shown[])[] = [];
      for (let seed = 1; seed <= options.runs && !options.stop(); seed++) shown.push(await race(seed));
      // what an interrupt has cut short says nothing
      if (options.stop()) return rows;
      const row = rowOf(kernel, where, shown);
      rows.push(row);
      options.onRow(row);
    }
  }
  return rows;
}

async function inScenario(
  kernel: string,
  name: string,
  seed: number,
  { raceSeconds, explainSeconds, stop }: HandoverBenchOptions,
): Promise<readonly Shown[]> {
  const own = fileURLToPath(new URL(`${name}.yaml`, FOLDER));
  const scenario = loadScenario(existsSync(own) ? own : name);
  const zoo = bugById(kernel) !== undefined;
  const policy = zoo ? { ...(claimsOf(kernel).el2 && { policy: 'pkvm-2022' }) } : { policy: kernel };
  const plan = { ...makePlan(scenario, { seed, ...policy }), kernel };
  const machine = prepareMachine(plan);
  const simulation = await Simulation.run(plan, machine, {
    ...engineOptions(scenario, plan.actors, {}),
    ...runOracles(machine, plan),
    events: 'recorder',
    auditSeconds: existsSync(own) ? AUDIT_SECONDS : SHIPPED_AUDIT_SECONDS,
  });
  let timer: NodeJS.Timeout | undefined;
  await Promise.race([
    new Promise<void>((resolve) => {
      timer = setTimeout(resolve, 1000 * raceSeconds);
      simulation.violations$.subscribe(() => setTimeout(resolve, AFTER_MS));
    }),
    simulation.ended,
  ]);
  clearTimeout(timer);
  await simulation.stop();
  const shown: Shown[] = [];
  for (const { violation, records, base, ending } of simulation.evidence.all) {
    const seconds = explainSeconds;
    const handover = await handOver({ plan, records, violation, base, ending, seconds, stop });
    shown.push({ invariant: violation.invariant, handover });
  }
  return shown;
}

/** The litmus file that shows what a kernel does wrong; empty: there is none. */
function fileOf(kernel: string): string {
  const litmus = bugById(kernel)?.litmus;
  if (litmus !== undefined) return fileURLToPath(new URL(litmus, LITMUS));
  const shown = LITMUS_OF[kernel];
  return shown === undefined ? '' : fileURLToPath(new URL(`${shown}.litmus`, TESTS));
}

async function inLitmus(
  kernel: string,
  seed: number,
  { raceSeconds, explainSeconds, stop }: HandoverBenchOptions,
): Promise<readonly Shown[]> {
  const path = fileOf(kernel);
  const subject = litmusSubject({ path, text: readLitmus(path), options: { seed } });
  const { violations } = await runLitmusThreads({ subject, seconds: raceSeconds, iterations: Number.MAX_SAFE_INTEGER });
  const [violation] = violations;
  if (violation === undefined) return [];
  const handover = await handOverLitmus(subject, violation, { seconds: explainSeconds, stop });
  return [{ invariant: violation.invariant, handover }];
}

function rowOf(kernel: string, where: string, shown: readonly (readonly Shown[])[]): HandoverRow {
  const all = shown.flat();
  const tallies = [...new Set(all.map(({ invariant }) => invariant))].map((invariant): HandoverTally => {
    const own = all.filter((each) => each.invariant === invariant).map(({ handover }) => handover);
    const good = own.filter(({ found, family }) => found || family);
    return {
      invariant,
      handed: own.length,
      found: own.filter(({ found }) => found).length,
      family: own.filter(({ family }) => family).length,
      seconds: good.map(({ cpu_s }) => cpu_s),
      tries: good.map(({ tries }) => tries),
      reasons: own.filter((each) => !good.includes(each)).map(({ reason }) => reason),
    };
  });
  const violated = shown.filter((each) => each.length > 0).length;
  return { kernel, where, runs: shown.length, violated, tallies };
}

const middle = (values: readonly number[], digits: number): string =>
  values.length === 0 ? '' : median([...values]).toFixed(digits);

/** A row as lines of a Markdown table. */
export function handoverLines({ kernel, where, runs, violated, tallies }: HandoverRow): string[] {
  const head = `| ${kernel} | ${where} | ${violated} of ${runs} |`;
  if (tallies.length === 0) return [`${head} | | | | | |`];
  return tallies.map(({ invariant, handed, found, family, seconds, tries, reasons }, i) => {
    const first = i === 0 ? head : '| | | |';
    const why = [...new Set(reasons)].join('; ');
    const figures = `${middle(seconds, 1)} | ${middle(tries, 0)}`;
    return `${first} ${invariant} | ${found} of ${handed} | ${family === 0 ? '' : family} | ${figures} | ${why} |`;
  });
}

export const HANDOVER_HEAD = [
  '| kernel | raced in | runs with a violation | rule | found | as an earlier rule | median CPU s | tries | of the others |',
  '| --- | --- | --- | --- | --- | --- | --- | --- | --- |',
];

/** Of ten hand-overs at least so many are to become schedules. */
const WANTED = 0.9;

/** Rows with a rule that became schedules too seldom. */
export const tooFew = (rows: readonly HandoverRow[]): readonly string[] =>
  rows.flatMap(({ kernel, where, tallies }) =>
    tallies.flatMap(({ invariant, handed, found, family }) =>
      found + family < Math.floor(WANTED * handed)
        ? [`${kernel} in ${where}, ${invariant}: ${found + family} of ${handed}`]
        : [],
    ),
  );
