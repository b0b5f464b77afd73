/**
 * The state of a simulated machine as text, for people who walk through a schedule: page tables with the pages that they map, stage-2
 * tables, notifier counts, and each actor's place and locks.
 */
import { PG_ANON_EXCLUSIVE, PG_DIRTY, PG_LRU, PG_SWAPBACKED, PG_SWAPCACHE, VM_STATE_NONE } from '../../machine/abi.js';
import { S2_BLOCK, S2_VALID, S2_WRITE, isPresent } from '../../machine/entries.js';
import {
  type Machine,
  PAGE_CONTENT,
  PAGE_FLAGS,
  PAGE_MAPPING,
  PAGE_MAPS,
  PAGE_REFS,
  VM_INVALIDATE_IN_PROGRESS,
  VM_INVALIDATE_SEQ,
  VM_STATE,
  vmWord,
} from '../../machine/layout.js';
import type { OneThread } from '../../engine/one-thread/one-thread.js';
import { PlanProgram } from '../../engine/one-thread/plan-program.js';
import { effectText } from '../../engine/one-thread/determinism-check.js';
import type { Positions } from '../../engine/machine/source-positions.js';
import { mappingIsKsm } from '../../mm/folio.js';
import { entryAt, headOf, page, pfnOfEntry, pfnOfStage2, stage2At } from '../../oracle/view.js';
import { entryText, hex } from '../../trace/text.js';
import { look as peek } from '#words';

/** Rows of one table at most: litmus machines are small, scenarios are not. */
const ROWS_MAX = 32;

const FLAG_NAMES: readonly (readonly [number, string])[] = [
  [PG_ANON_EXCLUSIVE, 'exclusive'],
  [PG_DIRTY, 'dirty'],
  [PG_LRU, 'lru'],
  [PG_SWAPBACKED, 'swapbacked'],
  [PG_SWAPCACHE, 'swapcache'],
];

/** `refs 1026 maps 1 content 0x7 exclusive lru`. */
function frameText(m: Machine, pfn: number): string {
  if (pfn === 0) return 'the zero page';
  const head = headOf(m, pfn);
  const flags = page(m, pfn, PAGE_FLAGS) | (page(m, head, PAGE_FLAGS) & ~PG_ANON_EXCLUSIVE);
  const names = FLAG_NAMES.filter(([bit]) => (flags & bit) !== 0).map(([, name]) => name);
  if (mappingIsKsm(page(m, head, PAGE_MAPPING))) names.push('KSM');
  const refs = page(m, head, PAGE_REFS);
  const maps = page(m, pfn, PAGE_MAPS);
  return `refs ${refs}  maps ${maps}  content ${hex(page(m, pfn, PAGE_CONTENT))}  ${names.join(' ')}`.trimEnd();
}

function processLines(m: Machine): string[] {
  const lines: string[] = [];
  for (let mm = 0; mm < m.mms; mm++) {
    for (let vpn = 0; vpn < m.mmPages; vpn++) {
      const entry = entryAt(m, mm, vpn);
      if (entry === 0) continue;
      const frame = isPresent(entry) ? `  ${frameText(m, pfnOfEntry(m, entry, vpn))}` : '';
      lines.push(`  mm${mm} ${hex(vpn).padEnd(6)} ${entryText(entry).padEnd(28)}${frame}`);
    }
  }
  return lines;
}

function guestLines(m: Machine): string[] {
  const lines: string[] = [];
  for (let vm = 0; vm < m.vms; vm++) {
    if (peek(m.words, vmWord(m, vm, VM_STATE)) === VM_STATE_NONE) continue;
    const open = peek(m.words, vmWord(m, vm, VM_INVALIDATE_IN_PROGRESS));
    const seq = peek(m.words, vmWord(m, vm, VM_INVALIDATE_SEQ));
    lines.push(`  vm${vm} mmu_invalidate_in_progress ${open}  mmu_invalidate_seq ${seq}`);
    for (let gfn = 0; gfn < m.vmPages; gfn++) {
      const leaf = stage2At(m, vm, gfn);
      if ((leaf & S2_VALID) === 0) continue;
      const kind = `${(leaf & S2_WRITE) !== 0 ? 'rw' : 'ro'}${(leaf & S2_BLOCK) !== 0 ? ' block' : ''}`;
      lines.push(`  vm${vm} gfn ${hex(gfn).padEnd(6)} ${kind}, pfn ${hex(pfnOfStage2(m, leaf, gfn))}`);
    }
  }
  return lines;
}

const short = (lines: readonly string[]): string[] =>
  lines.length <= ROWS_MAX ? [...lines] : [...lines.slice(0, ROWS_MAX), `  ... and ${lines.length - ROWS_MAX} more`];

/** Where each actor stands, what it does next and what it holds. */
export function actorLines(thread: OneThread, positions: Positions): string[] {
  const { program } = thread;
  return program.actors.map((name, actor) => {
    if (thread.isDone(actor)) return `  ${name}: done`;
    const place = positions.placeOf(thread.calls(actor).at(-1) ?? (function* () {})());
    const at = place.file === '' ? '' : `  in ${place.fn}() at ${place.file}:${place.line}`;
    const held = program.heldLocks?.(actor) ?? [];
    const holds = held.length === 0 ? '' : `  holds ${held.join(', ')}`;
    return `  ${name}: next '${effectText(thread, thread.view.pending[actor] as number)}'${at}${holds}`;
  });
}

/** The machine's tables; of a small model, its words that are not 0. */
export function machineLines(thread: OneThread): string[] {
  const { program } = thread;
  const lines =
    program instanceof PlanProgram
      ? [...short(processLines(program.machine)), ...short(guestLines(program.machine))]
      : short(
          [...program.words].flatMap((value, word) => (value === 0 ? [] : [`  ${program.describe(word)} = ${value}`])),
        );
  return lines.length === 0 ? ['  nothing is mapped'] : lines;
}
