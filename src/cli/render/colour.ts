/** Colours for a terminal only: what goes to a file or a pipe is plain, on CI machines too. NO_COLOR and FORCE_COLOR are honoured. */
import picocolors from 'picocolors';
import { marked } from '../terminal.js';

const { NO_COLOR, FORCE_COLOR } = process.env;

const colours = picocolors.createColors(
  (NO_COLOR ?? '') === '' && (process.stdout.isTTY || (FORCE_COLOR ?? '') !== ''),
);

type Colour = 'bold' | 'dim' | 'red' | 'green' | 'yellow' | 'cyan';

/** The same as ours (see terminal.ts). */
function ours(name: Colour): (text: string) => string {
  const [open = '', close = ''] = colours[name]('\n').split('\n').map(marked);
  return (text) => open + text + close;
}

export const pc: Readonly<Record<Colour, (text: string) => string>> = {
  bold: ours('bold'),
  dim: ours('dim'),
  red: ours('red'),
  green: ours('green'),
  yellow: ours('yellow'),
  cyan: ours('cyan'),
};
