/** `tune`: statistics and advice on made-up samples, candidates, the state on disk, --apply, and one real tiny sweep. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { DEFAULT_NOISE, NOISE } from '#src/engine/host/noise.js';
import { advise, checkIsClear, leaderOf, stageIsClear, survivors, verdictOf } from '#src/lab/tune/advice.js';
import { applyEngine, applyTarget, withEngine } from '#src/lab/tune/apply.js';
import { type Subject, el2Stage, engineStage, placementStage, subjectOf } from '#src/lab/tune/candidates.js';
import { chartSvg } from '#src/lab/tune/chart.js';
import { type MachineFacts, busyReasons, ticksOf, watchMachine } from '#src/lab/tune/machine.js';
import { type TuneReport, tuneReport } from '#src/lab/tune/report.js';
import { type Setting, engineSection, settingId, settingText } from '#src/lab/tune/setting.js';
import { SweepState, sweepHash } from '#src/lab/tune/state.js';
import { type Sample, bootstrapMedians, estimate, pairedRatios, shareAboveOne } from '#src/lab/tune/statistics.js';
import { type StageName, sweep } from '#src/lab/tune/sweep.js';
import { tuneCommand } from '#src/cli/commands/tune.js';
import { renderTune } from '#src/cli/render/tune.js';
import { loadScenario } from '#src/lab/scenario/scenario.js';
import { engineOptions } from '#src/lab/scenario/engine.js';
import { makePlan } from '#src/lab/scenario/plan.js';
import { pinfall } from '../cli/run.js';
import { temporaryFolder } from './recordings.js';
import { TINY, scenarioFile } from './tiny.js';

/** Samples of a stage: a list of values for each id, one per repetition. */
const samplesOf = (stage: string, values: Readonly<Record<string, readonly number[]>>): Sample[] =>
  Object.entries(values).flatMap(([id, list]) =>
    list.map((value, repetition): Sample => ({ stage, repetition, id, value })),
  );

const tinySubject = (): Subject => subjectOf(loadScenario(scenarioFile(TINY)), { seed: 1, watched: false });

describe('statistics', () => {
  it('gives the median and an interval around it, always the same', () => {
    const samples = [10, 12, 11, 13, 9, 40];
    const found = estimate(samples);
    expect(found.median).toBe(11.5);
    expect(found.low).toBeGreaterThanOrEqual(9);
    expect(found.low).toBeLessThan(found.median);
    expect(found.high).toBeGreaterThan(found.median);
    expect(estimate(samples)).toEqual(found);
    expect(bootstrapMedians(samples, 2)).not.toEqual(bootstrapMedians(samples, 1));
    // one run has no interval
    expect(estimate([7])).toEqual({ median: 7, low: null, high: null });
    expect(() => estimate([])).toThrow(RangeError);
  });

  it('compares only what was measured in the same repetition of the same stage', () => {
    const samples = [
      ...samplesOf('a', { fast: [20, 40], slow: [10, 10, 99] }),
      ...samplesOf('b', { fast: [30], slow: [10] }),
    ];
    expect(pairedRatios(samples, 'fast', 'slow')).toEqual([2, 4, 3]);
    expect(pairedRatios(samples, 'fast', 'slow', 'b')).toEqual([3]);
    expect(pairedRatios(samplesOf('a', { x: [0, 5], y: [0, 0] }), 'x', 'y')).toEqual([]);
    expect(pairedRatios(samplesOf('a', { x: [0, 5], y: [0, 2] }), 'x', 'y')).toEqual([2.5]);
  });

  it('says how sure a gain is', () => {
    expect(shareAboveOne([1.2, 1.3, 1.1])).toBe(1);
    expect(shareAboveOne([0.8, 0.9, 0.7])).toBe(0);
    const even = shareAboveOne([0.9, 1.1, 0.95, 1.05]);
    expect(even).toBeGreaterThan(0.2);
    expect(even).toBeLessThan(0.8);
  });
});

const clear = (best: number[]): boolean =>
  checkIsClear(samplesOf('check', { best, standard: [100, 100, 100] }), 'check', 'best', 'standard');

const from = (low: number, high: number) => ({ median: (low + high) / 2, low, high });

describe('advice', () => {
  const noise = [1, 1.04, 0.97, 1.02, 0.98];
  const scaled = (by: number, from = 0): number[] => noise.map((_, i) => by * (noise[(i + from) % 5] as number));

  it('recommends a clear winner, with its gain', () => {
    const samples = samplesOf('check', { best: scaled(150), standard: scaled(100, 1) });
    const advice = advise(samples, 'check', 'best', 'standard');
    expect(advice).toMatchObject({ id: 'best', sure: 1, within_noise: false, runner_up: null });
    expect(advice.gain.median).toBeCloseTo(1.5, 1);
    expect(advice.gain.low).toBeGreaterThan(1);
  });

  it('keeps the default when there is only noise, and says so', () => {
    const samples = samplesOf('check', { best: scaled(100), standard: scaled(100, 2) });
    const advice = advise(samples, 'check', 'best', 'standard');
    expect(advice).toMatchObject({ id: 'standard', within_noise: true, runner_up: { id: 'best' } });
    expect(advice.sure).toBeLessThan(0.95);
  });

  it('keeps the default when the best of the stages does worse in its check, or nothing was better', () => {
    const samples = samplesOf('check', { best: scaled(60), standard: scaled(100) });
    expect(advise(samples, 'check', 'best', 'standard')).toMatchObject({
      id: 'standard',
      sure: 1,
      within_noise: false,
    });
    expect(advise([], 'check', 'standard', 'standard')).toMatchObject({ id: 'standard', sure: 1, runner_up: null });
  });

  it('does not count what made the best the best', () => {
    const lucky = samplesOf('placement', { best: [900, 900, 900], standard: [1, 1, 1] });
    const samples = [...lucky, ...samplesOf('check', { best: scaled(100), standard: scaled(100, 2) })];
    expect(advise(samples, 'check', 'best', 'standard').id).toBe('standard');
  });

  it('drops who is clearly worse after three repetitions, never the default', () => {
    const samples = samplesOf('s', { standard: [10, 10, 10], a: [100, 99, 101], b: [98, 101, 100], c: [80, 82, 79] });
    const all = ['standard', 'a', 'b', 'c'];
    expect(leaderOf(samples, 's', all)).toBe('a');
    expect(survivors(samples, 's', all, 'standard')).toEqual(['standard', 'a', 'b']);
    const early = samples.filter(({ repetition }) => repetition < 2);
    expect(survivors(early, 's', all, 'standard')).toEqual(all);
  });

  it('drops the hopeless sooner, but nobody after one run, or one measurement', () => {
    const first = samplesOf('s', { standard: [9], a: [100], b: [40], c: [45], d: [20] });
    const ids = ['standard', 'a', 'b', 'c', 'd'];
    expect(survivors(first, 's', ids, 'standard')).toEqual(ids);
    // the second run of d came to nothing
    const broken = samplesOf('s', { standard: [9, 9], a: [100, 100], d: [1] });
    expect(survivors(broken, 's', ['standard', 'a', 'd'], 'standard')).toEqual(['standard', 'a', 'd']);
    const second = samplesOf('s', { standard: [9, 9], a: [100, 100], b: [40, 30], c: [45, 95] });
    expect(survivors(second, 's', ids.slice(0, 4), 'standard')).toEqual(['standard', 'a', 'c']);
  });

  it('stops early when the answer is clear', () => {
    expect(stageIsClear(['standard', 'a'], 'a', 'standard', 3)).toBe(true);
    expect(stageIsClear(['standard', 'a'], 'a', 'standard', 2)).toBe(false);
    expect(stageIsClear(['standard', 'a', 'b'], 'a', 'standard', 3)).toBe(false);
    expect([clear([150, 140, 160]), clear([80, 90, 70]), clear([103, 99, 105]), clear([150, 150])]).toEqual([
      true,
      true,
      false,
      false,
    ]);
  });

  it('has a word for each row', () => {
    expect(verdictOf(null, 0, true, false)).toBe('default');
    expect(verdictOf(from(1.1, 1.3), 3, false, false)).toBe('better');
    expect(verdictOf(from(0.5, 0.9), 3, false, false)).toBe('worse');
    expect(verdictOf(from(0.9, 1.1), 3, false, false)).toBe('within noise');
    expect(verdictOf(from(0.5, 0.9), 3, false, true)).toBe('dropped');
    expect(verdictOf(from(1.1, 1.3), 2, false, false)).toBe('too few runs');
  });
});

const QUIET: MachineFacts = { node: 'v20', cpus: 2, load_per_cpu: 0.1, others_share: 0.01, stolen_share: 0 };

describe('the machine', () => {
  it('is busy when others had its processors, when time was stolen, or when nobody can say and its load is high', () => {
    expect(busyReasons(QUIET, 0.1)).toEqual([]);
    expect(busyReasons({ ...QUIET, others_share: 0.5 }, null)).toHaveLength(1);
    expect(busyReasons({ ...QUIET, stolen_share: 0.05 }, null)).toHaveLength(1);
    expect(busyReasons(QUIET, 0.5)).toHaveLength(1);
    // its own last sweep is in the load
    expect(busyReasons({ ...QUIET, load_per_cpu: 3 }, null)).toEqual([]);
    expect(busyReasons({ ...QUIET, load_per_cpu: 3, others_share: null }, null)).toHaveLength(1);
  });

  it('is read from /proc/stat', () => {
    expect(ticksOf('cpu  10 2 3 100 5 1 4 7 0 0\ncpu0 1 1')).toEqual({ busy: 20, stolen: 7, all: 132 });
    expect(ticksOf('intr 5')).toBeNull();
    const facts = watchMachine()();
    expect(facts.cpus).toBeGreaterThan(0);
    expect(facts.others_share ?? 0).toBeLessThanOrEqual(1);
  });
});

describe('candidates', () => {
  it('are worker counts and placements that differ, the default first', () => {
    const subject = tinySubject();
    const { standard } = subject;
    expect(standard).toMatchObject({ workers: 7, placement: 'balanced', el2_instances: 0, quantum: 64 });
    const settings = placementStage(subject, [1, 8]);
    expect(settings[0]).toEqual(standard);
    expect([...new Set(settings.map(({ workers }) => workers))].toSorted((a, b) => a - b)).toEqual([
      1, 2, 3, 4, 5, 6, 7,
    ]);
    // one worker, or one each: no two ways
    expect(settings.filter(({ workers }) => workers === 1 || workers === 7)).toHaveLength(2);
    expect(settings.filter(({ workers }) => workers === 3)).toHaveLength(2);
    expect(settingText(settings.at(1) as Setting, standard, 7)).toBe('1 worker');
    expect(settingText(standard, standard, 7)).toBe('7 workers, one per actor');
    expect(el2Stage(subject, standard)).toEqual([]);
    expect(new Set(settings.map(settingId)).size).toBe(settings.length);
  });

  it("vary the engine's numbers around the best; turns and slices only where workers are shared", () => {
    const subject = tinySubject();
    const alone = engineStage(subject, subject.standard);
    expect(alone.every(({ quantum, slice_us }) => quantum === 64 && slice_us === 500)).toBe(true);
    expect(alone.some(({ spin_turns }) => spin_turns !== 200)).toBe(true);
    const shared = engineStage(subject, { ...subject.standard, workers: 2 });
    for (const key of ['quantum', 'slice_us', 'spin_turns', 'ring_records'] as const)
      expect(new Set(shared.map((setting) => setting[key])).size).toBeGreaterThan(1);
  });

  it('place EL2 where a policy has one', () => {
    const scenario = loadScenario('protected-guest');
    const subject = subjectOf(scenario, { seed: 1, watched: false, policy: 'pkvm-2022' });
    expect(subject.standard.el2_instances).toBeGreaterThan(0);
    const best = { ...subject.standard, workers: 3 };
    const settings = el2Stage(subject, best);
    expect(settings.some(({ placement }) => placement === 'el2-apart')).toBe(true);
    expect(new Set(settings.map(({ el2_instances }) => el2_instances)).size).toBeGreaterThan(1);
    for (const { el2_instances } of settings) {
      const plan = makePlan(scenario, { seed: 1, policy: 'pkvm-2022', el2Instances: el2_instances });
      expect(plan.actors.map(({ name }) => name)).toEqual(subject.actorsWith(el2_instances).map(({ name }) => name));
    }
  });

  it.each(['redis-guest', 'synthetic-guest', 'two-processes', 'pin-race'])('of %s are few enough', (name) => {
    const subject = subjectOf(loadScenario(name), { seed: 1, watched: true });
    const settings = placementStage(subject, [1, 8]);
    expect(settings.length).toBeGreaterThan(1);
    expect(settings.length).toBeLessThan(18);
    expect(engineStage(subject, settings.at(1) as Setting).length).toBeLessThan(10);
  });
});

/** A sweep with a made-up machine. */
async function madeUp(
  rateOf: (setting: Setting, run: number) => number | null | string,
  state: SweepState,
  stages: readonly StageName[] = ['placement'],
  machine: MachineFacts = QUIET,
) {
  const subject = tinySubject();
  let runs = 0;
  const order: string[] = [];
  const result = await sweep({
    subject,
    range: [1, 3],
    repetitions: 4,
    stages,
    state,
    measure: (setting) => {
      order.push(settingId(setting));
      const rate = rateOf(setting, ++runs);
      return Promise.resolve(
        typeof rate === 'string' ? { value: null, violations: 0, failed: rate } : { value: rate, violations: 0 },
      );
    },
  });
  const facts = { scenario: 'tiny', seed: 1, metric: 'accesses', range: [1, 3], repetitions: 4 } as const;
  const report = tuneReport({ ...facts, seconds: 1, warmUpSeconds: 0.3, ofFile: {}, machine }, subject, state, result);
  return { order, result, report, runs };
}

/** Two workers apart are best; everything wobbles a little. */
const hills = ({ workers, placement }: Setting, run: number): number =>
  (workers === 2 && placement === 'apart' ? 150 : 100 - 5 * workers) * (1 + 0.01 * ((run * 7) % 5));

const memory = (): SweepState => SweepState.open(null, 'h', 'made up');

const byPlace = ({ workers, placement }: Setting): number => hills({ workers, placement } as Setting, 1);

describe('a sweep', () => {
  it('interleaves repetitions, forwards and backwards, drops the worse, and recommends the best', async () => {
    const { order, result, report } = await madeUp(hills, memory());
    const first = placementStage(tinySubject(), [1, 3]).map(settingId);
    expect(order.slice(0, first.length)).toEqual(first);
    expect(order.slice(first.length, 2 * first.length)).toEqual(first.toReversed());
    expect(result.best).toMatchObject({ workers: 2, placement: 'apart' });
    expect(result.dropped.size).toBe(first.length - 2);
    expect(report.recommended).toMatchObject({ is_default: false, engine: { workers: 2, placement: 'apart' } });
    expect(report.recommended?.sure).toBe(1);
    expect(report.rows.find(({ verdict }) => verdict === 'default')?.setting).toEqual(tinySubject().standard);
    expect(renderTune(report)).toMatch(/Recommended: 2 workers, CPUs and daemons apart: \+/);
    const chart = chartSvg(report);
    expect(chart).toMatch(/^<svg [\s\S]*2 workers, CPUs and daemons apart/);
    // bars are as long as their medians, the longest first; each has its interval
    const bars = [...chart.matchAll(/<rect x="[\d.]+" y="[\d.]+" width="([\d.]+)"/g)].map(([, width]) => Number(width));
    const medians = report.rows.map(({ rate }) => rate.median).toSorted((a, b) => b - a);
    expect(bars.map((width) => width / (bars[0] as number))).toEqual(
      medians.map((median) => expect.closeTo(median / (medians[0] as number), 2) as number),
    );
    expect(chart.match(/class="whisker"/g)).toHaveLength(report.rows.filter(({ samples }) => samples > 1).length);
    expect(chartSvg({ ...report, scenario: '<&>' })).toContain('pinfall tune: &lt;&amp;&gt;, ');
  });

  it('keeps the default where all are the same', async () => {
    const { report } = await madeUp((_setting, run) => 100 + ((run * 13) % 7), memory(), ['placement', 'engine']);
    expect(report.recommended?.is_default).toBe(true);
    expect(renderTune(report)).toMatch(/Recommended: keep the default, 7 workers, one per actor/);
  });

  it('recommends nothing on a busy machine, and names what it was busy with', async () => {
    const busy = { ...QUIET, load_per_cpu: 2.5, others_share: 0.6, stolen_share: 0.1 };
    const { report } = await madeUp(hills, memory(), ['placement'], busy);
    expect(report.recommended).toBeNull();
    expect(report.host).toMatchObject(busy);
    const text = renderTune(report);
    expect(text).toMatch(
      /The machine was busy: other processes had 60 % of the CPU time \(the load average was 2\.5 per/,
    );
    expect(text).toMatch(/10 % of the CPU time was stolen/);
    expect(text).toMatch(/Nothing is recommended/);
    expect(text).not.toMatch(/Recommended:|--apply/);
    expect(chartSvg(report)).toMatch(/the machine was busy/);
    // the default, again and again, is not the same
    let own = 0;
    const standard = settingId(tinySubject().standard);
    const jumps = (setting: Setting): number =>
      settingId(setting) === standard ? ([50, 120, 260][own++ % 3] as number) : 100;
    const wild = await madeUp(jumps, memory());
    expect(wild.report.busy).toEqual([expect.stringMatching(/the default's own runs differ by \d+ %/)]);
    expect(wild.report.recommended).toBeNull();
  });

  it('makes no value of a run that measured nothing', async () => {
    const standard = settingId(tinySubject().standard);
    const never = await madeUp(
      (setting, run) => (settingId(setting) === standard ? 'no access' : hills(setting, run)),
      memory(),
    );
    expect(never.report).toMatchObject({ recommended: null, ok: false, busy: [] });
    expect(never.report.failed_runs.length).toBeGreaterThan(0);
    expect(never.report.rows.every(({ rate, ratio }) => rate.median > 0 && ratio === null)).toBe(true);
    expect(renderTune(never.report)).toMatch(
      /measured nothing, and count for nothing:\n {2}7 workers, one per actor: no access/,
    );
    const once = await madeUp((setting, run) => (run === 2 ? 'no access' : hills(setting, run)), memory());
    expect(once.report).toMatchObject({
      ok: false,
      recommended: { is_default: false },
      failed_runs: [{ why: 'no access' }],
    });
  });

  it('goes on where it was interrupted, and then comes to the same end', async () => {
    const path = join(temporaryFolder(), 'state.json');
    const open = (): SweepState => SweepState.open(path, 'h', 'made up');
    const broken = await madeUp((setting, run) => (run === 6 ? null : byPlace(setting)), open());
    expect(broken.result.interrupted).toBe(true);
    expect(broken.report).toMatchObject({ end: { kind: 'interrupted' }, recommended: null, runs: 5 });
    expect(renderTune(broken.report)).toMatch(/goes on where this one stopped/);
    const state = open();
    const whole = await madeUp(byPlace, memory());
    const rest = await madeUp(byPlace, state);
    expect(rest.runs).toBe(whole.runs - 5);
    expect(rest.report.resumed_runs).toBe(5);
    expect(rest.report.recommended).toEqual(whole.report.recommended);
    state.finish();
    expect(open().resumed).toBe(0);
  });

  it('refuses a state of another sweep, or one that is none', () => {
    const path = join(temporaryFolder(), 'state.json');
    SweepState.open(path, sweepHash({ a: 1 }), 'this');
    expect(() => SweepState.open(path, sweepHash({ a: 2 }), 'that')).toThrow(
      /an unfinished sweep of this, not of that/,
    );
    writeFileSync(path, '{"some": "file"}');
    expect(() => SweepState.open(path, 'h', 'this')).toThrow(/not the state of a sweep/);
    expect(readFileSync(path, 'utf8')).toBe('{"some": "file"}');
    expect(() => SweepState.open(join(path, 'x'), 'h', 'this')).toThrow(/state\.json/);
  });
});

const optionsOf = (engine: string, wishes = {}) => {
  const scenario = loadScenario(scenarioFile(`${TINY}engine: ${engine}\n`));
  return engineOptions(scenario, makePlan(scenario, { seed: 1 }).actors, wishes);
};

describe('the engine section', () => {
  const ENGINE = { workers: 3, placement: 'apart', quantum: 256 } as const;
  const text = `# above\n${TINY.replace('actors:', '# the actors   \nactors:')}# below\n`;

  it('is appended, with not a character of the rest changed; the result loads', () => {
    const path = scenarioFile(text);
    applyEngine(applyTarget(path, '/'), ENGINE);
    const written = readFileSync(path, 'utf8');
    expect(written.startsWith(text.trimEnd())).toBe(true);
    expect(loadScenario(path).file.engine).toEqual(ENGINE);
  });

  it('is changed where there is one, comments kept', () => {
    const before = `${text}engine: # chosen\n  workers: 5 # five\n  slice_us: 100\n# the end\n`;
    const after = withEngine(before, ENGINE);
    for (const comment of ['# above', '# the actors', '# below', '# chosen', '# five', '# the end'])
      expect(after).toContain(comment);
    expect(loadScenario(scenarioFile(after)).file.engine).toEqual(ENGINE);
  });

  it('goes into JSON and braces too', () => {
    const json = JSON.stringify({ title: 'x', list: [1] });
    expect(JSON.parse(withEngine(json, ENGINE))).toEqual({ title: 'x', list: [1], engine: ENGINE });
    expect(withEngine('{ title: x }', { workers: 2 })).toMatch(/^\{ title: x, engine: \{ workers: 2 \} \}\s*$/);
  });

  it('of a shipped scenario goes into a copy, which replaces nothing', () => {
    const folder = temporaryFolder();
    const target = applyTarget('redis-guest', folder);
    expect(target).toMatchObject({ copy: true, to: join(folder, 'redis-guest.yaml') });
    applyEngine(target, ENGINE);
    expect(loadScenario(target.to).file).toEqual({ ...loadScenario('redis-guest').file, engine: ENGINE });
    const [, schema = ''] = /\$schema=(\S+)/.exec(readFileSync(target.to, 'utf8')) ?? [];
    expect(JSON.parse(readFileSync(join(folder, schema), 'utf8'))).toMatchObject({ title: 'A scenario of pinfall' });
    expect(() => applyTarget('redis-guest', folder)).toThrow(/redis-guest\.yaml is there already/);
  });

  it('says what differs from the default only', () => {
    const { standard } = tinySubject();
    expect(engineSection({ ...standard, workers: 3 }, standard, {})).toEqual({ workers: 3 });
    expect(engineSection({ ...standard, spin_turns: 50 }, standard, {})).toEqual({ workers: 7, spin_turns: 50 });
    // what no sweep looks for stays as the file has it
    expect(engineSection({ ...standard, workers: 3 }, standard, { noise: 'off' })).toEqual({
      workers: 3,
      noise: 'off',
    });
  });

  it('is the default of a run, and gives way to options', () => {
    expect(optionsOf('{ workers: 3, quantum: 9, ring_records: 256, noise: light }')).toEqual({
      noise: NOISE.light,
      placement: [0, 1, 2, 0, 1, 2, 0],
      quantum: 9,
      ringRecords: 256,
    });
    expect(optionsOf('{ workers: 3, quantum: 9 }', { workers: 1, quantum: 5 })).toEqual({
      noise: NOISE[DEFAULT_NOISE],
      placement: [0, 0, 0, 0, 0, 0, 0],
      quantum: 5,
    });
    const groups = '{ placement: [[ksmd, khugepaged], [vcpu0], [vcpu1]] }';
    expect(optionsOf(groups).placement).toEqual([1, 2, 1, 2, 0, 0, 0]);
    expect(Math.max(...(optionsOf(groups, { workers: 2 }).placement ?? []))).toBe(1);
    expect(() => optionsOf('{ placement: [[nobody]] }')).toThrow(/engine\.placement\[0\]\[0\]: no actor nobody/);
    expect(() => optionsOf('{ placement: [[dma], [dma]] }')).toThrow(/dma has a worker already/);
    expect(() => optionsOf('{ ring_records: 100 }')).toThrow(/expected a power of two/);
    expect(() => optionsOf('{ workers: 0 }')).toThrow(/engine\.workers: expected at least 1/);
  });
});

/** Two actors: one worker each, or one for both. */
const PAIR = `title: pair
machine: { nodes: 1, frames_per_node: 256, thp_order: 3, tlb_entries: 64, vmas_per_process: 20 }
processes:
  - mappings: [{ start: 0, pages: 64 }]
guests:
  - { vcpus: 1, slots: [{ pages: 64 }] }
actors:
  - { kind: vcpu, pages: 64 } # the guest
  - { kind: vmm, pages: 64, pause_us: 50 }
`;

describe('pinfall tune', () => {
  it('sweeps for real, writes report and chart, and applies what it recommends', { timeout: 60_000 }, async () => {
    const path = scenarioFile(PAIR);
    const folder = temporaryFolder();
    const at = (name: string): string => join(folder, name);
    const files = ['--state', at('s.json'), '--chart', at('c.png'), '--report', at('r.json')];
    const ended = await pinfall(
      'tune',
      path,
      '--workers',
      '1',
      '--repeat',
      '2',
      '--duration',
      '100ms',
      '--stages',
      'placement',
      '--apply',
      '--json',
      ...files,
    );
    // 4: there was no answer to give, on a busy machine
    expect([0, 4]).toContain(ended.code);
    // a line for each run, and what --apply did
    const told = ended.err.trimEnd().split('\n');
    expect(told.at(-1)).toMatch(/engine|nothing written/);
    for (const line of told.slice(0, -1))
      expect(line).toMatch(/^pinfall: placement \d+ of about \d+, \d+ s left: |^pinfall: check/);
    const report = JSON.parse(ended.out) as TuneReport;
    expect(report).toMatchObject({
      schema: 'pinfall.report/1',
      command: 'tune',
      metric: 'accesses',
      violation_count: 0,
    });
    expect(ended.code === 0).toBe(report.recommended !== null && report.ok);
    expect(report.rows.map(({ name }) => name)).toEqual(['2 workers, one per actor', '1 worker']);
    // one run has no interval
    expect(
      report.rows.every(({ samples, rate: { low, high } }) => (samples === 1) === (low === null && high === null)),
    ).toBe(true);
    expect(JSON.parse(readFileSync(at('r.json'), 'utf8'))).toEqual(report);
    expect(readFileSync(at('c.png')).subarray(1, 4).toString()).toBe('PNG');
    expect(JSON.parse(readFileSync(at('s.json'), 'utf8'))).toMatchObject({ finished: true });
    const { engine } = loadScenario(path).file;
    expect(engine).toEqual(report.recommended?.is_default === false ? { workers: 1 } : {});
    expect(readFileSync(path, 'utf8')).toContain('# the guest');
  });

  it.each<[string[], RegExp]>([
    [['--workers', '8..1'], /--workers: expected a range such as 1\.\.8/],
    [['--workers', '0..4'], /--workers: expected a range/],
    [['--metric', 'speed'], /--metric: no 'speed'; expected one of accesses, faults, races/],
    [['--repeat', '0'], /--repeat: expected a whole number from 1 to 100/],
    [['--chart', '/nowhere/at/all.svg'], /--chart .*cannot be written/],
    [['--state', '/nowhere/at/all.json'], /all\.json: cannot be written/],
  ])('refuses %j before anything is measured', async (args, message) => {
    const command = tuneCommand()
      .exitOverride()
      .configureOutput({ writeErr: () => {} });
    await expect(command.parseAsync(['pin-race', ...args], { from: 'user' })).rejects.toThrow(message);
    expect(existsSync('pinfall.tune.json')).toBe(false);
  });
});
