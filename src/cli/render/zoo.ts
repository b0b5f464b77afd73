/** What `zoo` prints. */
import { notAskedLine } from '../../lab/report/asked.js';
import type { ZooEntry, ZooProof, ZooReport, ZooThreadsRow, listZoo } from '../../lab/zoo/zoo.js';
import { pc } from './colour.js';
import { nextCommand } from './next.js';
import { number, table } from './table.js';

export function renderZooList(bugs: ReturnType<typeof listZoo>): string {
  const rows = bugs.map(({ id, title, fixed_in, invariants }) => [
    id,
    fixed_in === '' ? 'model only' : fixed_in,
    invariants.join(', '),
    title,
  ]);
  return [
    table(['bug', 'mended in', 'caught by', 'what'], rows),
    '',
    nextCommand(['zoo', 'run', 'Z04'], 'finds it with every strategy, and proves its litmus file clean without it'),
  ].join('\n');
}

const seconds = (value: number): string =>
  value < 1 ? `${number(Math.round(value * 1000))} ms` : `${number(value)} s`;

function proofText(proof: ZooProof | null, planted: boolean): string {
  if (proof === null) return '';
  const { exhaustive, schedules, violations, undeclared } = proof;
  if (planted) {
    if (violations.some((rule) => rule !== 'undeclared')) return `found in ${number(schedules)}`;
    return exhaustive ? pc.red('not there') : undeclared.length > 0 ? 'undeclared, not proved' : 'not ended';
  }
  if (violations.length > 0) return pc.red(violations.join(', '));
  return exhaustive ? `clean: ${number(schedules)}` : `no find in ${number(schedules)}`;
}

const row = (entry: ZooEntry): (string | number)[] => [
  entry.id,
  entry.found ? pc.green(entry.invariant ?? '') : pc.red('missed'),
  ...entry.strategies.map(({ found, searches, schedules, elapsed_s }) =>
    found === 0
      ? pc.dim('-')
      : `${number(schedules ?? 0)} / ${seconds(elapsed_s ?? 0)}${found < searches ? ` (${found} of ${searches})` : ''}`,
  ),
  proofText(entry.planted, true),
  proofText(entry.unplanted, false),
  ...(entry.threads === null ? [] : [threadsText(entry.threads)]),
];

function threadsText({ found, iterations, elapsed_s, ended }: ZooThreadsRow): string {
  const effort = `${number(iterations)} / ${seconds(elapsed_s)}`;
  return found ? effort : `${pc.dim('-')} ${ended || 'interrupted'}`;
}

/** What the last column says of a race that found nothing. */
const THREADS_ENDED =
  '  threads, budget: its CPU seconds were used. clock: ten times that had passed, the machine is busy.';

export function renderZooRun(report: ZooReport): string {
  const [first] = report.entries;
  const strategies = first?.strategies.map(({ strategy }) => strategy) ?? [];
  const threads = first?.threads == null ? [] : ['threads'];
  const found = report.entries.filter((entry) => entry.found).length;
  return [
    ...(report.not_asked === null ? [] : [pc.red(notAskedLine(report.not_asked))]),
    ...(report.silence === null ? [] : [report.silence, '']),
    `${pc.bold('pinfall zoo')}  ${found} of ${report.entries.length} found in ${seconds(report.elapsed_s)}; medians of ${report.seeds} seeds: schedules / time.`,
    '',
    table(['bug', 'caught by', ...strategies, 'exhaustive', 'without the bug', ...threads], report.entries.map(row)),
    '',
    '  -: not found within its schedules and time, which proves nothing. clean: proved. no find: so many tried, not proved.',
    ...(report.silence === null ? [] : [THREADS_ENDED]),
    ...report.entries.flatMap(({ id, title, diagram }) =>
      diagram === null ? [] : ['', `${pc.bold(id)} ${title}`, '', diagram.trimEnd()],
    ),
  ].join('\n');
}
