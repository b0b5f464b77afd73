/** The forms in which a race diagram is printed. */
import type { Diagram } from './model.js';
import { formatMermaid } from './mermaid.js';
import { formatSvg } from './svg.js';
import { formatDiagram } from './text.js';

const FORMATS = {
  text: (diagram: Diagram) => formatDiagram(diagram),
  mermaid: formatMermaid,
  svg: formatSvg,
} as const;

export type DiagramFormat = keyof typeof FORMATS;
export const DIAGRAM_FORMATS = Object.keys(FORMATS) as readonly DiagramFormat[];

/** The diagram in that form; ends with a newline. */
export const printDiagram = (diagram: Diagram, format: DiagramFormat): string => FORMATS[format](diagram);
