/** What a word of the machine is, in the words of the kernel: for waits-for graphs, diagrams and reports. */
import { statisticName } from '../stats.js';
import { WordFinder } from './find.js';
import { TABLE_MM, TABLE_PMD } from './generated.js';
import type { Machine } from './machine.js';
import { type Field, type Part, type Struct, hex } from './row.js';

const finders = new WeakMap<Machine, WordFinder>();

/** Names the word at `word`: `PTL of table 3`, `mm0 mmap_lock`, `folio lock of pfn 0x12`. Never throws. */
export function describeWord(m: Machine, word: number): string {
  let finder = finders.get(m);
  if (finder === undefined) finders.set(m, (finder = new WordFinder(m)));
  if (!finder.find(word)) return `word ${word}, which nobody uses`;
  const { region, index, offset, field, part, number } = finder;
  const owner = region.struct.called(m, index);
  if (region.id === 'globals') return globalLockName(owner, offset);
  if (region.id === 'stats') return `${statisticName(offset)} of ${owner}`;
  if (region.id === 'tables' && part !== null) return pteName(m, finder, owner);
  if (part !== null) return partName(m, part, owner, number, finder.within);
  return fieldName(m, field, region.struct, owner, offset);
}

/** A user page by the oracles' number: those of processes, then those of shared memory objects. */
export function describePage({ mms, mmPages, objectPages }: Machine, userPage: number): string {
  const shared = userPage - mms * mmPages;
  if (shared >= 0) return `page ${hex(shared % objectPages)} of object ${Math.trunc(shared / objectPages)}`;
  return `page of mm${Math.trunc(userPage / mmPages)} vpn ${hex(userPage % mmPages)}`;
}

function globalLockName(lock: string, offset: number): string {
  if (offset === 0) return lock;
  return offset === 1 ? `Lamport time of ${lock}` : `padding (word ${offset}) of ${lock}`;
}

/** `mmap_lock` of `mm0`, whichever comes first there. */
function owned(name: string, { ownerFirst }: Struct, owner: string): string {
  if (owner === '') return name;
  return ownerFirst ? `${owner} ${name}` : `${name} of ${owner}`;
}

function fieldName(m: Machine, field: Field | null, struct: Struct, owner: string, offset: number): string {
  if (field === null) return owned(`padding (word ${offset})`, { ...struct, ownerFirst: false }, owner || struct.id);
  const { element } = field;
  const number = offset - field.at;
  if (element === null) {
    const name = field.parts?.[number] ?? (field.words === 1 ? field.name : `${field.name} ${number}`);
    return owned(name, struct, owner);
  }
  const inside = number % element.words;
  const row = element.fields.find(({ at, words }) => inside >= at && inside < at + words) ?? null;
  const which = element.called(m, Math.trunc(number / element.words));
  return fieldName(m, row, element, owned(which, struct, owner), inside);
}

function partName(m: Machine, part: Part, owner: string, number: number, within: number): string {
  const name =
    within === 0
      ? part.name
      : within === 1
        ? `Lamport time of ${part.name}`
        : `padding (word ${within}) of ${part.name}`;
  return part.label === null ? `${name} ${number} of ${owner}` : `${name} of ${owner} ${part.label(m, number)}`;
}

/** A PTE by the page that it translates, where its table is in use. */
function pteName(m: Machine, { base, number }: WordFinder, owner: string): string {
  const mm = m.words[base + TABLE_MM] as number;
  const pmd = (m.words[base + TABLE_PMD] as number) - (m.mmsAt + mm * m.mmWords + m.mmPmdsOffset);
  if (mm < 0 || mm >= m.mms || pmd < 0 || pmd >= m.mmPmds) return `PTE ${number} of ${owner}`;
  return `PTE of mm${mm} vpn ${hex((pmd << m.thpOrder) + number)}`;
}
