/**
 * Whether real threads show what they are for: how many of so many runs of each command find race d1 (I-PINNED-S2) and d2 (I-STALE)
 * within the command's default time, and how many of the zoo's bugs within 60 CPU seconds of each worker.
 *
 *     npm run soak:threads -- [--runs 10] [--busy 4] [--only stress,compare,litmus,zoo]
 *
 * `--busy` runs so many busy loops beside it. It prints a table: the command, in how many runs each race was found, the median of the
 * seconds to its first violation (of litmus by its iteration; of compare in the runs of that policy alone), and the machine's load
 * (over a minute) before and after. It ends with code 1 where fewer than nine in ten runs have found what they should, or the zoo's
 * races not all bugs but those that ZOO_UNSEEN names.
 */
import { spawn } from 'node:child_process';
import { loadavg } from 'node:os';
import { fileURLToPath } from 'node:url';

const MAIN = fileURLToPath(new URL('../dist/src/cli/main.js', import.meta.url));
/** Bugs that threads need not show: id, and why. */
const ZOO_UNSEEN = {};
/** Of the runs. */
const WANTED = 0.9;
const args = process.argv.slice(2);
const option = (name, fallback) => (args.includes(name) ? args[args.indexOf(name) + 1] : fallback);
const runs = Number(option('--runs', 10));
const busy = Number(option('--busy', 0));
const kinds = ['stress', 'compare', 'litmus', 'zoo'];
const only = String(option('--only', kinds.join(','))).split(',');
if (!(runs >= 1 && busy >= 0) || only.some((kind) => !kinds.includes(kind))) {
  process.stderr.write(`soak:threads: expected --runs and --busy with numbers, --only with some of ${kinds.join(',')}\n`);
  process.exit(2);
}

/** The report object of a command. */
function report(...command) {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [MAIN, ...command, '--json'], { stdio: ['ignore', 'pipe', 'ignore'] });
    let text = '';
    child.stdout.setEncoding('utf8').on('data', (part) => (text += part));
    child.on('error', reject).on('close', (code) => {
      try {
        resolve(JSON.parse(text));
      } catch {
        reject(new Error(`pinfall ${command.join(' ')}: exit code ${code}, no report`));
      }
    });
  });
}

/** Seconds to the first violation of a rule in runs one after the other, or null. */
function firstIn(reports, rule) {
  let before = 0;
  for (const { violations, duration_s } of reports) {
    const times = violations.filter(({ invariant }) => invariant === rule).map(({ at_s }) => at_s);
    if (times.length > 0) return before + Math.min(...times);
    before += duration_s;
  }
  return null;
}

const stress = (rule) => (each) => firstIn([each], rule);
const compare = (policy, rule) => (each) => firstIn(each.reports.filter((one) => one.policy === policy), rule);
const litmus = (rule) => (each) => {
  if (!each.violations.some(({ invariant }) => invariant === rule)) return null;
  const firsts = each.outcomes.filter(({ broken }) => broken > 0).map(({ first }) => first);
  return Math.min(...firsts) / each.iterations_per_s;
};

const CHECKED = 'check-then-notify';
const RANGE = 'check-then-notify-range';
const CASES = [
  ['stress', `stress --policy ${CHECKED} --no-explain`, [['d1', stress('I-PINNED-S2')]]],
  ['stress', `stress --policy ${RANGE} --no-explain`, [['d1', stress('I-PINNED-S2')], ['d2', stress('I-STALE')]]],
  [
    'compare',
    `compare --policies ${CHECKED},${RANGE}`,
    [
      ['d1', compare(CHECKED, 'I-PINNED-S2')],
      ['d1 of ranges', compare(RANGE, 'I-PINNED-S2')],
      ['d2', compare(RANGE, 'I-STALE')],
    ],
  ],
  ['litmus', 'litmus bad_thread_2_check_then_notify --threads', [['d1', litmus('I-PINNED-S2')]]],
  ['litmus', 'litmus bad_thread_3_range_misses_notify --threads', [['d2', litmus('I-STALE')]]],
];

const loops = Array.from({ length: busy }, () => spawn(process.execPath, ['-e', 'for (;;);'], { stdio: 'ignore' }));
process.on('exit', () => loops.forEach((loop) => loop.kill('SIGKILL')));
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => process.exit(1));

const load = () => loadavg()[0].toFixed(1);
const short = (seconds) => (seconds === undefined ? '-' : seconds.toFixed(seconds < 1 ? 3 : 1));
function median(values) {
  const sorted = values.toSorted((x, y) => x - y);
  return sorted[sorted.length >> 1];
}
let failed = false;
const line = (...cells) => process.stdout.write(`| ${cells.join(' | ')} |\n`);
function row(ok, command, what, found, seconds, before) {
  failed ||= !ok;
  line(command, what, `${found}${ok ? '' : ' MISSED'}`, seconds, before, load());
}

line('command', 'race', 'found', 'median s to the first', 'load before', 'after');
line('---', '---', '---', '---', '---', '---');
for (const [kind, command, wanted] of CASES.filter(([each]) => only.includes(each))) {
  const before = load();
  const found = wanted.map(() => []);
  for (let run = 1; run <= runs; run++) {
    const seeded = kind === 'litmus' ? [] : ['--seed', String(run)];
    const each = await report(...command.split(' '), ...seeded);
    wanted.forEach(([, first], i) => {
      const seconds = first(each);
      if (seconds !== null) found[i].push(seconds);
    });
  }
  wanted.forEach(([name], i) => {
    const { length } = found[i];
    row(length >= Math.floor(WANTED * runs), command, name, `${length} of ${runs}`, short(median(found[i])), before);
  });
}
if (only.includes('zoo')) {
  const before = load();
  const command = 'zoo run --threads 60s --strategies random --seeds 1 --time 50ms --exhaustive 50ms';
  const { entries } = await report(...command.split(' '));
  const found = entries.filter(({ threads }) => threads?.found === true);
  const missed = entries.filter((entry) => !found.includes(entry)).map(({ id }) => id);
  const unexpected = missed.filter((id) => !(id in ZOO_UNSEEN));
  const text = `${found.length} of ${entries.length}${missed.length === 0 ? '' : `, not ${missed.join(', ')}`}`;
  const times = found.map(({ threads }) => threads.elapsed_s);
  row(entries.length > 0 && unexpected.length === 0, 'zoo run --threads', 'all', text, short(median(times)), before);
}
process.exit(failed ? 1 : 0);
