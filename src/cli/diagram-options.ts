/** `--width`: how wide diagrams are; `--format`, `--actor` and `--out`: how the commands that draw one schedule print its diagram. */
import type { Command } from 'commander';
import type { Diagram } from '../trace/diagram/model.js';
import { DIAGRAM_FORMATS, type DiagramFormat, printDiagram } from '../trace/diagram/format.js';
import { DIAGRAM_WIDTH, WIDTH_MAX, WIDTH_MIN, setDiagramWidth } from '../trace/diagram/width.js';
import { oneOf, userPath, wholeNumber } from './options.js';
import { type OutputOptions, printReport, writeWhole } from './output.js';

export interface DiagramFlags extends OutputOptions {
  readonly format?: DiagramFormat;
  readonly actor?: string;
  readonly out?: string;
}

/** Adds `--width` to a command that draws. */
export const withWidth = (command: Command): Command =>
  command.option(
    '--width <columns>',
    `of diagrams; 72 suits a mail (default: the terminal's, ${DIAGRAM_WIDTH} without one)`,
    wholeNumber('--width', WIDTH_MIN, WIDTH_MAX),
  );

/** Diagrams are as wide as was asked for; else, for a reader at a terminal, as that is. A report's are the same everywhere. */
export function applyWidth(command: Command): void {
  const { width, json } = command.opts<{ width?: number; json?: boolean }>();
  const draws = command.options.some(({ long }) => long === '--width');
  const terminal = json === true || !draws || !process.stdout.isTTY ? undefined : process.stdout.columns;
  setDiagramWidth(width ?? terminal ?? DIAGRAM_WIDTH);
}

/** Adds the options to a command. */
export const withDiagramOptions = (command: Command): Command =>
  withWidth(command)
    .option(
      '--format <form>',
      `the diagram as ${DIAGRAM_FORMATS.join(', ')} (default: text)`,
      oneOf('--format', DIAGRAM_FORMATS),
    )
    .option('--actor <name>', 'the diagram of this actor alone: what it does, and how many steps the others do between')
    .option('--out <file>', 'the diagram to a file');

/**
 * Prints the report with its diagram: to the file asked for; otherwise, in another form than text, the diagram alone (in the report
 * of `--json`), so that it can go through a pipe.
 */
export function printDrawn<T extends { readonly diagram: string }>(
  report: T,
  drawing: Diagram | null,
  flags: DiagramFlags,
  render: (report: T) => string,
): void {
  const { format = 'text', out } = flags;
  const picture = drawing === null ? null : printDiagram(drawing, format);
  if (picture !== null && out !== undefined) writeWhole(userPath(out), picture);
  if (picture === null || out !== undefined || format === 'text') printReport(report, flags, render);
  else printReport({ ...report, diagram: picture }, flags, () => picture.trimEnd());
}
