/**
 * The peer model: KSM's write_protect_page against GUP-fast and a vCPU's stage-2 fault, small enough to run unchanged in other
 * tools (Relacy, Shuttle, Loom, GenMC, Spin, herd7), so that their figures and ours can be compared.
 *
 *   ksmd  under mmu_lock {notifier_active = 1; stage2 = 0}
 *         under the PTL {was = pte; pte = 0; if refcount != mapcount then pte = was, else merged = 1}
 *         under mmu_lock {seq++; notifier_active = 0}
 *   gup   under the PTL {if the pte is writable: refcount++}, then writes
 *   vCPU  reads seq; if stage 2 is unmapped: reads the pte under the PTL; then under mmu_lock: if not notifier_active and seq is
 *         unchanged: stage2 = 1 + writable
 *
 * At the end: not (merged and pinned), not (merged and stage 2 writable). In the `-buggy` twin gup does without the PTL, which
 * is why GUP-fast must look at the PTE again (kernel-model 3.10.1). Every lock, unlock, load and store of shared state is one
 * step.
 */
import { type FinalState, plainState } from '../one-thread/outcome.js';
import type { Coroutine } from '../../machine/context.js';
import { acquires, reads, releases, writes } from '../../machine/effects.js';
import { type Program, SILENT, type Waiting } from '../one-thread/program.js';
import type { Violation } from '../../oracle/violation.js';
import { type TinyState, explainTiny, lock, tinyState, unlock, waitsFor } from './tiny-lock.js';

const KSMD = 0;
const GUP = 1;
const VCPU = 2;

const MMU_LOCK = 1;
const PTL = 2;
const NOTIFIER_ACTIVE = 3;
const SEQ = 4;
const STAGE2 = 5;
const PTE = 6;
const REFCOUNT = 7;
const MERGED = 8;
const PINNED = 9;
const WORDS = 16;
const WORD_NAMES = [
  '',
  'mmu_lock',
  'PTL',
  'notifier_active',
  'mmu_invalidate_seq',
  'stage2',
  'pte',
  'refcount',
  'merged',
  'page',
];

/** pte: present (1) and writable (2). stage2: 0, or 1 + writable. */
const PTE_MAPPED_WRITABLE = 3;
const WRITABLE = 2;
const MAPCOUNT = 1;

function* ksmd(s: TinyState): Coroutine<void> {
  const w = s.words;
  yield acquires(MMU_LOCK);
  while (!lock(s, MMU_LOCK, KSMD)) yield waitsFor(MMU_LOCK);
  yield writes(NOTIFIER_ACTIVE);
  w[NOTIFIER_ACTIVE] = 1;
  yield writes(STAGE2);
  w[STAGE2] = 0;
  yield releases(MMU_LOCK);
  unlock(s, MMU_LOCK);

  yield acquires(PTL);
  while (!lock(s, PTL, KSMD)) yield waitsFor(PTL);
  yield reads(PTE);
  const was = w[PTE] as number;
  yield writes(PTE);
  w[PTE] = 0;
  yield reads(REFCOUNT);
  if ((w[REFCOUNT] as number) !== MAPCOUNT) {
    yield writes(PTE);
    w[PTE] = was;
  } else {
    yield writes(MERGED);
    w[MERGED] = 1;
  }
  yield releases(PTL);
  unlock(s, PTL);

  yield acquires(MMU_LOCK);
  while (!lock(s, MMU_LOCK, KSMD)) yield waitsFor(MMU_LOCK);
  yield writes(SEQ);
  w[SEQ] = (w[SEQ] as number) + 1;
  yield writes(NOTIFIER_ACTIVE);
  w[NOTIFIER_ACTIVE] = 0;
  yield releases(MMU_LOCK);
  unlock(s, MMU_LOCK);
}

function* gup(s: TinyState, buggy: boolean): Coroutine<void> {
  const w = s.words;
  if (!buggy) {
    yield acquires(PTL);
    while (!lock(s, PTL, GUP)) yield waitsFor(PTL);
  }
  yield reads(PTE);
  const pinned = ((w[PTE] as number) & WRITABLE) !== 0;
  if (pinned) {
    yield writes(REFCOUNT);
    w[REFCOUNT] = (w[REFCOUNT] as number) + 1;
  }
  if (!buggy) {
    yield releases(PTL);
    unlock(s, PTL);
  }
  if (!pinned) return;
  yield writes(PINNED);
  w[PINNED] = 1;
}

function* vcpu(s: TinyState): Coroutine<void> {
  const w = s.words;
  yield reads(SEQ);
  const seq = w[SEQ] as number;
  yield reads(STAGE2);
  if ((w[STAGE2] as number) !== 0) return;
  yield acquires(PTL);
  while (!lock(s, PTL, VCPU)) yield waitsFor(PTL);
  yield reads(PTE);
  const pte = w[PTE] as number;
  yield releases(PTL);
  unlock(s, PTL);
  yield acquires(MMU_LOCK);
  while (!lock(s, MMU_LOCK, VCPU)) yield waitsFor(MMU_LOCK);
  yield reads(NOTIFIER_ACTIVE);
  if ((w[NOTIFIER_ACTIVE] as number) === 0) {
    yield reads(SEQ);
    if ((w[SEQ] as number) === seq) {
      yield writes(STAGE2);
      w[STAGE2] = 1 + ((pte & WRITABLE) >> 1);
    }
  }
  yield releases(MMU_LOCK);
  unlock(s, MMU_LOCK);
}

class PinVsWriteProtect implements Program {
  readonly actors = ['ksmd', 'gup', 'vcpu'];
  readonly clocks = null;
  readonly deep = false;
  readonly alarm = SILENT;
  readonly name: string;
  readonly words: Int32Array;
  readonly #state = tinyState(WORDS, 3);
  readonly #buggy: boolean;

  constructor(name: string, buggy: boolean) {
    this.name = name;
    this.words = this.#state.words;
    this.#buggy = buggy;
  }

  tierOf(): number {
    return 0;
  }

  reset(): void {
    const w = this.words;
    // of a few words: faster than fill()
    for (let word = 0; word < WORDS; word++) w[word] = 0;
    w[STAGE2] = 2;
    w[PTE] = PTE_MAPPED_WRITABLE;
    w[REFCOUNT] = MAPCOUNT;
  }

  start(actor: number): Coroutine<void> {
    if (actor === KSMD) return ksmd(this.#state);
    return actor === GUP ? gup(this.#state, this.#buggy) : vcpu(this.#state);
  }

  waitValue(actor: number): number {
    return this.#state.waitValues[actor] as number;
  }

  finish(): void {}

  recordEvents(): boolean {
    return false;
  }

  audit(): readonly Violation[] {
    const w = this.words;
    if (w[MERGED] === 0) return SILENT.violations;
    const broken: Violation[] = [];
    if ((w[REFCOUNT] as number) > MAPCOUNT) {
      broken.push({ invariant: 'I-RO', what: 'page was merged while pinned', actor: KSMD });
    }
    if (w[STAGE2] === 2) {
      broken.push({ invariant: 'I-STALE', what: 'merged page is writable at stage 2', actor: VCPU });
    }
    return broken;
  }

  /** merged, pinned, and the two bits of stage2. */
  observe(): number {
    const w = this.words;
    return ((w[MERGED] as number) << 3) | (((w[REFCOUNT] as number) - MAPCOUNT) << 2) | (w[STAGE2] as number);
  }

  finalState(observation: number): FinalState {
    return plainState(`merged=${observation >> 3} pinned=${(observation >> 2) & 1} stage2=${observation & 3}`);
  }

  describe(word: number): string {
    return WORD_NAMES[word] ?? `word ${word}`;
  }

  explain(waiting: readonly Waiting[]): readonly string[] {
    return explainTiny(this, waiting);
  }
}

export const pinVsWriteProtect = (): Program => new PinVsWriteProtect('pin-vs-write-protect', false);
export const pinVsWriteProtectBuggy = (): Program => new PinVsWriteProtect('pin-vs-write-protect-buggy', true);
