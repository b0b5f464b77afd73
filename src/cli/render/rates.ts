/** Rates of daemons beside a real kernel's, for people. */
import type { RateRow } from '../../lab/report/rates.js';
import { number } from './table.js';

/** `25 ms`, `1 s`, `0.5 ms`. */
const period = (ms: number): string => (ms >= 1000 ? `${number(ms / 1000)} s` : `${number(ms)} ms`);

/** Three digits that matter. */
function few(value: number): string {
  if (value === 0) return '0';
  return value >= 100 ? number(Math.round(value)) : String(Number(value.toPrecision(2)));
}

function line({
  actor,
  here,
  kernel_default: kernel,
  turns,
  per_turn: turn,
  per_s_at_kernel_default: second,
}: RateRow) {
  const counts = [
    ['notifiers', turn.notifier_starts, second.notifier_starts],
    ['stage-2 unmaps of pinned pages', turn.stage2_unmaps_pinned, second.stage2_unmaps_pinned],
    ['violations', turn.violations, second.violations],
  ] as const;
  const told = counts
    .filter(([, each], i) => i === 0 || each > 0)
    .map(([name, each, per]) => `${name} ${few(each)} a turn, ${few(per)}/s there`)
    .join('; ');
  return (
    `  ${actor}: ${number(here.pages)} pages every ${period(here.period_ms)}; a real kernel's default is ` +
    `${number(kernel.pages)} every ${period(kernel.period_ms)}.\n    ${number(turns)} turn${turns === 1 ? '' : 's'}: ${told}.`
  );
}

/** What can be carried over to a host. Empty where no daemon had a turn. */
export function renderRates(rates: readonly RateRow[]): string {
  if (rates.length === 0) return '';
  const head = "Daemons, and what their turns would come to at a real kernel's default rates ('there'):";
  const sooner = rates.some(({ here, kernel_default: kernel }) => here.period_ms < kernel.period_ms);
  const note =
    "  Turns that come sooner leave less to the next one: scenario real-rates runs at a real kernel's rates.";
  return [head, ...rates.map(line), ...(sooner ? [note] : [])].join('\n');
}
