/** The mechanisms are one list: what names, titles, colours and legends follow from. */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { MECH, MECHANISMS, MECHANISM_ROWS, mechanismName } from '#src/machine/mechanisms.js';
import { mechanismTitle } from '#src/trace/text.js';
import { MECHANISMS_MAX } from '#src/machine/stats.js';

describe('the table of mechanisms', () => {
  it('has a title in diagrams for every mechanism, relinquishing included', () => {
    const untitled = MECHANISMS.filter((name) => mechanismTitle(MECH[name]) === null);
    expect(untitled).toEqual(['none']);
    expect(mechanismTitle(MECH.relinquish)).toBe('__pkvm_guest_relinquish_to_host()');
  });

  it('gives each its number in order, which recordings hold', () => {
    expect(MECHANISMS.map((name) => MECH[name])).toEqual(MECHANISMS.map((_, n) => n));
    expect(MECHANISMS.slice(0, 4)).toEqual(['none', 'numa_scan', 'numa_migrate', 'ksm']);
    expect(mechanismName(MECHANISMS.length)).toBe(`mech_${MECHANISMS.length}`);
    expect(MECHANISMS.length).toBeLessThanOrEqual(MECHANISMS_MAX);
  });

  it('has a colour of its own for each that is charted', () => {
    const colours = MECHANISM_ROWS.flatMap((row) => row.colours ?? []);
    expect(new Set(colours).size).toBe(colours.length);
    // nowhere else
    expect(readFileSync('src/dashboard/page/style/base.css', 'utf8')).not.toContain('--m-');
  });
});
