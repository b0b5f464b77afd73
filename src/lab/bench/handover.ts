/**
 * How often a violation on real threads comes to a schedule that replays: each planted bug is raced in a scenario that has what it needs,
 * and its litmus file on real threads as well; what shows is handed to the explorer. The table of lab/handover/README.md.
 */
import { fileURLToPath } from 'node:url';
import { claimsOf } from '../../engine/kernel.js';
import { runOracles } from '../../engine/oracles.js';
import { prepareMachine } from '../../engine/setup.js';
import { BUGS, bugById } from '../../zoo/index.js';
import { type Handover, handOver, handOverLitmus } from '../handover/handover.js';
import type { Suspicion } from '../handover/story.js';
import { runLitmusThreads } from '../litmus/threads/report.js';
import { litmusSubject, readLitmus } from '../litmus/subject.js';
import { engineOptions } from '../scenario-engine.js';
import { makePlan } from '../scenario-plan.js';
import { loadScenario } from '../scenario.js';
import { Simulation } from '../simulation.js';

export interface HandoverBenchOptions {
  /** Kernels; none: all bugs of the zoo, and the policies that have a race by design. */
  readonly ids?: readonly string[];
  /** Runs of each scenario and of each litmus file. */
  readonly runs: number;
  /** For a violation to show in a run. */
  readonly raceSeconds: number;
  /** For the explorer, each violation. */
  readonly explainSeconds: number;
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
  /** Of those found, in the order of the runs. */
  readonly seconds: readonly number[];
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

/** Scenarios that have what a bug needs; the others need what no actor of a scenario does. */
const SCENARIOS: readonly (readonly [scenario: string, ids: readonly string[]])[] = [
  ['short-pins', POLICIES],
  ['zapped-guest', ['Z01', 'Z01-early-check', 'Z01-no-retry', 'Z43-guest', 'Z47']],
  ['huge-pages', ['Z03', 'Z04', 'Z15']],
  ['long-pins', ['Z06', 'Z07', 'Z08', 'Z12', 'Z21', 'Z32', 'Z50', 'Z53']],
  ['protected-guests', ['Z30', 'Z41', 'Z42', 'Z43', 'Z44']],
];

const FOLDER = new URL('../../../../src/lab/bench/scenarios/', import.meta.url);
const LITMUS = new URL('../../../../src/zoo/litmus/', import.meta.url);
/** All actors meet so often: most rules about pins and contents are judged at rest. */
const AUDIT_SECONDS = 0.1;
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
    const scenario = SCENARIOS.find(([, bugs]) => bugs.includes(kernel))?.[0];
    const ways: readonly (readonly [string, (seed: number) => Promise<readonly Shown[]>])[] = [
      ...(scenario === undefined
        ? []
        : [[scenario, (seed: number) => inScenario(kernel, scenario, seed, options)] as const]),
      ...(bugById(kernel) === undefined
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
  const scenario = loadScenario(fileURLToPath(new URL(`${name}.yaml`, FOLDER)));
  const plan = { ...makePlan(scenario, { seed, ...(claimsOf(kernel).el2 && { policy: 'pkvm-2022' }) }), kernel };
  const machine = prepareMachine(plan);
  const simulation = await Simulation.run(plan, machine, {
    ...engineOptions(scenario, plan.actors, {}),
    ...runOracles(machine, plan),
    events: 'recorder',
    auditSeconds: AUDIT_SECONDS,
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
    const suspicion = violation as unknown as Suspicion;
    const seconds = explainSeconds;
    const handover = await handOver({ plan, records, violation: suspicion, base, ending, seconds, stop });
    shown.push({ invariant: violation.invariant, handover });
  }
  return shown;
}

async function inLitmus(
  kernel: string,
  seed: number,
  { raceSeconds, explainSeconds, stop }: HandoverBenchOptions,
): Promise<readonly Shown[]> {
  const path = fileURLToPath(new URL(bugById(kernel)?.litmus ?? '', LITMUS));
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
      seconds: good.map(({ elapsed_s }) => elapsed_s),
      reasons: own.filter((each) => !good.includes(each)).map(({ reason }) => reason),
    };
  });
  const violated = shown.filter((each) => each.length > 0).length;
  return { kernel, where, runs: shown.length, violated, tallies };
}

const cell = (seconds: readonly number[]): string => seconds.map((each) => each.toFixed(1)).join(', ');

/** A row as lines of a Markdown table. */
export function handoverLines({ kernel, where, runs, violated, tallies }: HandoverRow): string[] {
  const head = `| ${kernel} | ${where} | ${violated} of ${runs} |`;
  if (tallies.length === 0) return [`${head} | | | |`];
  return tallies.map(({ invariant, handed, found, family, seconds }, i) => {
    const first = i === 0 ? head : '| | | |';
    return `${first} ${invariant} | ${found} of ${handed} | ${family === 0 ? '' : family} | ${cell(seconds)} |`;
  });
}

export const HANDOVER_HEAD = [
  '| kernel | raced in | runs with a violation | rule | found | as an earlier rule | seconds |',
  '| --- | --- | --- | --- | --- | --- | --- |',
];
