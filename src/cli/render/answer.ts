/** The first line of a report is its answer: what broke, how often, of how many; or that nothing did, and what that rests on. */
import type { OutcomeFields } from '../../engine/one-thread/outcome.js';
import { number } from './table.js';

/** Something that did not end well, as reports of schedules count it. */
interface BadEnd extends Pick<OutcomeFields, 'end' | 'broken'> {
  readonly count: number;
  readonly first: number;
}

const QUESTIONS: ReadonlySet<string> = new Set(['forbidden', 'always']);

/** `I-PIN`, `deadlock`, or for a question's answer what it forbids. */
function ruleOf({ end, broken: [rule] }: BadEnd): string {
  if (rule === undefined) return end;
  return QUESTIONS.has(rule) ? 'what is forbidden' : rule;
}

/** `I-PIN in 13 of 301 schedules (first in 0)`, of each rule; empty where all ended well. */
export function broken(ends: readonly BadEnd[], of: number, unit: string): string {
  const rules = new Map<string, { readonly count: number; readonly first: number }>();
  for (const bad of ends) {
    const { count, first } = bad;
    const rule = ruleOf(bad);
    const known = rules.get(rule);
    rules.set(rule, {
      count: count + (known?.count ?? 0),
      first: Math.min(first, known?.first ?? first),
    });
  }
  return [...rules]
    .map(([rule, { count, first }]) => `${rule} in ${number(count)} of ${number(of)} ${unit} (first in ${first})`)
    .join(', ');
}

/** `2 violations of I-PIN, 1 of I-MAP`, of those that a run lists; it may have counted more. */
export function brokenRules(violations: readonly { readonly invariant: string }[], count: number): string {
  const rules = new Map<string, number>();
  for (const { invariant } of violations) rules.set(invariant, (rules.get(invariant) ?? 0) + 1);
  const said = [...rules].map(([rule, times]) => (count === violations.length ? `${rule} ${number(times)}` : rule));
  return `${number(count)} violation${count === 1 ? '' : 's'}: ${said.join(', ')}`;
}
