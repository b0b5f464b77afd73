/**
 * "Proved" held against kernels whose locks and re-checks are taken away, each in turn, on the litmus files that come to it
 * (test/proof/sites.mjs): whatever random schedules come to there, a search that says proved has found, and neither has made an access
 * that nothing orders.
 *
 *     node .ci/soak-proof.mjs [--only TEXT] [--every N] [--files N]
 *
 * It ends with code 1 where that is not so.
 */
import { execFile } from 'node:child_process';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs, promisify } from 'node:util';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const DIRS = ['src/lab/litmus/tests', 'src/lab/finds', 'test/cases', 'test/proof'];
/** Executions of a search at most, and schedules beside it. */
const EXECUTIONS = 3000;
const SCHEDULES = 300;
/** Searches that take more are for another kind of test. */
const SMALL = 600;

const { values } = parseArgs({
  options: { only: { type: 'string' }, every: { type: 'string', default: '1' }, files: { type: 'string', default: '2' } },
});

async function check(mutant, files, executions, schedules) {
  const script = [join(ROOT, 'test/proof/check.mjs'), String(executions), String(schedules), ...files];
  const { stdout } = await promisify(execFile)(
    process.execPath,
    ['--import', new URL('../test/proof/register.mjs', import.meta.url).href, ...script],
    { cwd: ROOT, env: { ...process.env, MUTANT: mutant }, maxBuffer: 1 << 28 },
  );
  return JSON.parse(stdout);
}

const all = DIRS.flatMap((dir) => readdirSync(join(ROOT, dir)).filter((name) => name.endsWith('.litmus')).map((name) => join(dir, name)));
process.stdout.write(`${all.length} files on the kernel as it is\n`);
const asIs = (await check('', all, SMALL, 60)).filter(({ skipped, threw }) => skipped !== true && threw === undefined);
// what a file expects to be broken may be a race too: a device that writes through a pin that was given back
const isRight = (file) => !/^expect violation/m.test(readFileSync(join(ROOT, file), 'utf8'));
const undeclared = asIs.filter((each) => each.undeclared.length + each.tried.length > 0 && isRight(each.file));
for (const { file, undeclared: found, tried } of undeclared)
  process.stdout.write(`WRONG: ${file} has undeclared accesses: ${[...found, ...tried][0]}\n`);
const plain = asIs.filter((each) => each.proved);
process.stdout.write(`${plain.length} of ${asIs.length} proved within ${SMALL} executions, ${undeclared.length} with undeclared accesses\n`);
const reached = new Map();
for (const { file, reached: sites } of plain.toSorted((x, y) => x.executions - y.executions)) {
  for (const site of sites) reached.set(site, [...(reached.get(site) ?? []), file]);
}
const mutants = [...reached.keys()]
  .toSorted()
  .filter((site, i) => (values.only === undefined || site.includes(values.only)) && i % Number(values.every) === 0);
const count = { proved: 0, undeclared: 0, other: 0, wrong: undeclared.length };
for (const mutant of mutants) {
  // those with the most to do of the small ones are the last: one of each
  const files = reached.get(mutant);
  const chosen = [...new Set([...files.slice(0, Number(values.files) - 1), files.at(-1)])];
  for (const { file, proved, wrong, missing, undeclared: found, tried, threw } of await check(mutant, chosen, EXECUTIONS, SCHEDULES)) {
    if (threw !== undefined) count.other++;
    else if (wrong) {
      count.wrong++;
      process.stdout.write(`WRONG: ${mutant} on ${file}: proved, without ${JSON.stringify(missing)} ${JSON.stringify(tried)}\n`);
    } else if (proved) count.proved++;
    else if (found.length > 0) count.undeclared++;
    else count.other++;
  }
}
process.stdout.write(
  `${mutants.length} mutants: proved and right ${count.proved}, undeclared ${count.undeclared}, not proved otherwise ${count.other}, wrong ${count.wrong}\n`,
);
process.exit(count.wrong > 0 ? 1 : 0);
