/** A run's violations handed to the explorer, and what it finds written and told. */
import { explainReport, handoverFiles } from '../lab/handover/explain.js';
import { HANDOVER_SECONDS } from '../lab/handover/defaults.js';
import type { Report } from '../lab/report/run-row.js';
import type { Simulation } from '../lab/run/simulation.js';
import { userPath } from './options.js';
import { type ProgressLine, writeWhole } from './output.js';

export { renderHandovers } from './render/handover.js';

/**
 * What is found stands in the report, and except with --json in files of the working directory too.
 * @returns the report, and the names of the files that were written
 * @param explain seconds for all violations together, where the user says so
 */
export async function explain(
  report: Report,
  { plan, evidence }: Simulation,
  { explain: seconds, json }: { readonly explain?: number | boolean; readonly json?: boolean },
  progress: ProgressLine,
  stop: () => boolean,
): Promise<{ readonly report: Report; readonly written: ReadonlySet<string> }> {
  const explained = await explainReport(report, plan, evidence.all, {
    seconds: typeof seconds === 'number' ? seconds : HANDOVER_SECONDS,
    stop,
    onProgress: (text) => progress.show(`on one thread: ${text}`),
  });
  progress.clear();
  const files = json === true ? [] : handoverFiles(explained);
  const written = files.filter(({ name, text }) => writeWhole(userPath(name), text));
  return { report: explained, written: new Set(written.map(({ name }) => name)) };
}
