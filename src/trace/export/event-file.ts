/** A file that events are written to as they come: its kind is told by its name. */
import type { EventFile } from './sink.js';
import { NdjsonFile } from './ndjson.js';
import { FtraceFile } from './ftrace-dat.js';
import { PerfettoFile } from './perfetto.js';

/** What a name may end in, and what the file then is. */
export const EVENT_FILE_KINDS = [
  { suffix: '.ndjson', title: 'a JSON object a line' },
  { suffix: '.dat', title: 'ftrace, for trace-cmd and KernelShark' },
  { suffix: '.perfetto.json', title: 'Chrome trace events, for ui.perfetto.dev' },
] as const;

/** `.ndjson, .dat or .perfetto.json`. */
export const EVENT_FILE_SUFFIXES = EVENT_FILE_KINDS.map(({ suffix }) => suffix)
  .join(', ')
  .replace(/, ([^,]*)$/, ' or $1');

export const isEventFileName = (path: string): boolean => EVENT_FILE_KINDS.some(({ suffix }) => path.endsWith(suffix));

/**
 * Creates the file, or empties it.
 * @param actorNames names by actor number
 * @throws what the file system says
 */
export function openEventFile(path: string, actorNames: readonly string[]): EventFile {
  if (path.endsWith('.dat')) return new FtraceFile(path, actorNames);
  return path.endsWith('.perfetto.json') ? new PerfettoFile(path, actorNames) : new NdjsonFile(path);
}
