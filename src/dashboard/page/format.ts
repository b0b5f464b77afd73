/** Numbers as the page shows them. */
const WHOLE = new Intl.NumberFormat('en-US', { maximumFractionDigits: 0 });

/** `1,234,567`. */
export const whole = (value: number): string => WHOLE.format(value);

/** A rate: whole above 10, one digit below, so that rare things do not look like nothing. */
export function rate(value: number): string {
  if (value === 0) return '0';
  if (value < 0.05) return '<0.1';
  return value < 10 ? value.toFixed(1) : WHOLE.format(value);
}

/** `12k`, `3.4M`: for axes. */
export function short(value: number): string {
  const size = Math.abs(value);
  if (size >= 1e9) return `${trim(value / 1e9)}G`;
  if (size >= 1e6) return `${trim(value / 1e6)}M`;
  if (size >= 1e3) return `${trim(value / 1e3)}k`;
  return trim(value);
}

const trim = (value: number): string => String(Math.round(value * 100) / 100);

/** Microseconds. */
export function micros(value: number): string {
  if (value >= 10_000) return `${(value / 1000).toFixed(1)} ms`;
  return value >= 100 ? `${value.toFixed(0)} us` : `${value.toFixed(2)} us`;
}

/** `1:05` of seconds. */
export function clock(seconds: number): string {
  const all = Math.max(0, Math.floor(seconds));
  const rest = `${String(Math.floor(all / 60) % 60).padStart(all >= 3600 ? 2 : 1, '0')}:${String(all % 60).padStart(2, '0')}`;
  return all >= 3600 ? `${Math.floor(all / 3600)}:${rest}` : rest;
}

export const hex = (value: number): string => `0x${(value >>> 0).toString(16)}`;

export const percent = (share: number): string => `${(share * 100).toFixed(share > 0 && share < 0.1 ? 1 : 0)} %`;
