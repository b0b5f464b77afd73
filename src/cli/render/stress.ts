/** The report of a run on real threads, for people. */
import { pc } from './colour.js';
import { notAskedLine } from '../../lab/report/asked.js';
import type { Report } from '../../lab/report/run-row.js';
import type { ReportViolation } from '../../lab/report/violation.js';
import { renderRates } from './rates.js';
import { endedWell } from '../exit-codes.js';
import { brokenRules } from './answer.js';
import { nextCommand } from './next.js';
import { number, table } from './table.js';

/** Everything that `stress` prints when it is done. */
export function renderStress(report: Report): string {
  const parts = [
    verdict(report),
    heading(report),
    mechanisms(report),
    renderRates(report.rates),
    operations(report),
    latencies(report),
    events(report),
    violations(report),
    next(report),
  ];
  return parts.filter((part) => part !== '').join('\n\n');
}

function heading(report: Report): string {
  const actors = report.threads.reduce((sum, row) => sum + row.actors.length, 0);
  return [
    `${pc.bold(`pinfall ${report.command}`)}  scenario ${report.scenario}, policy ${report.policy}, seed ${report.seed}`,
    `${actors} actors on ${report.workers} worker threads, ${report.duration_s.toFixed(1)} s` +
      ` and ${report.teardown_s.toFixed(2)} s of teardown; ${number(report.memory.frames)} frames.` +
      " The seed fixes workload and daemons, the interleaving is the hardware's.",
    noise(report.noise),
  ].join('\n');
}

function noise({ setting, delays, delayed_s }: Report['noise']): string {
  if (setting === 'off') return 'Noise off: actors are held up by nothing but the machine.';
  return (
    `Noise ${setting} (--noise off for none): actors were held up ${number(delays)} times at points that decide, ` +
    `${delayed_s.toFixed(1)} s in their sum.`
  );
}

function mechanisms(report: Report): string {
  const rows = report.mechanisms
    .filter((row) => row.notifier_starts + row.stage2_unmaps + row.pages_moved + row.backed_out > 0)
    .map((row) => [
      row.name,
      row.notifier_starts,
      row.pinned_hit,
      row.stage2_unmaps,
      row.stage2_unmaps_pinned,
      row.pages_moved,
      row.backed_out,
    ]);
  const head = [
    'mechanism',
    'notifiers',
    'pinned pages hit',
    'stage-2 unmaps',
    'of pinned pages',
    'pages moved',
    'backed out',
  ];
  return rows.length === 0 ? 'No mechanism sent a notifier.' : table(head, rows);
}

const SHOWN_OPS = [
  'accesses',
  'tlb_misses',
  'stage2_faults',
  'stage2_retries',
  'faults',
  'host_accesses',
  'numa_hint_faults',
  'wp_copies',
  'ksm_merged',
  'ksm_refused',
  'migrate_failures',
  'khugepaged_refused',
  'hypercalls',
  'divergences',
  'lost_records',
  'passes',
] as const;

function operations(report: Report): string {
  const rows: (string | number)[][] = SHOWN_OPS.filter((name) => report.ops[name] > 0).map((name) => [
    name,
    report.ops[name],
    Math.round(report.ops[name] / Math.max(report.duration_s, 0.001)),
  ]);
  rows.push(['pins taken by KVM', report.pins.kvm, Math.round(report.pins.kvm / Math.max(report.duration_s, 0.001))]);
  rows.push([
    'pins taken by DMA users',
    report.pins.dma,
    Math.round(report.pins.dma / Math.max(report.duration_s, 0.001)),
  ]);
  return table(['operation', 'count', 'per second'], rows);
}

function latencies(report: Report): string {
  const rows = Object.entries(report.latency_us)
    .filter(([, latency]) => latency.count > 0)
    .map(([name, latency]) => [name, latency.count, latency.p50, latency.p99, latency.max]);
  return rows.length === 0 ? '' : table(['latency, us', 'sampled', 'p50', 'p99', 'max'], rows);
}

function events(report: Report): string {
  const { written, delivered, dropped, waits } = report.events;
  const fate =
    delivered + dropped === 0
      ? 'the newest kept for diagrams (--events FILE.ndjson writes all)'
      : `${number(delivered)} delivered, ${number(dropped)} dropped`;
  return (
    `Events: ${number(written)} written, ${fate};` +
    ` workers waited ${number(waits)} times for room. Actors slept ${number(report.ops.sleeps)} times for locks and words.`
  );
}

/** One of each kind with its diagram and how often it came; all of them are in the report object. */
function violations(report: Report): string {
  const kinds = new Map<string, { first: ReportViolation; count: number }>();
  for (const violation of report.violations) {
    const kind = `${violation.invariant} ${violation.what}`;
    const known = kinds.get(kind);
    if (known === undefined) kinds.set(kind, { first: violation, count: 1 });
    else known.count++;
  }
  return [...kinds]
    .map(([kind, { first, count }]) => {
      const times = count > 1 ? ` (${number(count)} times; the first)` : '';
      const head = `${pc.red(pc.bold(kind))}${times}`;
      return first.diagram === undefined ? head : `${head}\n\n${first.diagram}`;
    })
    .join('\n\n');
}

function verdict(report: Report): string {
  if (!endedWell(report.end.kind)) {
    return pc.red(`The run ended early: ${report.end.kind}. ${report.end.detail ?? ''}`);
  }
  const found = report.violation_count;
  if (found > 0) {
    return pc.red(`Broken: ${brokenRules(report.violations, found)}, in ${report.duration_s.toFixed(1)} s.`);
  }
  const lost = report.mechanisms.reduce(
    (sum, row) => sum + (row.name === 'teardown' ? 0 : row.stage2_unmaps_pinned),
    0,
  );
  const who = report.mechanisms
    .filter((row) => row.name !== 'teardown' && row.stage2_unmaps_pinned > 0)
    .map((row) => row.name);
  const claim =
    lost > 0
      ? ` Pinned pages lost their stage-2 entry ${number(lost)} times, to ${who.join(', ')}; the pin kept every one of them in place.`
      : '';
  const { divergences } = report.ops;
  const gaveUp =
    divergences > 0
      ? ` ${number(divergences)} guest pages are not the VMM's any more at the end: divergence, which this policy gives up by design.`
      : '';
  if (report.not_asked !== null) return pc.red(notAskedLine(report.not_asked)) + claim + gaveUp;
  return `${report.silence ?? ''}${claim}${gaveUp}`.replace('No violation', pc.green('No violation'));
}

function next(report: Report): string {
  const { policy } = report;
  if (report.violation_count > 0 || !report.asked) {
    const why = report.asked ? 'the same race, deterministic' : 'its schedules, one after the other';
    return nextCommand(['explore', '--policy', policy], why);
  }
  if (policy === 'pinned-notifiers') return nextCommand(['compare'], 'the same guest under every policy');
  if (policy === 'classic') return nextCommand(['stress', '--policy', 'pinned-notifiers'], 'who unmaps pinned pages?');
  return nextCommand(
    ['explore', '--policy', policy],
    'silence on real threads proves nothing: schedule after schedule',
  );
}
