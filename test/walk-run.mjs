/**
 * Walks one guest write fault on one thread and prints which of the given source lines were passed, in order: for walk.test.ts.
 * Breakpoints whose condition only takes a note are what watches; source maps say which lines they stand on.
 *
 *   node test/walk-run.mjs '[{"file": "src/kvm/mmu.ts", "line": 56}, ...]'
 */
import { Session } from 'node:inspector';
import { SourceMap } from 'node:module';
import { readFileSync } from 'node:fs';
import { fileURLToPath, pathToFileURL } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const stations = JSON.parse(process.argv[2]);
const { loadScenario } = await import(pathToFileURL(`${root}dist/src/lab/scenario/scenario.js`).href);
const { makePlan } = await import(pathToFileURL(`${root}dist/src/lab/scenario/plan.js`).href);
const { PlanProgram } = await import(pathToFileURL(`${root}dist/src/engine/one-thread/plan-program.js`).href);
const { OneThread } = await import(pathToFileURL(`${root}dist/src/engine/one-thread/one-thread.js`).href);

const plan = makePlan(loadScenario('pin-race'), { policy: 'classic', seed: 1, oracles: 'all', opsEach: 2 });
const thread = new OneThread(new PlanProgram(plan), 20_000);

const passed = [];
globalThis.pinfallPassed = (station) => {
  passed.push(station);
  return false;
};
const session = new Session();
session.connect();
const post = (method, parameters) =>
  new Promise((resolve, reject) =>
    session.post(method, parameters, (error, result) => (error ? reject(error) : resolve(result))),
  );
await post('Debugger.enable');
for (const [station, { file, line }] of stations.entries()) {
  const module = `${root}dist/${file.replace(/\.ts$/, '.js')}`;
  const set = await post('Debugger.setBreakpointByUrl', {
    url: pathToFileURL(module).href,
    lineNumber: compiledLine(module, line),
    condition: `pinfallPassed(${station})`,
  });
  if (set.locations.length !== 1) throw new Error(`${file}:${line} is no line that is run`);
}

/** The first line (from 0) of a compiled module that comes from line `line` (from 1) of its source. */
function compiledLine(module, line) {
  const map = new SourceMap(JSON.parse(readFileSync(`${module}.map`, 'utf8')));
  const lines = readFileSync(module, 'utf8').split('\n');
  for (const [number, text] of lines.entries()) {
    for (let column = 0; column < text.length; column++) {
      if (map.findEntry(number, column)?.originalLine === line - 1) return number;
    }
  }
  throw new Error(`${module}: nothing comes from line ${line}`);
}

// whoever can go on goes on until it cannot: the first vCPU's first access is a write fault from end to end
const firstWhoCan = {
  name: 'first',
  begin: () => true,
  pick: (view) => view.enabled[0],
  end: () => {},
  exhausted: false,
  guarantee: () => '',
};
thread.run(firstWhoCan, 0);
session.disconnect();
console.log(JSON.stringify(passed));
