/** A race diagram as a Mermaid sequence diagram, for pages that render it. */
import type { Diagram } from './model.js';

const ENTITIES: Readonly<Record<string, string>> = { '#': '#35;', ';': '#59;', '<': '#lt;', '>': '#gt;', '&': '#amp;' };

/** Mermaid takes `;` for a line's end unless it ends an entity of its own kind, which begins with `#`. */
const escape = (text: string): string => text.replace(/[#;<>&]/g, (sign) => ENTITIES[sign] as string);

/** The diagram's columns as participants, its steps as notes over them. */
export function formatMermaid(diagram: Diagram): string {
  const out = ['sequenceDiagram'];
  for (const { actor, title } of diagram.actors) out.push(`  participant a${actor} as ${escape(title)}`);
  for (const row of diagram.rows) {
    for (const cell of row.cells) {
      const lines = cell.lines.map(({ indent, text, note }) => {
        const remark = note === '' ? '' : ` (${escape(note)})`;
        return `${'#nbsp;'.repeat(2 * indent)}${escape(text)}${remark}`;
      });
      out.push(`  Note over a${cell.actor}: ${lines.join('<br/>')}`);
    }
  }
  const over = diagram.actors.map(({ actor }) => `a${actor}`);
  const span = over.length < 2 ? over[0] : `${over[0] ?? ''},${over.at(-1) ?? ''}`;
  const below = [
    ...(diagram.otherActors.length > 0 ? [`(left out: ${diagram.otherActors.join(', ')})`] : []),
    ...(diagram.remarks ?? []).map((remark) => `(${remark})`),
    ...(diagram.verdict === '' ? [] : [diagram.verdict]),
  ];
  if (span === undefined) return `${out.join('\n')}\n`;
  // what the text form says above its rows
  if (diagram.earlier > 0) {
    out.splice(1 + diagram.actors.length, 0, `  Note over ${span}: ... ${diagram.earlier} earlier steps`);
  }
  for (const text of below) out.push(`  Note over ${span}: ${escape(text)}`);
  return `${out.join('\n')}\n`;
}
