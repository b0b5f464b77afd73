/** What a step has changed in the machine's memory: every word, named, with what it held before and holds now. */
import { PlanProgram } from '../../engine/one-thread/plan-program.js';
import type { Program } from '../../engine/one-thread/program.js';
import { wordOf } from '../../engine/machine/word-kind.js';
import { isBookkeeping } from '../../machine/layout/find.js';
import { hex } from '../../trace/text.js';
import { flagsText, valueText } from './values.js';

const LINES_MAX = 12;

/** A line for each word that differs from what it was, but those that are no part of the kernel's state. */
export function changedWords(program: Program, before: Int32Array): string[] {
  const { words } = program;
  const lines: string[] = [];
  for (let word = 0; word < before.length; word++) {
    const [was, is] = [before[word] as number, words[word] as number];
    if (was === is) continue;
    if (program instanceof PlanProgram && isBookkeeping(program.machine, word)) continue;
    lines.push(`  ${program.describe(word)}: ${changeText(program, word, was, is)}`);
  }
  if (lines.length <= LINES_MAX) return lines;
  return [...lines.slice(0, LINES_MAX), `  ... and ${lines.length - LINES_MAX} more`];
}

function changeText(program: Program, word: number, was: number, is: number): string {
  if (!(program instanceof PlanProgram)) return `${was} -> ${is}`;
  const of = wordOf(program.machine, word);
  const [before, after] = [valueText(of, was), valueText(of, is)];
  // bits that no name tells apart
  return flagsText(of, was, is) ?? (before === after ? `${hex(was)} -> ${hex(is)}` : `${before} -> ${after}`);
}
