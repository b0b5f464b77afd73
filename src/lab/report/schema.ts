/**
 * What a report is (`--json`, `--report`; schema pinfall.report/1): a schema for each command, told apart by `command`, and the same as
 * JSON Schema for others (`pinfall list --json`, `report_schema`). They are checked against the types of the reports by the compiler, and
 * every report that a test of the commands prints is checked against them: no field is unknown, none is missing.
 */
import { z } from 'zod';
import { REPORT_SCHEMA } from './run-row.js';
import { EXPLAIN, EXPLORE, LITMUS, REPLAY, ZOO } from './schema-schedules.js';
import { COMPARE, RUN, TUNE } from './schema-threads.js';

const REPORT = z.discriminatedUnion('command', [RUN, COMPARE, TUNE, EXPLORE, REPLAY, LITMUS, EXPLAIN, ZOO]);

/** What is wrong with a report, a line each: `violations.0.actor: expected string`. Empty when nothing is. */
export function reportMistakes(report: unknown): string[] {
  const { error } = REPORT.safeParse(report);
  return (error?.issues ?? []).map(({ path, message }) => `${path.join('.')}: ${message}`);
}

/** JSON Schema (draft 2020-12) of a report. */
export function reportJsonSchema(): object {
  return {
    ...z.toJSONSchema(REPORT),
    title: `A report of pinfall (${REPORT_SCHEMA})`,
    description: 'What a command prints with --json, and writes with --report; `command` says which it is',
  };
}
