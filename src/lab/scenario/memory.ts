/**
 * The memory of a scenario: processes and their mappings, guests and their slots, the machine's frames; recorded
 * sizes filled in, and every reference between parts of the file checked. What is out of range is refused by its
 * place in the file, or by the option that asked for it.
 */
import {
  KVM_MEM_LOG_DIRTY_PAGES,
  KVM_MEM_READONLY,
  VM_EXEC,
  VM_HUGEPAGE,
  VM_MAYWRITE,
  VM_MERGEABLE,
  VM_NOHUGEPAGE,
  VM_NUMA_BOUND,
  VM_READ,
  VM_WRITE,
} from '../../machine/abi.js';
import { MACHINE_LIMITS } from '../../machine/config.js';
import { VCPUS_MAX } from '../../machine/layout.js';
import type { MappingSpec, MemslotSpec, VmSpec } from '../../plan/plan.js';
import { InputError } from '../../errors/errors.js';
import { type Recording, loadRecording } from './recording.js';
import type { Mistakes } from './mistakes.js';
import type { Scenario } from './scenario.js';

/** What a command's options change. */
export interface PlanOptions {
  /** A policy's or a zoo entry's id; absent: the scenario's, else `pinned-notifiers`. */
  readonly policy?: string;
  /** Whether that kernel has an EL2; absent: as the policy of that id says. */
  readonly el2?: boolean;
  readonly seed: number;
  /** vCPUs of guest 0 (`--cpus`). */
  readonly cpus?: number;
  /** A recording for guest 0 (`--recording`): a shipped name or a folder, relative to `base`. */
  readonly recording?: string;
  readonly base?: string;
  /** Where the scenario does not say. Default `all`: ledgers cost little, and references and contents need them. */
  readonly oracles?: 'off' | 'local' | 'all';
  /** Events of locks and operations too (Plan.lockEvents). */
  readonly lockEvents?: boolean;
  /** EL2 contexts, instead of the scenario's. */
  readonly el2Instances?: number;
  /** Operations of each actor that has no limit of its own: one-thread runs must end. */
  readonly opsEach?: number;
}

/** Frames of a machine, all nodes together. */
const FRAMES_MAX = 1 << 20;
const MAPPING_FLAGS: Readonly<Record<string, number>> = {
  read: VM_READ,
  write: VM_WRITE,
  exec: VM_EXEC,
  mergeable: VM_MERGEABLE,
  hugepage: VM_HUGEPAGE,
  nohugepage: VM_NOHUGEPAGE,
  'numa-bound': VM_NUMA_BOUND,
};
const SLOT_FLAGS: Readonly<Record<string, number>> = {
  'read-only': KVM_MEM_READONLY,
  'log-dirty-pages': KVM_MEM_LOG_DIRTY_PAGES,
};

/** Processes, guests and frames of a plan, each from its part of the file. */
export class ScenarioMemory {
  readonly recording: Recording | null;
  readonly scenario: Scenario;
  readonly options: PlanOptions;
  readonly mistakes: Mistakes;

  constructor(scenario: Scenario, options: PlanOptions, mistakes: Mistakes) {
    this.scenario = scenario;
    this.options = options;
    this.mistakes = mistakes;
    const { file } = scenario;
    if (options.recording !== undefined) {
      if (file.guests.length === 0)
        throw new InputError(`--recording: scenario ${scenario.name} has no guest to replay it`);
      this.recording = loadRecording(options.recording, options.base);
    } else {
      this.recording = file.recording === null ? null : this.#load(file.recording);
    }
  }

  #load(recording: string): Recording {
    try {
      return loadRecording(recording, this.scenario.folder);
    } catch (error) {
      // every size may be the recording's: nothing more can be looked at
      if (error instanceof InputError) this.mistakes.refuse(['recording'], error.message);
      throw error;
    }
  }

  /** The guests as the plan has them. */
  vms(): VmSpec[] {
    const { file } = this.scenario;
    if (this.options.cpus !== undefined && file.guests.length === 0) {
      throw new InputError(`--cpus: scenario ${this.scenario.name} has no guest`);
    }
    return file.guests.map((guest, i) => {
      if (guest.process >= file.processes.length) {
        this.note(['guests', i, 'process'], `no process ${guest.process}; ${numbered(file.processes.length)}`);
      }
      const slots = guest.slots.map((slot, j) => ({
        baseGfn: slot.first_gfn,
        pages: this.pages(slot.pages, ['guests', i, 'slots', j, 'pages']),
        vpn: slot.first_vpn,
        flags: slot.flags.reduce((flags, name) => flags | (SLOT_FLAGS[name] ?? 0), 0),
      }));
      const vm = { mm: guest.process, vcpus: this.#vcpus(i), protected: guest.protected, slots };
      return guest.pinned_range === undefined
        ? vm
        : Object.assign(vm, { pinRange: pinRange(guest.pinned_range, slots) });
    });
  }

  /** vCPUs of guest `i`: what `--cpus` says for the first, at least the recorded ones. */
  #vcpus(i: number): number {
    const said = this.scenario.file.guests[i]?.vcpus ?? 1;
    const recording = i === 0 ? this.recording : null;
    const least = recording?.vcpus ?? 1;
    if (i === 0 && this.options.cpus !== undefined) {
      const { cpus } = this.options;
      if (cpus < least || cpus > VCPUS_MAX) {
        const why = recording === null ? '' : `: recording ${recording.name} has ${least} vCPUs`;
        throw new InputError(`--cpus ${cpus}: expected ${least} to ${VCPUS_MAX}${why}`);
      }
      return cpus;
    }
    if (said === 'recorded') {
      if (recording === null) this.note(['guests', i, 'vcpus'], 'recorded, but this guest has no recording');
      return least;
    }
    if (said >= least) return said;
    if (this.options.recording !== undefined) return least;
    this.note(['guests', i, 'vcpus'], `${said}; expected at least the ${least} that the recording has`);
    return least;
  }

  /** All mappings, none overlapping another. */
  mappings(): MappingSpec[] {
    const all: MappingSpec[] = [];
    this.scenario.file.processes.forEach((process, mm) => {
      process.mappings.forEach((mapping, i) => {
        const path = ['processes', mm, 'mappings', i];
        const pages = this.pages(mapping.pages, [...path, 'pages']);
        const end = mapping.start + pages;
        if (end > MACHINE_LIMITS.mmPages[1]) {
          this.note(path, `ends at page ${end}; expected at most ${MACHINE_LIMITS.mmPages[1]}`);
        }
        const other = all.find((one) => one.mm === mm && mapping.start < one.start + one.pages && one.start < end);
        if (other !== undefined) {
          const there = `[${other.start}, ${other.start + other.pages})`;
          this.note(path, `[${mapping.start}, ${end}) overlaps another mapping of process ${mm}, ${there}`);
        }
        let from = mapping.start;
        mapping.except.forEach((part, j) => {
          const { start, pages: length } = this.#partWithin(part, from, end, [...path, 'except', j]);
          if (start > from) all.push({ mm, start: from, pages: start - from, flags: flagBits(mapping.flags) });
          if (length > 0) all.push({ mm, start, pages: length, flags: flagBits(part.flags) });
          from = start + length;
        });
        if (from < end) all.push({ mm, start: from, pages: end - from, flags: flagBits(mapping.flags) });
      });
    });
    return all;
  }

  /** A part of a mapping with flags of its own: within [from, end), or cut to it for another recording (`--recording`). */
  #partWithin(
    part: { readonly start: number; readonly pages: number },
    from: number,
    end: number,
    path: readonly PropertyKey[],
  ): { readonly start: number; readonly pages: number } {
    const partEnd = part.start + part.pages;
    if (part.start >= from && partEnd <= end) return part;
    if (part.start < from || this.options.recording === undefined) {
      this.note(
        path,
        `[${part.start}, ${partEnd}); expected a range within [${from}, ${end}), after the one before it`,
      );
      return { start: from, pages: 0 };
    }
    const start = Math.min(part.start, end);
    return { start, pages: Math.min(partEnd, end) - start };
  }

  /** Memslots lie in their process's mappings and do not overlap in the guest. */
  checkSlots(vms: readonly VmSpec[], mappings: readonly MappingSpec[]): void {
    vms.forEach((vm, i) => {
      vm.slots.forEach((slot, j) => {
        const path = ['guests', i, 'slots', j];
        const end = slot.baseGfn + slot.pages;
        if (end > MACHINE_LIMITS.vmPages[1]) {
          this.note(path, `ends at guest page ${end}; expected at most ${MACHINE_LIMITS.vmPages[1]}`);
        }
        const other = vm.slots.find((one, k) => k < j && slot.baseGfn < one.baseGfn + one.pages && one.baseGfn < end);
        if (other !== undefined) {
          const there = `[${other.baseGfn}, ${other.baseGfn + other.pages})`;
          this.note(path, `guest pages [${slot.baseGfn}, ${end}) overlap another slot, ${there}`);
        }
        this.checkRange(path, vm.mm, slot.vpn, slot.pages, mappings);
      });
      if (i !== 0 || this.recording === null) return;
      const covered = vm.slots.reduce(
        (end, slot) => (slot.baseGfn <= end ? Math.max(end, slot.baseGfn + slot.pages) : end),
        0,
      );
      if (covered < this.recording.frames) {
        this.note(
          ['guests', 0, 'slots'],
          `pages 0 to ${covered - 1}; recording ${this.recording.name} needs ${this.recording.frames} pages`,
        );
      }
    });
  }

  framesPerNode(): number {
    const said = this.scenario.file.machine.frames_per_node;
    const { nodes } = this.scenario.file.machine;
    if (said !== 'recorded') {
      if (said * nodes > FRAMES_MAX) {
        this.note(
          ['machine', 'frames_per_node'],
          `${said} on each of ${nodes} nodes; expected at most ${FRAMES_MAX} in all`,
        );
      }
      return said;
    }
    const frames = this.pages('recorded', ['machine', 'frames_per_node']);
    const some = Math.max(frames >> 4, 4 << this.scenario.file.machine.thp_order);
    return Math.min(frames + some, Math.floor(FRAMES_MAX / nodes));
  }

  poisonedFrames(frames: number): readonly number[] {
    this.scenario.file.poisoned_frames.forEach((pfn, i) => {
      if (pfn >= frames) this.note(['poisoned_frames', i], `${pfn}; expected 1 to ${frames - 1}`);
    });
    return this.scenario.file.poisoned_frames;
  }

  unpinnableFrames(frames: number): readonly (readonly [number, number])[] {
    const huge = 1 << this.scenario.file.machine.thp_order;
    this.scenario.file.unpinnable_frames.forEach(([from, to], i) => {
      if (from >= to || to > frames || from % huge !== 0 || to % huge !== 0) {
        this.note(
          ['unpinnable_frames', i],
          `[${from}, ${to}); expected whole huge pages of ${huge} within 0 to ${frames}`,
        );
      }
    });
    return this.scenario.file.unpinnable_frames;
  }

  /** Notes a range of process `mm` that no mapping holds; of a process that is not there something is said already. */
  checkRange(
    path: readonly PropertyKey[],
    mm: number,
    start: number,
    pages: number,
    mappings: readonly MappingSpec[],
  ): void {
    if (mm >= this.scenario.file.processes.length || coveredEnd(mm, start, mappings) >= start + pages) return;
    const mapped = spans(mappings.filter((each) => each.mm === mm).map((each) => [each.start, each.pages]));
    this.note(path, `pages ${start} to ${start + pages - 1} are in no mapping of process ${mm}, which has ${mapped}`);
  }

  /** A number of pages that may be the recording's. */
  pages(said: number | 'recorded', path: readonly PropertyKey[]): number {
    if (said !== 'recorded') return said;
    if (this.recording !== null) return this.recording.frames;
    this.note(path, 'recorded, but the scenario has no recording');
    return 1;
  }

  note(path: readonly PropertyKey[], message: string): void {
    this.mistakes.note(path, message);
  }
}

/** What there is of something that is named by its number. */
export const numbered = (count: number): string =>
  count === 0 ? 'there is none' : count === 1 ? 'there is only 0' : `expected 0 to ${count - 1}`;

/** `pages 0 to 15 and 32 to 47` of ranges [start, pages]; those that touch are one. */
export function spans(ranges: readonly (readonly [number, number])[]): string {
  const joined: [number, number][] = [];
  for (const [start, pages] of ranges.toSorted(([a], [b]) => a - b)) {
    const last = joined.at(-1);
    if (last !== undefined && start <= last[1]) last[1] = Math.max(last[1], start + pages);
    else joined.push([start, start + pages]);
  }
  return joined.length === 0 ? 'none' : joined.map(([from, to]) => `${from} to ${to - 1}`).join(', ');
}

/** Where the memory of process `mm` that goes on from `start` ends; `start` itself where nothing is mapped. */
export function coveredEnd(mm: number, start: number, mappings: readonly MappingSpec[]): number {
  let end = start;
  for (const each of mappings.toSorted((a, b) => a.start - b.start)) {
    if (each.mm === mm && each.start <= end && end < each.start + each.pages) end = each.start + each.pages;
  }
  return end;
}

/** VM_* bits of a mapping's words. Private memory may always be made writable. */
const flagBits = (words: readonly string[]): number =>
  words.reduce((bits, name) => bits | (MAPPING_FLAGS[name] ?? 0), VM_MAYWRITE);

/** The pinned range within the guest's memory. */
function pinRange(
  wished: { first_gfn: number; pages: number },
  slots: readonly MemslotSpec[],
): readonly [number, number] {
  const end = Math.max(...slots.map((slot) => slot.baseGfn + slot.pages));
  const first = wished.first_gfn < end ? wished.first_gfn : 0;
  return [first, Math.min(wished.pages, end - first)];
}
