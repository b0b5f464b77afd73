/**
 * The cases: what real kernels were seen to do, or their source says, each a litmus file whose question is the right answer. Many in one process.
 *
 *     node test/cases/run.mjs [FILE or FOLDER...]      all of test/cases, or these
 *
 * Comments of a file that are read: `# kernels: v6.1 v6.12`, the releases of which its answer holds (else its own `kernel` line);
 * `# asked: no`, where the right answer is that nothing was asked; `# strategy: pos 500`, so many schedules of one instead of all there
 * are; `# long: yes`, left out by the suite. A file that is not as it says is shown with its outcomes, one with mistakes with the first of
 * them, and the command ends with 1.
 */
import { readFileSync, readdirSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { runLitmus } from '#src/lab/litmus/run.js';
import { litmusSubject } from '#src/lab/litmus/subject.js';

export const FOLDER = fileURLToPath(new URL('.', import.meta.url));
/** CPU seconds of one search; cases are small, and end long before. */
const SECONDS = 20;

/** The litmus files of files and folders, those of a folder by name. */
export function caseFiles(paths) {
  return paths.flatMap((path) =>
    statSync(path).isDirectory()
      ? readdirSync(path)
          .filter((name) => name.endsWith('.litmus'))
          .toSorted()
          .map((name) => join(path, name))
      : [path],
  );
}

/** Whether the suite leaves a file out. */
export const isLong = (path) => comment(readFileSync(path, 'utf8'), 'long')[0] === 'yes';

/** The values behind `# KEY:` in a file's text. */
const comment = (text, key) => new RegExp(`^# ${key}:(.*)$`, 'm').exec(text)?.[1]?.trim().split(/\s+/) ?? [];

/** The runs of a file: `kernel` lines replaced by each release that it names. */
function variants(text, sample) {
  const all = comment(text, 'kernels');
  const kernels = sample ? all.filter((_, i) => i === 0 || i === all.length - 1) : all;
  if (kernels.length === 0) return [{ label: '', text }];
  const bare = text.replace(/^kernel .*\n/m, '');
  return kernels.map((kernel) => ({
    label: ` ${kernel}`,
    text: bare.replace(/^(litmus .*\n".*"\n)/m, `$1kernel ${kernel}\n`),
  }));
}

/**
 * Runs a file; with `sample` the first and the last of its releases only.
 * @returns of each of its runs: a label, whether all is as the file says, what came out
 */
export async function runCase(path, sample = false) {
  const text = readFileSync(path, 'utf8');
  const asked = comment(text, 'asked')[0] !== 'no';
  const [strategy, schedules] = comment(text, 'strategy');
  const limits = strategy === undefined ? {} : { strategy, schedules: Number(schedules) };
  const runs = [];
  for (const variant of variants(text, sample)) {
    const subject = litmusSubject({ path, text: variant.text, options: {} });
    const report = await runLitmus({ subject, seconds: SECONDS, workers: 1, ...limits });
    runs.push({
      label: `${basename(path, '.litmus')}${variant.label}`,
      ok: asked ? report.ok : !report.ok && report.asked === false,
      outcomes: report.outcomes.map(({ state, verdict }) => `${verdict}: ${state}`),
    });
  }
  return runs;
}

async function main(paths) {
  let bad = 0;
  let all = 0;
  for (const path of caseFiles(paths.length === 0 ? [FOLDER] : paths)) {
    const runs = await runCase(path).catch((error) => [{ label: path, ok: false, outcomes: [String(error)] }]);
    for (const { label, ok, outcomes } of runs) {
      all++;
      if (ok) continue;
      bad++;
      process.stdout.write(`${label}\n${outcomes.map((line) => `    ${line}\n`).join('')}`);
    }
  }
  process.stdout.write(`${all - bad} of ${all} as they should be\n`);
  return bad === 0 ? 0 : 1;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) process.exitCode = await main(process.argv.slice(2));
