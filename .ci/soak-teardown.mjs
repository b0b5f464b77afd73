/**
 * How long a run on real threads takes to end: every shipped scenario under every policy with 1 to 8 vCPUs, a second of each
 * (`stress SCENARIO --policy P --cpus N --duration 1s`), a process of its own for each.
 *
 *     npm run soak:teardown -- [--sample 40] [--seed 1] [--scenarios a,b] [--policies a,b]
 *
 * `--sample` takes so many of them, drawn. It prints a table: seconds from when the run was told to end until everything was torn down
 * and audited, median and worst, which that was, and of it the CPU seconds that the process got. A teardown that lasted over 2 s is told
 * by the CPU too: what it did itself (more than LIMIT_S CPU seconds) fails, what the machine took from it does not.
 * Scenarios that cannot have so many vCPUs are counted. It ends with code 1 for such a one, for a run that did not end well, and for one that could not be run.
 */
import { execFile } from 'node:child_process';
import { loadavg } from 'node:os';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const SELF = fileURLToPath(import.meta.url);
/** A teardown lasts so long at most on two cores, and takes no more CPU time: most of it is done one thing after the other. */
const LIMIT_S = 2;
/** A run that has not ended after so long is ended. */
const PATIENCE_MS = 150_000;
/** The exit code of a scenario that cannot have so many vCPUs. */
const REFUSED = 2;
const args = process.argv.slice(2);
const option = (name, fallback) => (args.includes(name) ? args[args.indexOf(name) + 1] : fallback);
const dist = (path) => import(new URL(`../dist/src/${path}`, import.meta.url).href);

if (args.includes('--one')) {
  const [scenario, policy, cpus, seed] = args.slice(args.indexOf('--one') + 1);
  const { Simulation } = await dist('lab/run/simulation.js');
  const { InputError } = await dist('errors/errors.js');
  let run;
  try {
    run = await Simulation.start({ scenario, policy, cpus: Number(cpus), seed: Number(seed), events: 'recorder' });
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    process.stderr.write(error.message);
    process.exit(REFUSED);
  }
  let timer;
  const second = new Promise((resolve) => (timer = setTimeout(resolve, 1000)));
  await Promise.race([second, run.ended, run.scenarioOver]);
  clearTimeout(timer);
  const before = process.cpuUsage();
  const { teardown_s, end, violation_count, workers } = await run.stop(false);
  const { user, system } = process.cpuUsage(before);
  process.stdout.write(JSON.stringify({ teardown_s, cpu_s: (user + system) / 1e6, end, violation_count, workers }));
  process.exit(0);
}

const { shippedNames } = await dist('lab/scenario/scenario.js');
const { POLICIES } = await dist('policies/index.js');
const names = (flag, all) => (args.includes(flag) ? option(flag, '').split(',') : all);
const combinations = names('--scenarios', shippedNames()).flatMap((scenario) =>
  names('--policies', POLICIES.map(({ id }) => id)).flatMap((policy) =>
    Array.from({ length: 8 }, (_, i) => ({ scenario, policy, cpus: i + 1 })),
  ),
);
let state = (Number(option('--seed', 1)) * 2654435761) >>> 0 || 1;
function random(n) {
  state ^= state << 13;
  state ^= state >>> 17;
  state ^= state << 5;
  return (state >>> 0) % n;
}
const sample = Math.min(Number(option('--sample', combinations.length)), combinations.length);
if (!(sample >= 1)) {
  process.stderr.write('soak:teardown: expected --sample with a number above 0\n');
  process.exit(2);
}
for (let i = 0; i < sample; i++) {
  const other = i + random(combinations.length - i);
  [combinations[i], combinations[other]] = [combinations[other], combinations[i]];
}

const run = promisify(execFile);
const rows = [];
const refused = [];
let failed = false;
const before = loadavg()[0];
for (const { scenario, policy, cpus } of combinations.slice(0, sample)) {
  const name = `${scenario}, ${policy}, ${cpus} vCPUs`;
  try {
    const argv = [SELF, '--one', scenario, policy, String(cpus), String(1 + random(1000))];
    const { stdout } = await run(process.execPath, argv, { timeout: PATIENCE_MS, killSignal: 'SIGKILL' });
    const row = { name, scenario, ...JSON.parse(stdout) };
    // a violation may end what nobody can end any more (a planted deadlock)
    const isWell = ['finished', 'scenario-over'].includes(row.end.kind) || row.violation_count > 0;
    const isOurs = row.teardown_s > LIMIT_S && row.cpu_s > LIMIT_S;
    failed ||= !isWell || isOurs;
    rows.push(row);
    if (!isWell || row.teardown_s > LIMIT_S) {
      const why = isWell ? (isOurs ? 'its own work' : 'the machine took the CPU') : `ended ${row.end.kind}: ${row.end.detail}`;
      process.stdout.write(`${name}: ${row.teardown_s.toFixed(2)} s, ${row.cpu_s.toFixed(2)} s of CPU: ${why}\n`);
    }
  } catch (error) {
    if (error.code === REFUSED) {
      refused.push(`${name}: ${error.stderr}`);
      continue;
    }
    failed = true;
    process.stdout.write(`${name}: ${String(error.stderr || error.message).trim().split('\n')[0]}\n`);
  }
}
const line = (...cells) => process.stdout.write(`| ${cells.join(' | ')} |\n`);
line('scenario', 'runs', 'median s', 'worst s', 'of it CPU s', 'which');
line('---', '---', '---', '---', '---', '---');
function summary(title, some) {
  if (some.length === 0) return;
  const sorted = some.toSorted((x, y) => x.teardown_s - y.teardown_s);
  const worst = sorted[sorted.length - 1];
  const middle = sorted[sorted.length >> 1];
  line(title, some.length, middle.teardown_s.toFixed(2), worst.teardown_s.toFixed(2), worst.cpu_s.toFixed(2), worst.name);
}
for (const scenario of shippedNames()) summary(scenario, rows.filter((each) => each.scenario === scenario));
summary('all', rows);
if (refused.length > 0) process.stdout.write(`${refused.length} cannot be, such as ${refused[0]}\n`);
process.stdout.write(`load ${before.toFixed(1)} before, ${loadavg()[0].toFixed(1)} after\n`);
process.exit(failed ? 1 : 0);
