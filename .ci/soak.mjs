/**
 * The soak: long runs that have to stay sound. `short` takes 20 s, for CI; without it, 10 minutes.
 *
 *     node .ci/soak.mjs [short] [--minutes M] [--seed S] [--only clean|page|kills] [--kills N]
 *
 *   clean   policies that promise no violation, under 1, 2, 4 and 8 workers
 *   page    stress with the dashboard open and read, knobs turned at random, actors moved, all through its HTTP API:
 *           no violation, and memory that does not grow
 *   kills   a worker is killed at the start, in the run, while actors move, at drains and in the teardown, in turn: exit code 3, and a
 *           report file that is whole and says who died, when, and what it held
 *
 * It ends with code 1 when anything of that is not so, and leaves no process behind.
 */
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const MAIN = fileURLToPath(new URL('../dist/src/cli/main.js', import.meta.url));
const KILL = new URL('soak-kill.mjs', import.meta.url).href;
/** Growth of the resident set that counts as a leak, and the share of a run that is warm-up. */
const GROWTH_MAX = 0.05;
const WARM_UP = 0.4;
const SAMPLE_MS = 250;
/** A run may take this much longer than it was asked to: start, teardown, a busy machine. */
const PATIENCE_MS = 90_000;

const args = process.argv.slice(2);
const short = args.includes('short');
const option = (name, fallback) => (args.includes(name) ? Number(args[args.indexOf(name) + 1]) : fallback);
const minutes = option('--minutes', short ? 0.25 : 10);
const only = args.includes('--only') ? args[args.indexOf('--only') + 1] : 'clean page kills';
let state = option('--seed', Date.now() % 100_000) >>> 0;
if (!(minutes > 0 && minutes <= 1440 && /^(clean|page|kills)\b/.test(only ?? ''))) {
  process.stderr.write('soak: expected --minutes with a number above 0, --only with clean, page or kills\n');
  process.exit(2);
}

/** A whole number below `n`: xorshift, so that a seed gives the same soak. */
function random(n) {
  state ^= state << 13;
  state ^= state >>> 17;
  state ^= state << 5;
  return (state >>> 0) % n;
}

const pick = (list) => list[random(list.length)];
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const folder = mkdtempSync(join(tmpdir(), 'pinfall-soak-'));
const children = new Set();
const problems = [];

function say(text) {
  process.stdout.write(`soak: ${text}\n`);
}

function check(holds, text) {
  if (!holds) {
    problems.push(text);
    say(`NOT OK: ${text}`);
  }
  return holds;
}

/** Starts `pinfall`, in a process group of nobody else's; `done` resolves with its exit code and what it said. */
function pinfall(argv, { nodeArgs = [], env = {}, seconds }) {
  const child = spawn(process.execPath, [...nodeArgs, MAIN, ...argv], {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: { ...process.env, ...env },
  });
  children.add(child);
  let said = '';
  child.stderr.on('data', (chunk) => (said += chunk));
  const timer = setTimeout(() => {
    check(false, `${argv.join(' ')} did not end`);
    child.kill('SIGKILL');
  }, seconds * 1000 + PATIENCE_MS);
  const done = new Promise((resolve) => {
    child.on('close', (code, signal) => {
      clearTimeout(timer);
      children.delete(child);
      resolve({ code, signal, said });
    });
  });
  return { child, done, said: () => said };
}

function readReport(path) {
  try {
    return JSON.parse(readFileSync(path, 'utf8'));
  } catch (error) {
    return { problem: String(error) };
  }
}

const flags = (seconds, seed, path) => ['--duration', `${seconds}s`, '--seed', String(seed), '--report', path];

/** A correct kernel: nothing may be wrong. */
async function clean(policy, workers, seconds) {
  const seed = random(100_000);
  const path = join(folder, 'clean.json');
  const name = `${policy}, ${workers} workers, seed ${seed}, ${seconds} s`;
  const { done } = pinfall(
    ['stress', '--policy', policy, '--workers', String(workers), ...flags(seconds, seed, path)],
    { seconds },
  );
  const { code } = await done;
  const report = readReport(path);
  const right = check(
    code === 0 && report.ok === true,
    `${name}: exit code ${code}, ${JSON.stringify(report.problem ?? [report.end, report.violations])}`,
  );
  if (right) say(`${name}: clean, ${report.ops.accesses.toLocaleString('en')} accesses`);
}

/** The server's stream, read to the end; only the state that a turn of knobs needs is kept. */
function listen(origin) {
  const seen = { messages: 0, state: null, ended: false };
  const sent = request(`${origin}/api/events`, (response) => {
    let text = '';
    response.setEncoding('utf8');
    response.on('data', (chunk) => {
      text += chunk;
      for (let end = text.indexOf('\n\n'); end >= 0; end = text.indexOf('\n\n')) {
        take(text.slice(0, end));
        text = text.slice(end + 2);
      }
    });
    response.on('close', () => (seen.ended = true));
  });
  function take(message) {
    const field = (name) => new RegExp(`^${name}: (.*)$`, 'm').exec(message)?.[1] ?? '';
    seen.messages++;
    if (field('event') === 'hello') seen.state = JSON.parse(field('data')).state;
    if (field('event') === 'state') seen.state = JSON.parse(field('data'));
  }
  sent.on('error', () => (seen.ended = true));
  sent.end();
  return { seen, close: () => sent.destroy() };
}

async function post(origin, command) {
  try {
    const response = await fetch(`${origin}/api/command`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(command),
      signal: AbortSignal.timeout(30_000),
    });
    return { status: response.status, message: (await response.json()).message };
  } catch {
    // the run is over
    return { status: 0, message: '' };
  }
}

/** Something that a person at the page could do. */
function randomCommand({ knobs, actors, placement }) {
  const turned = knobs.filter(({ takes }) => takes === 'live');
  switch (random(turned.length > 0 ? 6 : 3)) {
    case 0:
      return { type: 'move', actor: pick(actors).name, worker: random(placement.workersMax) };
    case 1:
      return { type: 'workers', count: 1 + random(placement.workersMax), scheme: pick(['balanced', 'apart']) };
    case 2:
      return { type: 'audit' };
    default: {
      const { name, value, min, max } = pick(turned);
      // around what it is: a scan that sleeps an hour tests nothing
      const wanted = Math.round(value * pick([0.5, 0.8, 1, 1.25, 2])) + random(2);
      return { type: 'knob', name, value: Math.min(max, Math.max(min, wanted)) };
    }
  }
}

const median = (list) => list.toSorted((a, b) => a - b)[list.length >> 1] ?? 0;

function residentMb(pid) {
  try {
    return Number(/^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) / 1024;
  } catch {
    return 0;
  }
}

/** Stress with its page open, a client that reads, and somebody who turns everything. */
async function page(policy, seconds) {
  const seed = random(100_000);
  const path = join(folder, 'page.json');
  const name = `${policy} with its page, seed ${seed}, ${seconds} s`;
  const { child, done, said } = pinfall(
    ['stress', '--policy', policy, '--dashboard', '--port', '0', ...flags(seconds, seed, path)],
    { seconds },
  );
  let over = false;
  void done.then(() => (over = true));
  const address = () => /dashboard is at (http:\/\/[^/\s]+)/.exec(said())?.[1];
  while (address() === undefined && !over) await sleep(20);
  const origin = address();
  if (origin === undefined) {
    check(false, `${name}: no page; ${said().trim()}`);
    return;
  }
  const client = listen(origin);
  const began = performance.now();
  const memory = [];
  const statuses = new Map();
  const sampler = setInterval(() => {
    const mb = residentMb(child.pid);
    if (mb > 0) memory.push({ at: (performance.now() - began) / 1000, mb });
  }, SAMPLE_MS);
  while (!over) {
    await sleep(50 + random(short ? 200 : 1500));
    if (over || client.seen.state === null) continue;
    // all workers once, early: what a run can ever need of them is part of the warm-up
    const most = { type: 'workers', count: client.seen.state.placement.workersMax, scheme: 'apart' };
    const command = statuses.size === 0 ? most : randomCommand(client.seen.state);
    const { status, message } = await post(origin, command);
    statuses.set(status, (statuses.get(status) ?? 0) + 1);
    check(status < 400 || status === 409, `${name}: ${JSON.stringify(command)}: ${status} ${message}`);
  }
  clearInterval(sampler);
  client.close();
  const { code } = await done;
  const report = readReport(path);
  const found = JSON.stringify(report.problem ?? [report.end, report.violations]);
  check(code === 0 && report.ok === true, `${name}: exit code ${code}, ${found}`);
  check(client.seen.messages > 2, `${name}: the stream said nothing`);
  // on a machine that is busy with others, a few seconds of run may be over before the first answer
  const answers = [...statuses.values()].reduce((sum, count) => sum + count, 0);
  if (answers >= 20) check(statuses.has(200), `${name}: no command was taken: ${JSON.stringify([...statuses])}`);
  const warm = memory.filter(({ at }) => at >= seconds * WARM_UP && at <= seconds);
  const half = warm.length >> 1;
  const early = median(warm.slice(0, half).map(({ mb }) => mb));
  const late = median(warm.slice(half).map(({ mb }) => mb));
  const growth = early > 0 ? late / early - 1 : 0;
  const grown = `${early.toFixed(0)} MB, then ${late.toFixed(0)} MB: ${(growth * 100).toFixed(1)} %`;
  // the page keeps a minute of memory frames: before that, growth says nothing
  if (seconds * WARM_UP >= 60) check(growth <= GROWTH_MAX, `${name}: memory grows: ${grown}`);
  const turns = [...statuses].map(([status, count]) => `${count} x ${status}`).join(', ');
  say(`${name}: ${client.seen.messages} messages read, commands ${turns}; memory after warm-up ${grown}`);
}

/**
 * Moments of a run's life at which a worker is killed: arguments of the run, how long it is, and how long after its worker was made, or (where
 * `events`) after its first events, the worker ends, milliseconds.
 */
const MOMENTS = {
  start: { argv: [], seconds: 600, ms: () => random(250) },
  run: { argv: [], seconds: 600, events: true, ms: (seconds) => Math.round(seconds * random(1000)) },
  moves: { argv: ['--auto'], seconds: 600, events: true, ms: () => random(4000) },
  // audits bring all actors to rest every second
  drains: { argv: [], seconds: 600, events: true, ms: () => 900 + random(300) },
  teardown: { argv: [], seconds: 1, events: true, ms: () => 950 + random(250) },
};

/** A run that loses a worker: it is named, with code 3, in a whole report; or the worker had ended already, and nothing is wrong. */
async function kill(moment, workers, within) {
  const { argv, seconds, ms: draw, events: afterEvents = false } = MOMENTS[moment];
  const seed = random(100_000);
  const path = join(folder, `kill-${seed}.json`);
  const events = join(folder, 'kill.ndjson');
  const ms = draw(within);
  const name = `${moment}: worker killed after ${ms} ms, ${workers} workers, seed ${seed}`;
  rmSync(events, { force: true });
  const count = argv.includes('--auto') ? [] : ['--workers', String(workers)];
  const { child, done } = pinfall(
    ['stress', 'two-processes', ...count, ...argv, '--events', events, ...flags(seconds, seed, path)],
    {
      nodeArgs: ['--import', KILL],
      env: { KILL_WORKER: String(random(workers)), ...(!afterEvents && { KILL_MS: String(ms) }) },
      seconds: within,
    },
  );
  let over = false;
  void done.then(() => (over = true));
  if (afterEvents) {
    const runs = () => existsSync(events) && statSync(events).size > 0;
    while (!runs() && !over) await sleep(10);
    await sleep(ms);
    child.kill('SIGUSR2');
  }
  const { code, said } = await done;
  const report = readReport(path);
  // a run of a second may be over before the kill
  const late = moment === 'teardown' && code === 0 && report.ok === true;
  const death = report.end?.death;
  const right = check(
    late || (code === 3 && report.end?.kind === 'worker-died' && report.ok === false && typeof death?.phase === 'string'),
    `${name}: exit code ${code}, ${JSON.stringify(report.problem ?? report.end)}, ${said.trim().slice(-300)}`,
  );
  if (right) say(`${name}: ${late ? 'the worker had ended' : `reported: ${report.end.detail.split('\n')[0]}`}`);
  return right;
}

const wanted = (part) => only.split(' ').includes(part);

async function soak() {
  say(`${minutes} minutes${short ? ', the short form' : ''}, seed ${state}`);
  const all = minutes * 60;
  const counts = short ? [pick([1, 2, 4, 8])] : [1, 2, 4, 8];
  const policies = short ? ['classic'] : ['classic', 'pinned-notifiers', 'pkvm-2022'];
  const each = Math.max(1, Math.round((all * 0.35) / (counts.length * policies.length)));
  if (wanted('clean')) for (const policy of policies) for (const workers of counts) await clean(policy, workers, short ? 2 : each);
  const pages = short ? ['classic'] : ['pinned-notifiers', 'classic'];
  const kills = option('--kills', short ? 2 : 10);
  if (wanted('page')) for (const policy of pages) await page(policy, short ? 4 : Math.max(5, Math.round((all * 0.55) / pages.length)));
  const moments = Object.keys(MOMENTS);
  let named = 0;
  for (let n = 0; wanted('kills') && n < kills; n++) {
    if (await kill(moments[n % moments.length], pick([2, 4]), short ? 1 : 3)) named++;
  }
  if (wanted('kills')) say(`${named} of ${kills} kills ended as they ought to`);
}

for (const signal of ['SIGINT', 'SIGTERM']) {
  process.on(signal, () => {
    problems.push(signal);
    for (const child of children) child.kill('SIGKILL');
  });
}
try {
  await soak();
} finally {
  for (const child of children) child.kill('SIGKILL');
  rmSync(folder, { recursive: true, force: true });
}
say(problems.length === 0 ? 'sound' : `${problems.length} problems`);
process.exitCode = problems.length === 0 ? 0 : 1;
