/**
 * What the noise maker (src/engine/host/noise.ts) costs: accesses per CPU second of the process with it and without it, in turns, so that what
 * else the machine does meets both alike.
 *
 *     npm run soak:noise -- [--pairs 5] [--seconds 4] [--scenario redis-guest] [--policy classic]
 *
 * It prints each pair's two rates and their ratio (with / without), and median, lowest and highest of the ratios.
 */
import { loadavg } from 'node:os';

const args = process.argv.slice(2);
const option = (name, fallback) => (args.includes(name) ? args[args.indexOf(name) + 1] : fallback);
const pairs = Number(option('--pairs', 5));
const seconds = Number(option('--seconds', 4));
const scenario = option('--scenario', 'redis-guest');
const policy = option('--policy', 'classic');
if (!(pairs >= 1 && seconds > 0)) {
  process.stderr.write('soak:noise: expected --pairs and --seconds with numbers above 0\n');
  process.exit(2);
}
const dist = (path) => import(new URL(`../dist/src/${path}`, import.meta.url).href);
const { Simulation } = await dist('lab/run/simulation.js');
const { DEFAULT_NOISE, NOISE } = await dist('engine/host/noise.js');

/** Accesses of guests and processes per CPU second, set-up and teardown apart. */
async function rate(noise, seed) {
  const run = await Simulation.start({ scenario, policy, seed, noise, events: 'recorder' });
  const cpu = process.cpuUsage();
  await new Promise((resolve) => setTimeout(resolve, 1000 * seconds));
  const { user, system } = process.cpuUsage(cpu);
  const { ops } = run.reportSoFar();
  await run.stop();
  return ((ops.accesses + ops.host_accesses) * 1e6) / (user + system);
}

const text = (value) => Math.round(value).toLocaleString('en');
const ratios = [];
const before = loadavg()[0];
process.stdout.write('| pair | accesses per CPU second, with | without | ratio |\n| --- | --- | --- | --- |\n');
for (let pair = 1; pair <= pairs; pair++) {
  const settings = pair % 2 === 1 ? [NOISE[DEFAULT_NOISE], 0] : [0, NOISE[DEFAULT_NOISE]];
  const rates = [await rate(settings[0], pair), await rate(settings[1], pair)];
  const [loud, quiet] = pair % 2 === 1 ? rates : rates.toReversed();
  ratios.push(loud / quiet);
  process.stdout.write(`| ${pair} | ${text(loud)} | ${text(quiet)} | ${(loud / quiet).toFixed(2)} |\n`);
}
ratios.sort((x, y) => x - y);
const middle = ratios[ratios.length >> 1];
process.stdout.write(
  `${scenario}, ${policy}: ratio ${middle.toFixed(2)} (${ratios[0].toFixed(2)} .. ${ratios[ratios.length - 1].toFixed(2)}), ` +
    `load ${before.toFixed(1)} before, ${loadavg()[0].toFixed(1)} after\n`,
);
process.exit(0);
