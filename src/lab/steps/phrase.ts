/** A step in words, as the comments of kernel code say it: `PTE(0x0) is pfn 0x1 RW`, `mmu_invalidate_seq 0 == 0`, `lock PTL: was free`. */
import type { WordKind } from '../../engine/machine/word-kind.js';
import type { Program } from '../../engine/one-thread/program.js';
import { PlanProgram } from '../../engine/one-thread/plan-program.js';
import { GUP_PIN_COUNTING_BIAS } from '../../machine/abi.js';
import { PTE_DIRTY, PTE_YOUNG } from '../../machine/entries.js';
import { hex } from '../../trace/text.js';
import { type Step, isAcquire, isRead, isRelease } from './recorder.js';
import { flagsText, formerText, valueText } from './values.js';

/** Words that are sampled, and compared later. */
const SAMPLED: ReadonlySet<WordKind> = new Set(['seq', 'writeProtectSeq', 'memslots', 'flushBatched']);
const ENTRIES: ReadonlySet<WordKind> = new Set(['pte', 'pmd', 's2', 'hostS2']);

/** What a step is told with. */
interface Telling {
  readonly program: Program;
  /** What its actor read of the same word before, within the same operation; absent: nothing. */
  readonly earlier?: number | undefined;
  /** Who holds the lock that it waits for. */
  readonly holder?: string | undefined;
}

/** The step in words, without the function that it is done in. */
export function stepText(step: Step, telling: Telling): string {
  const name = wordName(step, telling.program);
  if (isAcquire(step)) return lockText(step, name, telling);
  if (isRelease(step)) return `unlock ${name}`;
  if (isRead(step)) return readText(step, name, telling);
  const { of, before, after } = step;
  if (of === null) return `${name} := ${after}`;
  const flags = flagsText(of, before, after);
  if (flags !== null) return `${name}: ${flags}`;
  const [was, is] = [valueText(of, before), valueText(of, after)];
  if (was !== is) return `${name}: ${formerText(of, before)} -> ${isUnpinned(of.kind, after) ? after : is}`;
  if (before === after) return `${name} stays ${is}`;
  return ENTRIES.has(of.kind) ? `${name}: ${is}${bitText(before, after)}` : `${name}: ${is} again`;
}

/** A count that says nothing of pins needs no words. */
const isUnpinned = (kind: WordKind, value: number): boolean =>
  (kind === 'refs' && value >= 0 && value < GUP_PIN_COUNTING_BIAS) || (kind === 'pincount' && value === 0);

/** What differs between two entries that read alike. */
function bitText(before: number, after: number): string {
  const bits: readonly (readonly [number, string, string])[] = [
    [PTE_DIRTY, ', now dirty', ', now clean'],
    [PTE_YOUNG, ', now young', ', now old'],
  ];
  const [, set, cleared] = bits.find(([bit]) => ((before ^ after) & bit) !== 0) ?? [0, '', ''];
  const [bit] = bits.find(([each]) => ((before ^ after) & each) !== 0) ?? [0];
  return (after & bit) !== 0 ? set : cleared;
}

function lockText({ effect, before, blocked }: Step, name: string, { holder }: Telling): string {
  const how = (effect & 15) === 6 ? ' for reading' : '';
  if (blocked) return `lock ${name}${how}: waits${holder === undefined ? '' : ` for ${holder}`}`;
  return `lock ${name}${how}${before === 0 ? ': was free' : ''}`;
}

function readText({ of, after }: Step, name: string, { earlier }: Telling): string {
  if (of === null) return `${name} is ${after}`;
  if (earlier !== undefined && SAMPLED.has(of.kind)) {
    const [was, is] = [valueText(of, earlier), valueText(of, after)];
    return `${name}: ${is} ${earlier === after ? '==' : '!='} ${was}`;
  }
  const again =
    earlier === undefined || !ENTRIES.has(of.kind) ? '' : earlier === after ? ', unchanged' : ', has changed';
  const colon = of.kind === 'flags' || of.kind === 'mmFlags' ? ':' : ' is';
  return `${name}${colon} ${valueText(of, after)}${again}`;
}

/** `PTE(0x1)`, `refs of pfn 0x4`, `mmu_invalidate_seq`. */
function wordName({ word, of }: Step, program: Program): string {
  if (word === 0) return 'nothing shared';
  const machine = program instanceof PlanProgram ? program.machine : null;
  if (of !== null && machine !== null && of.page >= 0) {
    // events name the pages of other processes as they do those of the first
    const space = of.kind === 's2' ? (of.vm > 0 ? `vm${of.vm} ` : '') : of.mm > 0 ? `mm${of.mm} ` : '';
    if (of.kind === 'pte') return `PTE(${space}${hex(of.page)})`;
    if (of.kind === 'pmd') return `PMD(${space}${hex(of.page)})`;
    if (of.kind === 's2') return `stage 2(${space}gfn ${hex(of.page)})`;
  }
  const name = program
    .describe(word)
    .replace(/^(PTL|rwsem) of (table|anon_vma) \d+$/, (_, lock: string, what: string) =>
      what === 'table' ? lock : `anon_vma ${lock}`,
    );
  if (machine === null) return name;
  const shorter = machine.mms === 1 ? name.replace(/^mm0 /, '').replace(/ of mm0$/, '') : name;
  const short = machine.vms === 1 ? shorter.replace(/^vm0 /, '') : shorter;
  return short
    .replace(/^PMD lock \d+( |$)/, 'PMD lock$1')
    .replace(/^pincount of/, 'pins of')
    .replace(/ of swap slot /, ' of slot ');
}
