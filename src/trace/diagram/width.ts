/** How wide diagrams are printed: as the terminal is, as `--width` says, or as a mail takes them. */

/** Columns of text where nothing else is said. */
export const DIAGRAM_WIDTH = 80;
/** What can be asked for. */
export const WIDTH_MIN = 40;
export const WIDTH_MAX = 400;

let width = DIAGRAM_WIDTH;

/** The width of diagrams that are printed from now on, in columns; the command line sets it once. */
export function setDiagramWidth(columns: number): void {
  width = Math.min(WIDTH_MAX, Math.max(WIDTH_MIN, Math.trunc(columns)));
}

export const diagramWidth = (): number => width;
