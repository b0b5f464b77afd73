/** The small models that `explore` knows by name. */
import type { Program } from '../one-thread/program.js';
import { pinVsWriteProtect, pinVsWriteProtectBuggy } from './pin-vs-write-protect.js';

interface ProgramKind {
  readonly name: string;
  readonly title: string;
  create(): Program;
}

export const PROGRAMS: readonly ProgramKind[] = [
  {
    name: 'pin-vs-write-protect',
    title: 'the peer model: KSM against GUP-fast and a stage-2 fault, correct',
    create: pinVsWriteProtect,
  },
  {
    name: 'pin-vs-write-protect-buggy',
    title: 'the peer model with a GUP that does without the PTL',
    create: pinVsWriteProtectBuggy,
  },
];

export const programKind = (name: string): ProgramKind | undefined => PROGRAMS.find((kind) => kind.name === name);
