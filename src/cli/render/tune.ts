/** What `tune` prints: a table, bars, one recommendation, and what to try next. */
import type { TuneReport, TuneRow } from '../../lab/tune/report.js';
import type { Estimate } from '../../lab/tune/statistics.js';
import { pc } from './colour.js';
import { nextCommand } from './next.js';
import { number, table } from './table.js';

/** Columns of the longest bar. */
const BAR_COLUMNS = 40;

/** What the command was given, as far as it matters to what is worth trying next. */
interface TuneGiven {
  readonly policy?: string;
  /** The scenario file that the recommendation was written to. */
  readonly applied?: string;
}

export function renderTune(report: TuneReport, given: TuneGiven = {}): string {
  const rows = report.rows.toSorted((a, b) => b.rate.median - a.rate.median);
  return [
    recommendation(report),
    header(report),
    troubles(report),
    settings(report, rows),
    bars(report, rows),
    rules(report),
    next(report, given),
  ]
    .filter((part) => part !== '')
    .join('\n\n');
}

function header(report: TuneReport): string {
  const { scenario, policy, seed, metric, runs, took_s, resumed_runs } = report;
  const before = resumed_runs > 0 ? `, ${resumed_runs} of them by an earlier call` : '';
  return [
    `${pc.bold('pinfall tune')}  scenario ${scenario}, policy ${policy}, seed ${seed}, metric ${metric} (${report.unit})`,
    `${counted(report.rows.length, 'setting')}, ${range(report.workers)}; ${counted(runs, 'run')} of ${report.duration_s} s` +
      ` after ${rate(report.warm_up_s)} s of warm-up in ${Math.round(took_s)} s${before}. Medians with 95 % bootstrap intervals;` +
      ' ratios to the default of the same repetition.',
  ].join('\n');
}

/** What keeps the figures from meaning what they seem to. */
function troubles({ busy, failed_runs: failed }: TuneReport): string {
  const kinds = [...new Set(failed.map(({ name, why }) => `${name}: ${why}`))];
  return [
    ...(busy.length > 0 ? [pc.yellow(`The machine was busy: ${busy.join('; ')}.`)] : []),
    ...(failed.length > 0
      ? [
          pc.red(
            `${counted(failed.length, 'run')} measured nothing, and ${failed.length === 1 ? 'counts' : 'count'} for nothing:`,
          ),
        ]
      : []),
    ...kinds.map((kind) => `  ${kind}`),
  ].join('\n');
}

function settings(report: TuneReport, rows: readonly TuneRow[]): string {
  return table(
    ['setting', `${report.metric}/s`, 'interval', 'of default', 'interval', 'runs', ''],
    rows.map((row) => [
      row.name,
      rate(row.rate.median),
      interval(row.rate, rate),
      row.ratio === null ? '' : times(row.ratio.median),
      row.ratio === null ? '' : interval(row.ratio, times),
      row.samples,
      isChosen(report, row) ? pc.green(`${row.verdict}, recommended`) : row.verdict,
    ]),
  );
}

const isChosen = (report: TuneReport, row: TuneRow): boolean => report.recommended?.name === row.name;

/** A bar for each setting: solid to the interval's low end, lighter to the median, lightest to its high end. */
function bars(report: TuneReport, rows: readonly TuneRow[]): string {
  const most = Math.max(...rows.map((row) => row.rate.high ?? row.rate.median), 1e-9);
  const width = Math.max(...rows.map((row) => row.name.length));
  const columns = (value: number): number => Math.round((value / most) * BAR_COLUMNS);
  return rows
    .map((row) => {
      const low = columns(row.rate.low ?? row.rate.median);
      const middle = Math.max(low, columns(row.rate.median));
      const high = Math.max(middle, columns(row.rate.high ?? row.rate.median));
      const bar = '█'.repeat(low) + '▓'.repeat(middle - low) + '░'.repeat(high - middle);
      const colour = isChosen(report, row) ? pc.green : row.verdict === 'default' ? pc.cyan : (text: string) => text;
      return `  ${row.name.padEnd(width)}  ${colour(bar || '▏')} ${rate(row.rate.median)}`;
    })
    .join('\n');
}

function recommendation(report: TuneReport): string {
  const { recommended, runner_up } = report;
  if (recommended === null) {
    if (report.end.kind === 'interrupted') return 'Interrupted: the same command goes on where this one stopped.';
    return report.busy.length > 0
      ? 'Nothing is recommended: on a busy machine settings cannot be compared. Measure again when it is idle.'
      : 'Nothing is recommended: the default could not be measured.';
  }
  if (!recommended.is_default) {
    const { gain } = recommended;
    return pc.green(
      `Recommended: ${recommended.name}: ${change(gain.median)} over the default` +
        ` (95 % interval ${interval(gain, change)}; better in ${sureness(recommended.sure)} of bootstrap samples).`,
    );
  }
  const why =
    runner_up === null
      ? 'nothing was faster'
      : report.within_noise
        ? `the best other, ${runner_up.name}, is within the noise (${interval(runner_up.gain, change)})`
        : `the best other, ${runner_up.name}, was slower when checked (${change(runner_up.gain.median)})`;
  return `Recommended: keep the default, ${recommended.name}: ${why}.`;
}

/** It measures speed; rules are checked meanwhile. */
function rules({ violation_count: violations, took_s: took }: TuneReport): string {
  if (violations > 0) return pc.red(`${counted(violations, 'violation')} while it was measured.`);
  return `No violation in ${number(Math.round(took))} s of measuring, which proves nothing: what breaks a policy is asked of explore.`;
}

function next(report: TuneReport, given: TuneGiven): string {
  const { recommended, scenario, metric } = report;
  const policy = given.policy === undefined ? [] : ['--policy', given.policy];
  const same = ['tune', scenario, ...policy, ...(metric === 'accesses' ? [] : ['--metric', metric])];
  if (recommended === null) return '';
  if (given.applied !== undefined) return nextCommand(['stress', given.applied, ...policy], 'with what was found');
  if (!recommended.is_default) return nextCommand([...same, '--apply'], 'sweeps again, and the scenario keeps it');
  if (report.within_noise && report.duration_s < 5) {
    const longer = ['--duration', '5s', '--repeat', '5'];
    return nextCommand([...same, ...longer], 'longer runs tell smaller differences');
  }
  if (metric !== 'races') {
    return nextCommand(['tune', scenario, ...policy, '--metric', 'races'], 'the most races, not the most work');
  }
  return nextCommand(['stress', scenario, ...policy, '--auto'], 'the worker count, while it runs');
}

const range = ([from, to]: readonly [number, number]): string =>
  from === to ? counted(from, 'worker') : `${from} to ${to} workers`;
const counted = (count: number, what: string): string => `${count} ${what}${count === 1 ? '' : 's'}`;
const rate = (value: number): string =>
  value >= 100 ? number(Math.round(value)) : String(Number(value.toPrecision(3)));
const times = (value: number): string => value.toFixed(value >= 100 ? 0 : 2);
const interval = ({ low, high }: Estimate, text: (value: number) => string): string =>
  low === null || high === null ? 'none: 1 run' : `${text(low)} to ${text(high)}`;
const change = (ratio: number): string => `${ratio >= 1 ? '+' : ''}${((ratio - 1) * 100).toFixed(1)} %`;
const sureness = (share: number): string => (share > 0.999 ? 'more than 99.9 %' : `${(share * 100).toFixed(1)} %`);
