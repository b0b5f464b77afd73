/**
 * The values that questions compare: numbers, errors (below zero), and words for states. All are numbers here; words stand far
 * below every error, so that none equals a count, a page or an errno.
 */
import {
  E2BIG,
  EACCES,
  EAGAIN,
  EBUSY,
  EEXIST,
  EFAULT,
  EHWPOISON,
  EINTR,
  EINVAL,
  EIO,
  EMLINK,
  ENOENT,
  ENOMEM,
  EPERM,
} from '../../../machine/abi.js';
import { UNSET } from '../../../../actors/litmus/registers.js';
import { SIGBUS, SIGSEGV } from '../../../../actors/litmus/mm.js';

/** `none` of pages and entries. */
const NONE_WORD = 'none';

/** All words of all terms (terms.ts). */
const WORDS = [
  NONE_WORD,
  'zero',
  'ro',
  'rw',
  'protnone',
  'migration',
  'swap',
  'hwpoison',
  'table',
  'huge',
  'host',
  'guest',
  'hyp',
  'shared',
  'guest_shared',
  'free',
  'read',
  'held',
] as const;
export type StateWord = (typeof WORDS)[number];

const WORD_BASE = -0x7fffff00;
/** The value that stands for a word. */
export const wordValue = (word: string): number => WORD_BASE + WORDS.indexOf(word as StateWord);
export const NONE = wordValue(NONE_WORD);
/** Whether the value is a word's, or of a result that was not reached. */
export const isNoNumber = (value: number): boolean => value < WORD_BASE + WORDS.length;
/** Names that a result cannot have. */
export const RESERVED_WORDS: ReadonlySet<string> = new Set(WORDS);

const ERRORS: Readonly<Record<string, number>> = {
  EPERM,
  ENOENT,
  EINTR,
  EIO,
  E2BIG,
  EAGAIN,
  ENOMEM,
  EACCES,
  EFAULT,
  EBUSY,
  EEXIST,
  EINVAL,
  EMLINK,
  EHWPOISON,
  SIGSEGV,
  SIGBUS,
};
/** The names behind a minus. */
export const ERROR_NAMES: readonly string[] = Object.keys(ERRORS);
/** `EFAULT` -> -14; undefined for an unknown name. */
export const errorValue = (name: string): number | undefined =>
  Object.hasOwn(ERRORS, name) ? -(ERRORS[name] as number) : undefined;

/** A value as reports print it: `-EFAULT`, `none`, `7`; `unset` for a result that was not reached. */
export function valueText(value: number): string {
  if (value === UNSET) return 'unset';
  if (isNoNumber(value)) return WORDS[value - WORD_BASE] ?? String(value);
  if (value >= 0) return String(value);
  return `-${ERROR_NAMES.find((name) => ERRORS[name] === -value) ?? String(-value)}`;
}
