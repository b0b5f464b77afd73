/** The first line of a report is its answer: what broke, how often, of how many; or that nothing did, and what that rests on. */
import { number } from './table.js';

/** Something that did not end well, as reports of schedules count it. */
interface BadEnd {
  /** `violation I-PIN`, `violation I-PIN, then ...`, or what a question forbids. */
  readonly state: string;
  readonly count: number;
  readonly first: number;
}

/** `I-PIN in 13 of 301 schedules (first in 0)`, of each rule; empty where all ended well. */
export function broken(ends: readonly BadEnd[], of: number, unit: string): string {
  const rules = new Map<string, BadEnd>();
  for (const { state, count, first } of ends) {
    const rule = /^violation ([\w-]+)/.exec(state)?.[1] ?? 'what is forbidden';
    const known = rules.get(rule);
    rules.set(rule, {
      state: rule,
      count: count + (known?.count ?? 0),
      first: Math.min(first, known?.first ?? first),
    });
  }
  return [...rules.values()]
    .map(({ state: rule, count, first }) => `${rule} in ${number(count)} of ${number(of)} ${unit} (first in ${first})`)
    .join(', ');
}

/** `2 violations of I-PIN, 1 of I-MAP`, of those that a run lists; it may have counted more. */
export function brokenRules(violations: readonly { readonly invariant: string }[], count: number): string {
  const rules = new Map<string, number>();
  for (const { invariant } of violations) rules.set(invariant, (rules.get(invariant) ?? 0) + 1);
  const said = [...rules].map(([rule, times]) => (count === violations.length ? `${rule} ${number(times)}` : rule));
  return `${number(count)} violation${count === 1 ? '' : 's'}: ${said.join(', ')}`;
}
