/**
 * Which lock guards which word, for the checking build (words-checked.ts): the guards of the rows (layout/), held against what an actor
 * holds. An access that is no declared step of its own is right only if no other actor could touch the word at that moment:
 *
 *   its lock is held, for writing if it is stored to;
 *   it belongs to the actor or its CPU;
 *   its object is out of others' reach: a frame that no entry or list names yet, a frozen or free one, a page table that no PMD
 *   points to, a VM that is being made or destroyed.
 */
import { VM_STATE_LIVE } from '../abi.js';
import { Reach } from './checked-reach.js';
import { LOCK_READ } from '../context.js';
import { isHardwareValid, mkTable } from '../entries.js';
import { WordFinder } from '../layout/find.js';
import type { Access, Field, Held, LockName, Part } from '../layout/row.js';
import {
  ACTOR_HELD,
  ACTOR_HELD_COUNT,
  ANON_VMA_REFS,
  ANON_VMA_ROOT,
  ANON_VMA_RWSEM,
  ANON_VMA_WORDS,
  CPU_MAILBOX,
  GLOBAL_ANON_VMA_POOL_LOCK,
  GLOBAL_HOST_MMU_LOCK,
  GLOBAL_HYP_POOL_LOCK,
  GLOBAL_KSM_THREAD_MUTEX,
  GLOBAL_PKVM_PGD_LOCK,
  GLOBAL_S2_POOL_LOCK,
  GLOBAL_TABLE_POOL_LOCK,
  GLOBAL_VM_TABLE_LOCK,
  LINE,
  MAIL_STATE,
  MM_MMAP_LOCK,
  type Machine,
  NODE_WORDS,
  NODE_ZONE_LOCK,
  OBJECT_I_MMAP_RWSEM,
  OBJECT_I_PAGES_LOCK,
  PAGE_LOCK,
  PAGE_REFS,
  PAGE_SHIFT,
  PAGE_WORDS,
  TABLE_MM,
  TABLE_PMD,
  TABLE_PTL,
  VMA_REFCNT,
  VM_HYP_LOCK,
  VM_MMU_LOCK,
  VM_MN_INVALIDATE_LOCK,
  VM_SLOTS_LOCK,
  VM_STATE,
  actorWord,
  globalLock,
  vmWord,
} from '../layout.js';

/** What nothing guards: to be touched only by a marked access at a declared step. */
const MARKED = 'a word that others may touch';
/** mailbox.ts, which this module may not import: it is made of the words that are checked here. */
const MAIL_POSTED = 1;

/** The kernel-wide locks among those that guard words. */
const GLOBAL_LOCKS: Partial<Record<LockName, number>> = {
  ksm_thread_mutex: GLOBAL_KSM_THREAD_MUTEX,
  'table pool lock': GLOBAL_TABLE_POOL_LOCK,
  'anon_vma pool lock': GLOBAL_ANON_VMA_POOL_LOCK,
  'stage-2 table pool lock': GLOBAL_S2_POOL_LOCK,
  'EL2 vm_table_lock': GLOBAL_VM_TABLE_LOCK,
  'EL2 host_mmu.lock': GLOBAL_HOST_MMU_LOCK,
  'EL2 pkvm_pgd_lock': GLOBAL_PKVM_PGD_LOCK,
  'EL2 hyp_pool lock': GLOBAL_HYP_POOL_LOCK,
};

export class Guards {
  readonly #m: Machine;
  readonly #words: Int32Array;
  readonly #at: WordFinder;
  #actor = 0;
  #write = false;
  /** What is out of others' reach without any lock. */
  readonly reach: Reach;
  /** By word: the actor that uses it alone + 1. */
  readonly #single = new Map<number, number>();

  constructor(m: Machine) {
    this.#m = m;
    this.#words = m.words;
    this.#at = new WordFinder(m);
    this.reach = new Reach(m);
  }

  /** The machine is at its start again. */
  reset(): void {
    this.reach.reset();
    this.#single.clear();
  }

  /** Why `actor` may not touch the word plainly now, or an empty text. */
  refusal(actor: number, index: number, write: boolean): string {
    if (!this.#at.find(index)) return MARKED;
    this.#actor = actor;
    this.#write = write;
    const row = this.#row();
    if (this.#isOutOfReach(row)) return '';
    return row === null ? MARKED : this.#refusalBy(write ? row.guard.store : row.guard.load, row, index);
  }

  /** The row of the word, the one inside where a struct stands in another. */
  #row(): Field | Part | null {
    const { field, part, number } = this.#at;
    if (field === null || field.element === null) return field ?? part;
    const inside = number % field.element.words;
    return field.element.fields.find(({ at, words }) => inside >= at && inside < at + words) ?? null;
  }

  #refusalBy(access: Access, row: Field | Part, index: number): string {
    switch (access) {
      case 'free':
        return '';
      case 'marked':
        return MARKED;
      case 'constant':
        return 'a constant';
      case 'own':
        return this.#at.index === this.#actor
          ? ''
          : `another ${this.#at.region.id === 'cpus' ? 'CPU' : 'actor'}'s word`;
      case 'single':
        return this.#singleUser(index) ? '' : "another actor's own word";
      case 'turn':
        return this.#turn();
      default: {
        const value = this.#words[index] as number;
        // the hardware sets bits in a valid entry whoever holds its lock; a first fault installs under a lock held for reading
        if (row.special === 'hardware' && !this.#write && isHardwareValid(value)) return MARKED;
        if (row.special === 'settles' && !this.#write && value === 0 && !this.#holds(this.#mmapLock(), 'write'))
          return MARKED;
        return this.#under(access);
      }
    }
  }

  #under(locks: readonly Held[]): string {
    for (const held of locks) if (this.#holdsOne(held)) return '';
    const names = locks.map(({ lock }) => lock);
    const last = names.pop() as string;
    const isForWriting = locks.every(({ as }) => as === 'write' || (as === 'access' && this.#write));
    return `${names.length > 0 ? `${names.join(', ')} or ` : ''}${last} is not held${isForWriting ? ' for writing' : ''}`;
  }

  #singleUser(word: number): boolean {
    const user = this.#single.get(word) ?? this.#actor + 1;
    this.#single.set(word, user);
    return user === this.#actor + 1;
  }

  /** The request slot: the caller's, but while it is posted the server's. */
  #turn(): string {
    const posted = this.#words[this.#at.base + CPU_MAILBOX + MAIL_STATE] === MAIL_POSTED;
    if (posted === (this.#at.index !== this.#actor)) return '';
    return `a slot that is ${posted ? "the server's" : "its CPU's"} turn`;
  }

  /* ---- locks ---- */

  #holdsOne({ lock, as }: Held): boolean {
    const m = this.#m;
    const { base, index } = this.#at;
    const global = GLOBAL_LOCKS[lock];
    if (global !== undefined) return this.#holds(globalLock(m, global), as);
    switch (lock) {
      case 'zone lock':
        return this.#holdsAny(m.nodesAt, m.blocksAt, NODE_WORDS, NODE_ZONE_LOCK, as);
      case 'folio lock':
        return this.#at.region.id === 'frames'
          ? this.#holds(m.framesAt + (this.reach.headOf(index) << PAGE_SHIFT) + PAGE_LOCK, as)
          : this.#holdsAny(m.framesAt, m.mmsAt, PAGE_WORDS, PAGE_LOCK, as);
      case 'mmap_lock':
        return this.#holds(this.#mmapLock(), as);
      case 'VMA lock':
        return this.#holds(base + VMA_REFCNT, as);
      case 'anon_vma lock': {
        const root = (this.#words[base + ANON_VMA_ROOT] as number) || index;
        return this.#holds(m.anonVmasAt + root * ANON_VMA_WORDS + ANON_VMA_RWSEM, as);
      }
      case 'lock of any anon_vma or file':
        return (
          this.#holdsAny(m.anonVmasAt, m.avcsAt, ANON_VMA_WORDS, ANON_VMA_RWSEM, as) ||
          (m.objects > 0 && this.#holdsAny(m.objectsAt, m.totalWords, m.objectWords, OBJECT_I_MMAP_RWSEM, as))
        );
      case 'i_mmap_rwsem':
        return this.#holds(base + OBJECT_I_MMAP_RWSEM, as);
      case 'i_pages lock':
        return this.#holds(base + OBJECT_I_PAGES_LOCK, as);
      case 'PTL':
        return this.#holds(base + TABLE_PTL, as);
      case 'PMD lock':
        return this.#holds(base + m.mmPmdLocks + (this.#at.number >> m.thpOrder) * LINE, as);
      case 'mn_invalidate_lock':
        return this.#holds(base + VM_MN_INVALIDATE_LOCK, as);
      case 'slots_lock':
        return this.#holds(base + VM_SLOTS_LOCK, as);
      case 'mmu_lock':
        return this.#holdsOfVm(VM_MMU_LOCK, as);
      case 'hyp_vm.lock':
        return this.#holdsOfVm(VM_HYP_LOCK, as);
      default:
        return false;
    }
  }

  /** The mmap_lock of the process that the struct is, or belongs to. */
  #mmapLock(): number {
    const m = this.#m;
    const { region, base, index } = this.#at;
    return region.id === 'mms' ? base + MM_MMAP_LOCK : m.mmsAt + ((index / m.vmasPerMm) | 0) * m.mmWords + MM_MMAP_LOCK;
  }

  /** A lock of the VM, or for a stage-2 table, which does not say whose it is, of any. */
  #holdsOfVm(lock: number, as: Held['as']): boolean {
    const m = this.#m;
    if (this.#at.region.id === 'vms') return this.#holds(this.#at.base + lock, as);
    for (let vm = 0; vm < m.vms; vm++) if (this.#holds(vmWord(m, vm, lock), as)) return true;
    return false;
  }

  /** Whether the actor holds `lock` as it must. */
  #holds(lock: number, as: Held['as']): boolean {
    return this.#holdsAny(lock, lock + 1, 1, 0, as);
  }

  /** Whether the actor holds some lock of a region of equal records: word `offset` of records of `size` words. */
  #holdsAny(from: number, to: number, size: number, offset: number, as: Held['as']): boolean {
    const at = actorWord(this.#m, this.#actor, 0);
    const count = this.#words[at + ACTOR_HELD_COUNT] as number;
    const write = as === 'write' || (as === 'access' && this.#write);
    for (let i = 0; i < count; i++) {
      const lock = this.#words[at + ACTOR_HELD + 2 * i] as number;
      if (lock < from || lock >= to || (lock - from) % size !== offset) continue;
      if (!write || ((this.#words[at + ACTOR_HELD + 2 * i + 1] as number) & 15) !== LOCK_READ) return true;
    }
    return false;
  }

  /* ---- what nobody else can reach ---- */

  /** Whether the struct is out of others' reach, so that no lock is needed for the word. */
  #isOutOfReach(row: Field | Part | null): boolean {
    const { base, index, region } = this.#at;
    const words = this.#words;
    const name = row?.constant ?? '';
    switch (region.id) {
      case 'frames': {
        // free, frozen, or on its way from one to the other: nobody can take hold of it. EL2 looks at pages whoever has them
        if (name === 'PAGE_HYP' || name === 'PAGE_HOST_S2') return false;
        const head = this.reach.headOf(index);
        return words[this.#m.framesAt + (head << PAGE_SHIFT) + PAGE_REFS] === 0 || this.reach.isOwn(this.#actor, head);
      }
      case 'anonVmas':
        // out of the pool, in nobody's list
        return words[base + ANON_VMA_REFS] === 0 && name !== 'ANON_VMA_POOL_NEXT';
      case 'tables':
        return name !== 'TABLE_PTL' && !this.#isLinked();
      case 's2Tables':
        return !this.reach.isLinked(index);
      case 'vms':
        // being made or destroyed
        if (row?.guard.kind === 'lock' || name === 'VM_S2_DEFERRED' || (name === 'VM_STATE' && this.#write))
          return false;
        return words[base + VM_STATE] !== VM_STATE_LIVE;
      default:
        return false;
    }
  }

  /** Whether a PMD points to the page table. */
  #isLinked(): boolean {
    const m = this.#m;
    const { base, index } = this.#at;
    const pmd = this.#words[base + TABLE_PMD] as number;
    const mm = this.#words[base + TABLE_MM] as number;
    return pmd >= m.mmsAt && pmd < m.vmasAt && mm >= 0 && this.#words[pmd] === mkTable(index);
  }
}
