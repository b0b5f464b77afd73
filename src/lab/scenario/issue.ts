/** One clear line for what a schema found wrong: where, what was expected, what is there. */
import type { z } from 'zod';
import { meant } from '../input/nearest.js';
import { keysAt } from './schema-keys.js';

/** An issue's path as a user would write it: `actors[2].pause_us`. */
export function pathName(path: readonly PropertyKey[]): string {
  let name = '';
  for (const key of path) name += typeof key === 'number' ? `[${key}]` : name === '' ? String(key) : `.${String(key)}`;
  return name;
}

/** The value at `path` in `data`, or undefined. */
function valueAt(data: unknown, path: readonly PropertyKey[]): unknown {
  let value = data;
  for (const key of path) {
    if (typeof value !== 'object' || value === null) return undefined;
    value = (value as Readonly<Record<PropertyKey, unknown>>)[key];
  }
  return value;
}

/** How a value is named in a message: short, on one line. */
function shown(value: unknown): string {
  if (value === undefined) return 'nothing';
  if (Array.isArray(value)) return 'a list';
  if (typeof value === 'object' && value !== null) return 'a map';
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 40 ? `${text.slice(0, 37)}...` : text;
}

/**
 * `machine.nodes: expected a whole number from 1 to 8, got -3`.
 * @param schema the data's; with it a misspelt key is told what may have been meant
 */
export function describeIssue(issue: z.core.$ZodIssue, data: unknown, schema?: z.ZodType): string {
  const name = pathName(issue.path);
  const place = name === '' ? '' : `${name}: `;
  const value = shown(valueAt(data, issue.path));
  switch (issue.code) {
    case 'unrecognized_keys':
      return `${place}unknown key ${issue.keys.map((key) => keyText(key, keysAt(schema, data, issue.path))).join(', ')}`;
    case 'too_small':
      return `${place}expected at least ${String(issue.minimum)}${unit(issue.origin)}, got ${value}`;
    case 'too_big':
      return `${place}expected at most ${String(issue.maximum)}${unit(issue.origin)}, got ${value}`;
    case 'invalid_type':
      return `${place}expected ${TYPE_NAMES[issue.expected] ?? `a ${issue.expected}`}, got ${value}`;
    case 'invalid_value':
      return `${place}expected ${issue.values.map(String).join(' or ')}, got ${value}${meantBy(data, issue.path, issue.values.map(String))}`;
    case 'invalid_union':
      return `${place}${unionText(issue)}, got ${value}${meantBy(data, issue.path, kindsOf(issue))}`;
    default:
      return `${place}${issue.message}`;
  }
}

const keyText = (key: string, known: readonly string[]): string => JSON.stringify(key) + meant(key, known);

/** What may have been meant by the text at `path`. */
function meantBy(data: unknown, path: readonly PropertyKey[], known: readonly string[]): string {
  const value = valueAt(data, path);
  return typeof value === 'string' ? meant(value, known) : '';
}

/** Of a union that is told by one key: the values that the key may have. */
const kindsOf = (issue: z.core.$ZodIssueInvalidUnion): readonly string[] =>
  'options' in issue && Array.isArray(issue.options) ? issue.options.map(String) : [];

/** `expected recorded or a number`; of a union that is told by one key, its own words. */
function unionText(issue: z.core.$ZodIssueInvalidUnion): string {
  const ways = issue.errors.flatMap(([first]) => {
    if (first === undefined) return [];
    if (first.code === 'invalid_value') return first.values.map(String);
    if (first.code === 'invalid_type') return [TYPE_NAMES[first.expected] ?? `a ${first.expected}`];
    return [first.message];
  });
  return ways.length === 0 ? issue.message : `expected ${ways.join(' or ')}`;
}

const TYPE_NAMES: Readonly<Record<string, string>> = {
  int: 'a whole number',
  object: 'a map',
  record: 'a map',
  array: 'a list',
  boolean: 'true or false',
};

const unit = (origin: string): string => (origin === 'array' ? ' entries' : origin === 'string' ? ' characters' : '');
