/**
 * The cases: what real kernels were seen to do, or their source says, each a litmus file whose question is the right answer. Many in one process.
 *
 *     node test/cases/run.mjs [FILE or FOLDER...]      all of test/cases, or these
 *
 * Two comments of a file are read: `# kernels: v6.1 v6.12`, the releases of which its answer holds (else its own `kernel` line), and
 * `# asked: no`, where the right answer is that nothing was asked. A file that is not as it says is shown with its outcomes, and the
 * command ends with 1; a file with mistakes ends it with 2.
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

/** The values behind `# KEY:` in a file's text. */
const comment = (text, key) => new RegExp(`^# ${key}:(.*)$`, 'm').exec(text)?.[1]?.trim().split(/\s+/) ?? [];

/** The runs of a file: `kernel` lines replaced by each release that it names. */
function variants(text) {
  const kernels = comment(text, 'kernels');
  if (kernels.length === 0) return [{ label: '', text }];
  const bare = text.replace(/^kernel .*\n/m, '');
  return kernels.map((kernel) => ({
    label: ` ${kernel}`,
    text: bare.replace(/^(litmus .*\n".*"\n)/m, `$1kernel ${kernel}\n`),
  }));
}

/** Runs a file. Returns, of each of its runs: a label, whether all is as the file says, what came out. */
export async function runCase(path) {
  const text = readFileSync(path, 'utf8');
  const asked = comment(text, 'asked')[0] !== 'no';
  const runs = [];
  for (const variant of variants(text)) {
    const subject = litmusSubject({ path, text: variant.text, options: {} });
    const report = await runLitmus({ subject, seconds: SECONDS, workers: 1 });
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
    for (const { label, ok, outcomes } of await runCase(path)) {
      all++;
      if (ok) continue;
      bad++;
      process.stdout.write(`${label}\n${outcomes.map((line) => `    ${line}\n`).join('')}`);
    }
  }
  process.stdout.write(`${all - bad} of ${all} as they should be\n`);
  return bad === 0 ? 0 : 1;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  try {
    process.exitCode = await main(process.argv.slice(2));
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
    process.exitCode = 2;
  }
}
