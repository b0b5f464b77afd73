/**
 * Whether real threads show what they are for: how many of so many runs of each command find race d1 (I-PINNED-S2) and d2 (I-STALE)
 * within the command's default time, and how many of the zoo's bugs within 60 s each.
 *
 *     npm run soak:threads -- [--runs 10] [--busy 4] [--only stress,compare,litmus,zoo]
 *
 * `--busy` runs so many busy loops beside it. It prints the counts, and ends with code 1 where fewer than nine in ten runs, or of
 * the zoo fewer than 62 bugs, have found what they should.
 */
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const MAIN = fileURLToPath(new URL('../dist/src/cli/main.js', import.meta.url));
const args = process.argv.slice(2);
const option = (name, fallback) => (args.includes(name) ? args[args.indexOf(name) + 1] : fallback);
const runs = Number(option('--runs', 10));
const busy = Number(option('--busy', 0));
const only = option('--only', 'stress,compare,litmus,zoo').split(',');
const ZOO_WANTED = 62;
if (!(runs >= 1 && busy >= 0)) {
  process.stderr.write('soak:threads: expected --runs and --busy with numbers\n');
  process.exit(2);
}

/** The report object of a command. */
function report(...command) {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [MAIN, ...command, '--json'], { stdio: ['ignore', 'pipe', 'inherit'] });
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

const breaks = (violations, rule) => violations.some(({ invariant }) => invariant === rule);
/** Of a run on threads. */
const shows = (rule) => (each) => breaks(each.violations, rule);
/** Of compare: the report of one policy. */
const row = (policy, rule) => (each) => breaks(each.reports.find((one) => one.policy === policy)?.violations ?? [], rule);

const CHECKED = 'check-then-notify';
const RANGE = 'check-then-notify-range';
const CASES = [
  ['stress', `stress --policy ${CHECKED} --no-explain`, [['d1', shows('I-PINNED-S2')]]],
  ['stress', `stress --policy ${RANGE} --no-explain`, [['d1', shows('I-PINNED-S2')], ['d2', shows('I-STALE')]]],
  [
    'compare',
    `compare --policies ${CHECKED},${RANGE}`,
    [['d1', row(CHECKED, 'I-PINNED-S2')], ['d1 of ranges', row(RANGE, 'I-PINNED-S2')], ['d2', row(RANGE, 'I-STALE')]],
  ],
  ['litmus', 'litmus bad_thread_2_check_then_notify --threads', [['d1', shows('I-PINNED-S2')]]],
  ['litmus', 'litmus bad_thread_3_range_misses_notify --threads', [['d2', shows('I-STALE')]]],
];

const loops = Array.from({ length: busy }, () => spawn(process.execPath, ['-e', 'for (;;);'], { stdio: 'ignore' }));
process.on('exit', () => loops.forEach((loop) => loop.kill('SIGKILL')));
let failed = false;
const say = (ok, text) => {
  failed ||= !ok;
  process.stdout.write(`soak:threads: ${ok ? '' : 'MISSED '}${text}\n`);
};

for (const [kind, command, wanted] of CASES.filter(([each]) => only.includes(each))) {
  const found = wanted.map(() => 0);
  for (let run = 1; run <= runs; run++) {
    const seeded = kind === 'litmus' ? [] : ['--seed', String(run)];
    const each = await report(...command.split(' '), ...seeded);
    wanted.forEach(([, holds], i) => (found[i] += holds(each) ? 1 : 0));
  }
  wanted.forEach(([name], i) => say(found[i] >= Math.floor(0.9 * runs), `${name} in ${found[i]} of ${runs}: ${command}`));
}
if (only.includes('zoo')) {
  const { entries } = await report('zoo', 'run', '--threads', '60s', '--strategies', 'random', '--seeds', '1', '--time', '50ms', '--exhaustive', '50ms');
  const missed = entries.filter(({ threads }) => threads?.found !== true).map(({ id }) => id);
  const text = missed.length === 0 ? '' : ` (not ${missed.join(', ')})`;
  say(entries.length - missed.length >= Math.min(ZOO_WANTED, entries.length), `${entries.length - missed.length} of ${entries.length} bugs by zoo run --threads${text}`);
}
process.exit(failed ? 1 : 0);
