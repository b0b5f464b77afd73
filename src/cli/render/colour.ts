/** Colours for a terminal only: what goes to a file or a pipe is plain, on CI machines too. NO_COLOR and FORCE_COLOR are honoured. */
import picocolors from 'picocolors';

const { NO_COLOR, FORCE_COLOR } = process.env;

export const pc = picocolors.createColors(
  (NO_COLOR ?? '') === '' && (process.stdout.isTTY || (FORCE_COLOR ?? '') !== ''),
);
