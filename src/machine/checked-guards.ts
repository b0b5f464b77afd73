/**
 * Which lock guards which field: the table of layout.ts as a program, for the checking build (words-checked.ts). An access that is
 * no declared step of its own is right only if no other actor could touch the word at that moment:
 *
 *   its lock is held, for writing if it is stored to;
 *   it belongs to the actor or its CPU;
 *   its object is out of others' reach: a frame that no entry or list names yet, a frozen or free one, a page table that no PMD
 *   points to, a VM that is being made or destroyed.
 */
import { VM_STATE_LIVE } from './abi.js';
import { LOCK_READ } from './context.js';
import { isHardwareValid, mkTable } from './entries.js';
import { Reach } from './checked-reach.js';
import {
  ACTOR_HELD,
  ACTOR_HELD_COUNT,
  ANON_VMA_POOL_HEAD,
  ANON_VMA_POOL_NEXT,
  ANON_VMA_REFS,
  ANON_VMA_ROOT,
  ANON_VMA_RWSEM,
  ANON_VMA_WORDS,
  AVC_POOL_HEAD,
  CPU_EL2,
  CPU_LRU_COUNT,
  CPU_LRU_PFNS,
  CPU_MAILBOX,
  CPU_NODE,
  CPU_PCP_HEAD,
  CPU_WORDS,
  GLOBAL_ANON_VMA_POOL_LOCK,
  GLOBAL_HOST_MMU_LOCK,
  GLOBAL_HYP_POOL_LOCK,
  GLOBAL_KSM_THREAD_MUTEX,
  GLOBAL_PKVM_PGD_LOCK,
  GLOBAL_S2_POOL_LOCK,
  GLOBAL_TABLE_POOL_LOCK,
  GLOBAL_VM_TABLE_LOCK,
  KHUGEPAGED_SCAN_ADDRESS,
  KHUGEPAGED_SCAN_MM,
  KSM_NODE_POOL_HEAD,
  KSM_ZERO_PAGES,
  MAIL_STATE,
  MM_LOCK_SEQ,
  MM_MEMLOCK_LIMIT,
  MM_MMAP_LOCK,
  MM_SRCU,
  MM_SUBSCRIPTIONS,
  MM_USERS,
  MM_VMA_COUNT,
  MM_VMA_LIST,
  MM_VMA_SEQ,
  type Machine,
  NODE_ZONE_LOCK,
  OBJECT_I_MMAP,
  OBJECT_I_MMAP_RWSEM,
  OBJECT_I_PAGES_LOCK,
  OBJECT_NRPAGES,
  PAGE_COMPOUND,
  PAGE_CPUPID,
  PAGE_HOST_S2,
  PAGE_HYP,
  PAGE_INDEX,
  PAGE_LOCK,
  PAGE_LRU_NEXT,
  PAGE_MAPPING,
  PAGE_REFS,
  PAGE_SHIFT,
  S2_POOL_FREE,
  S2_POOL_HEAD,
  STATS_WORDS,
  TABLE_HEADER,
  TABLE_MM,
  TABLE_PMD,
  TABLE_POOL_FREE,
  TABLE_POOL_HEAD,
  VMA_ANON_VMA,
  VMA_NUMA_SCAN_SEQ,
  VMA_REFCNT,
  VMA_WORDS,
  VM_HAS_PGT,
  VM_HYP_LOCK,
  VM_HYP_META,
  VM_HYP_POOL_COUNT,
  VM_HYP_POOL_HEAD,
  VM_HYP_STATE,
  VM_HYP_TABLES,
  VM_HYP_USERS,
  VM_INVALIDATE_END,
  VM_INVALIDATE_IN_PROGRESS,
  VM_MEMSLOTS,
  VM_MEMSLOT_SETS,
  VM_MMU_LOCK,
  VM_MN_ACTIVE_INVALIDATE_COUNT,
  VM_MN_INVALIDATE_LOCK,
  VM_S2_DEFERRED,
  VM_SLOTS_LOCK,
  VM_STATE,
  VM_VCPUS,
  actorWord,
  cpuWord,
  globalLock,
  nodeWord,
  vmWord,
} from './layout.js';

/** What nothing guards: to be touched only by a marked access at a declared step. */
const MARKED = 'a word that others may touch';
/** mailbox.ts, which this module may not import: it is made of the words that are checked here. */
const MAIL_POSTED = 1;

export class Guards {
  readonly #m: Machine;
  readonly #words: Int32Array;
  #actor = 0;
  #write = false;
  /** What is out of others' reach without any lock. */
  readonly reach: Reach;
  /** By global word: the actor that uses it alone + 1. */
  readonly #single = new Map<number, number>();

  constructor(m: Machine) {
    this.#m = m;
    this.#words = m.words;
    this.reach = new Reach(m);
  }

  /** Why `actor` may not touch the word plainly now, or an empty text. */
  refusal(actor: number, index: number, write: boolean): string {
    const m = this.#m;
    this.#actor = actor;
    this.#write = write;
    if (index >= m.objectsAt)
      return this.#object((index - m.objectsAt) % m.objectWords, ((index - m.objectsAt) / m.objectWords) | 0);
    // a swap slot belongs to nobody in particular
    if (index >= m.swapAt) return MARKED;
    if (index >= m.s2TablesAt)
      return this.#s2Table((index - m.s2TablesAt) % m.s2TableWords, ((index - m.s2TablesAt) / m.s2TableWords) | 0);
    if (index >= m.vmsAt) return this.#vm((index - m.vmsAt) % m.vmWords, ((index - m.vmsAt) / m.vmWords) | 0);
    if (index >= m.ksmItemsAt) return this.#ksm(index);
    if (index >= m.tablesAt)
      return this.#table((index - m.tablesAt) % m.tableWords, ((index - m.tablesAt) / m.tableWords) | 0);
    if (index >= m.avcsAt) return this.#avc();
    if (index >= m.anonVmasAt)
      return this.#anonVma((index - m.anonVmasAt) % ANON_VMA_WORDS, ((index - m.anonVmasAt) / ANON_VMA_WORDS) | 0);
    if (index >= m.vmasAt) return this.#vma((index - m.vmasAt) % VMA_WORDS, ((index - m.vmasAt) / VMA_WORDS) | 0);
    if (index >= m.mmsAt) return this.#mm((index - m.mmsAt) % m.mmWords, ((index - m.mmsAt) / m.mmWords) | 0);
    if (index >= m.framesAt) return this.#frame(index & ((1 << PAGE_SHIFT) - 1), (index - m.framesAt) >> PAGE_SHIFT);
    if (index >= m.nodesAt) return this.#zone();
    // a CPU's TLB is hardware: its agent's look at it is one step
    if (index >= m.tlbsAt) return '';
    if (index >= m.cpusAt) return this.#cpu((index - m.cpusAt) % CPU_WORDS, ((index - m.cpusAt) / CPU_WORDS) | 0);
    if (index >= m.statsAt)
      return (((index - m.statsAt) / STATS_WORDS) | 0) === actor ? '' : "another actor's counters";
    if (index >= m.actorsAt) return MARKED;
    if (index >= m.globalDataAt && index < m.workersAt) return this.#global(index - m.globalDataAt);
    return MARKED;
  }

  /** The machine is at its start again. */
  reset(): void {
    this.reach.reset();
    this.#single.clear();
  }

  /** Whether the actor holds `lock`, for writing if it stores (or wants to). */
  #holds(lock: number, write = this.#write): boolean {
    const at = actorWord(this.#m, this.#actor, 0);
    const count = this.#words[at + ACTOR_HELD_COUNT] as number;
    for (let i = 0; i < count; i++) {
      if (this.#words[at + ACTOR_HELD + 2 * i] !== lock) continue;
      if (!write || ((this.#words[at + ACTOR_HELD + 2 * i + 1] as number) & 15) !== LOCK_READ) return true;
    }
    return false;
  }

  /** Whether the actor holds some lock of a region of equal records: word `offset` of records of `size` words. */
  #holdsOne(from: number, to: number, size: number, offset: number): boolean {
    const at = actorWord(this.#m, this.#actor, 0);
    const count = this.#words[at + ACTOR_HELD_COUNT] as number;
    for (let i = 0; i < count; i++) {
      const lock = this.#words[at + ACTOR_HELD + 2 * i] as number;
      if (lock < from || lock >= to || (lock - from) % size !== offset) continue;
      if (!this.#write || ((this.#words[at + ACTOR_HELD + 2 * i + 1] as number) & 15) !== LOCK_READ) return true;
    }
    return false;
  }

  #needs(held: boolean, lock: string): string {
    return held ? '' : `${lock} is not held${this.#write ? ' for writing' : ''}`;
  }

  #zone(): string {
    const m = this.#m;
    for (let node = 0; node < m.nodes; node++) if (this.#holds(nodeWord(m, node, NODE_ZONE_LOCK))) return '';
    return 'zone lock is not held';
  }

  #global(word: number): string {
    const m = this.#m;
    const under = (which: number, name: string): string => this.#needs(this.#holds(globalLock(m, which)), name);
    if (word <= KSM_ZERO_PAGES || word === KSM_NODE_POOL_HEAD) {
      // write-protect faults count zero pages down atomically
      return word === KSM_ZERO_PAGES ? MARKED : under(GLOBAL_KSM_THREAD_MUTEX, 'ksm_thread_mutex');
    }
    if (word === TABLE_POOL_HEAD || word === TABLE_POOL_FREE) return under(GLOBAL_TABLE_POOL_LOCK, 'table pool lock');
    if (word === ANON_VMA_POOL_HEAD || word === AVC_POOL_HEAD)
      return under(GLOBAL_ANON_VMA_POOL_LOCK, 'anon_vma pool lock');
    if (word === S2_POOL_HEAD || word === S2_POOL_FREE) return under(GLOBAL_S2_POOL_LOCK, 'stage-2 pool lock');
    if (word !== KHUGEPAGED_SCAN_MM && word !== KHUGEPAGED_SCAN_ADDRESS) return MARKED;
    const user = this.#single.get(word) ?? this.#actor + 1;
    this.#single.set(word, user);
    return user === this.#actor + 1 ? '' : "khugepaged's own word";
  }

  #cpu(offset: number, cpu: number): string {
    if (offset >= CPU_LRU_PFNS && offset < CPU_PCP_HEAD) return MARKED;
    if (offset === CPU_LRU_COUNT || (offset >= CPU_PCP_HEAD && offset < CPU_NODE))
      return cpu === this.#actor ? '' : "another CPU's list";
    if (offset === CPU_NODE || offset === CPU_EL2) return this.#write ? 'a constant' : '';
    if (offset <= CPU_MAILBOX + MAIL_STATE || offset >= CPU_MAILBOX + 16) return MARKED;
    // the request slot: the caller's, but while it is posted the server's
    const posted = this.#words[cpuWord(this.#m, cpu, CPU_MAILBOX) + MAIL_STATE] === MAIL_POSTED;
    return posted === (cpu !== this.#actor) ? '' : `a slot that is ${posted ? "the server's" : "its CPU's"} turn`;
  }

  #frame(field: number, pfn: number): string {
    const m = this.#m;
    const head = this.reach.headOf(pfn);
    const at = m.framesAt + (head << PAGE_SHIFT);
    if (field === PAGE_HYP) {
      return this.#needs(
        this.#holds(globalLock(m, GLOBAL_HOST_MMU_LOCK)) || this.#holds(globalLock(m, GLOBAL_PKVM_PGD_LOCK)),
        'host_mmu.lock',
      );
    }
    if (field === PAGE_HOST_S2)
      return this.#write ? MARKED : this.#needs(this.#holds(globalLock(m, GLOBAL_HOST_MMU_LOCK)), 'host_mmu.lock');
    if (field === PAGE_LRU_NEXT) return '';
    if (!this.#write && (field === PAGE_COMPOUND || field === PAGE_INDEX)) return '';
    // nobody can take hold of it: free, frozen, or on its way from one to the other
    if (this.#words[at + PAGE_REFS] === 0) return '';
    if (this.reach.isOwn(this.#actor, head)) return '';
    const stable = field === PAGE_MAPPING || field === PAGE_CPUPID || field === PAGE_INDEX;
    return stable && !this.#write ? this.#needs(this.#holds(at + PAGE_LOCK), 'folio lock') : MARKED;
  }

  #mm(offset: number, mm: number): string {
    const m = this.#m;
    const base = m.mmsAt + mm * m.mmWords;
    const mmap = (write: boolean): boolean => this.#holds(base + MM_MMAP_LOCK, write);
    if (offset >= m.mmDeposits) return this.#needs(this.#holdsPmdLock(base, offset - m.mmDeposits), 'PMD lock');
    if (offset >= m.mmPmdsOffset) {
      // the hardware sets bits in a huge PMD whoever holds its lock
      if (this.#write || isHardwareValid(this.#words[base + offset] as number)) return MARKED;
      return this.#needs(this.#holdsPmdLock(base, offset - m.mmPmdsOffset), 'PMD lock');
    }
    if (offset >= m.mmPmdLocks) return MARKED;
    if (offset >= MM_VMA_LIST || offset === MM_VMA_COUNT) return this.#needs(mmap(this.#write), 'mmap_lock');
    if (offset === MM_LOCK_SEQ || offset === MM_VMA_SEQ || offset === MM_USERS) {
      return this.#write ? MARKED : this.#needs(mmap(true), 'mmap_lock for writing');
    }
    if (offset >= MM_SUBSCRIPTIONS && offset < MM_SRCU) return this.#write ? this.#needs(mmap(true), 'mmap_lock') : '';
    return offset === MM_MEMLOCK_LIMIT && !this.#write ? '' : MARKED;
  }

  #holdsPmdLock(base: number, pmd: number): boolean {
    return this.#holds(base + this.#m.mmPmdLocks + (pmd >> this.#m.thpOrder) * 16);
  }

  #vma(field: number, vma: number): string {
    const m = this.#m;
    const at = m.vmasAt + vma * VMA_WORDS;
    const mmapLock = m.mmsAt + ((vma / m.vmasPerMm) | 0) * m.mmWords + MM_MMAP_LOCK;
    if (field === VMA_REFCNT || field === VMA_REFCNT + 1) return MARKED;
    if (this.#holds(mmapLock, true)) return '';
    const read = this.#holds(mmapLock, false) || this.#holds(at + VMA_REFCNT, false) || this.#holdsAnonVma();
    if (field === VMA_NUMA_SCAN_SEQ) return this.#needs(read, 'mmap_lock');
    // the first fault installs the anon_vma while others hold these locks for reading too; then it stays
    if (field === VMA_ANON_VMA && !this.#write) return read && this.#words[at + field] !== 0 ? '' : MARKED;
    // the list of an anon_vma, to which the first fault adds itself
    if (this.#write) return this.#holdsAnonVma() ? '' : 'mmap_lock is not held for writing';
    return this.#needs(read, 'mmap_lock, VMA lock or anon_vma lock');
  }

  #holdsAnonVma(): boolean {
    const m = this.#m;
    return (
      this.#holdsOne(m.anonVmasAt, m.avcsAt, ANON_VMA_WORDS, ANON_VMA_RWSEM) ||
      (m.objects > 0 && this.#holdsOne(m.objectsAt, m.totalWords, m.objectWords, OBJECT_I_MMAP_RWSEM))
    );
  }

  #anonVma(field: number, anonVma: number): string {
    const m = this.#m;
    const at = m.anonVmasAt + anonVma * ANON_VMA_WORDS;
    if (field === ANON_VMA_POOL_NEXT)
      return this.#needs(this.#holds(globalLock(m, GLOBAL_ANON_VMA_POOL_LOCK)), 'anon_vma pool lock');
    // out of the pool, in nobody's list
    if (this.#words[at + ANON_VMA_REFS] === 0) return '';
    if (field === ANON_VMA_ROOT) return this.#write ? 'a constant' : '';
    const root = (this.#words[at + ANON_VMA_ROOT] as number) || anonVma;
    const rwsem = m.anonVmasAt + root * ANON_VMA_WORDS + ANON_VMA_RWSEM;
    // readers of the rwsem count themselves in atomically
    if (field === ANON_VMA_REFS) return this.#holds(rwsem, true) ? '' : MARKED;
    return this.#needs(this.#holds(rwsem), 'anon_vma lock');
  }

  #avc(): string {
    const pool = this.#holds(globalLock(this.#m, GLOBAL_ANON_VMA_POOL_LOCK));
    return this.#needs(pool || this.#holdsAnonVma(), 'anon_vma lock');
  }

  #table(offset: number, table: number): string {
    const m = this.#m;
    const at = m.tablesAt + table * m.tableWords;
    if (offset < 2) return MARKED;
    if (offset < TABLE_HEADER) return '';
    const pmd = this.#words[at + TABLE_PMD] as number;
    const mm = this.#words[at + TABLE_MM] as number;
    const linked = pmd >= m.mmsAt && pmd < m.vmasAt && mm >= 0 && this.#words[pmd] === mkTable(table);
    if (!linked) return '';
    // the hardware sets bits in a valid PTE whoever holds its lock
    if (this.#write || isHardwareValid(this.#words[at + offset] as number)) return MARKED;
    return this.#needs(this.#holds(at), 'PTL');
  }

  #ksm(index: number): string {
    const m = this.#m;
    const mutex = this.#holds(globalLock(m, GLOBAL_KSM_THREAD_MUTEX));
    // a node's list stays while its folio is locked
    const folio = !this.#write && this.#holdsOne(m.framesAt, m.mmsAt, 1 << PAGE_SHIFT, PAGE_LOCK);
    return this.#needs(mutex || (folio && index < m.ksmStableAt), 'ksm_thread_mutex');
  }

  #vm(offset: number, vm: number): string {
    const m = this.#m;
    const at = m.vmsAt + vm * m.vmWords;
    const lock = (field: number, write = this.#write): boolean => this.#holds(at + field, write);
    const isLock =
      offset === VM_MMU_LOCK || offset === VM_MN_INVALIDATE_LOCK || offset === VM_SLOTS_LOCK || offset === VM_HYP_LOCK;
    if (isLock || offset === VM_S2_DEFERRED) return MARKED;
    if (this.#words[at + VM_STATE] !== VM_STATE_LIVE) return offset === VM_STATE && this.#write ? MARKED : '';
    if (offset >= VM_INVALIDATE_IN_PROGRESS && offset <= VM_INVALIDATE_END)
      return this.#needs(lock(VM_MMU_LOCK), 'mmu_lock');
    if (offset === VM_MN_ACTIVE_INVALIDATE_COUNT) return this.#needs(lock(VM_MN_INVALIDATE_LOCK), 'mn_invalidate_lock');
    if (offset === VM_HAS_PGT) return this.#needs(lock(VM_MMU_LOCK), 'mmu_lock');
    if (offset > VM_HAS_PGT - 4 && offset < VM_MEMSLOTS)
      return this.#write ? MARKED : offset === VM_STATE ? MARKED : '';
    if (offset === VM_MEMSLOTS) return this.#needs(lock(VM_SLOTS_LOCK), 'slots_lock');
    if (offset >= VM_HYP_STATE && offset < VM_VCPUS) return this.#hypVm(offset, lock(VM_HYP_LOCK));
    if (offset >= VM_VCPUS && offset < VM_MEMSLOT_SETS) return '';
    if (offset >= VM_MEMSLOT_SETS && offset < m.vmRoot)
      return this.#write ? this.#needs(lock(VM_SLOTS_LOCK), 'slots_lock') : '';
    if (offset >= m.vmRoot && offset < m.vmPinned) {
      return this.#write
        ? MARKED
        : this.#needs(lock(VM_MMU_LOCK, true) || lock(VM_HYP_LOCK), 'mmu_lock for writing or hyp_vm.lock');
    }
    if (offset >= m.vmPinned && offset < m.vmGenerations) return this.#needs(lock(VM_MMU_LOCK), 'mmu_lock');
    return MARKED;
  }

  #object(offset: number, object: number): string {
    const at = this.#m.objectsAt + object * this.#m.objectWords;
    if (offset === OBJECT_I_MMAP) return this.#needs(this.#holds(at + OBJECT_I_MMAP_RWSEM), 'i_mmap_rwsem');
    return offset === OBJECT_NRPAGES ? this.#needs(this.#holds(at + OBJECT_I_PAGES_LOCK), 'i_pages lock') : MARKED;
  }

  #hypVm(offset: number, guestLock: boolean): string {
    const m = this.#m;
    const table = this.#holds(globalLock(m, GLOBAL_VM_TABLE_LOCK));
    if (offset === VM_HYP_POOL_HEAD || offset === VM_HYP_POOL_COUNT) {
      return this.#needs(
        this.#holds(globalLock(m, GLOBAL_HYP_POOL_LOCK)) || (guestLock && !this.#write),
        'hyp pool lock',
      );
    }
    if (offset === VM_HYP_TABLES) return this.#needs(guestLock, 'hyp_vm.lock');
    const ofTable =
      offset === VM_HYP_STATE || offset === VM_HYP_META || (offset > VM_HYP_POOL_COUNT && offset <= VM_HYP_USERS);
    return ofTable ? this.#needs(table || guestLock, 'vm_table_lock') : this.#write ? 'a constant' : '';
  }

  #s2Table(offset: number, table: number): string {
    const m = this.#m;
    if (offset < TABLE_HEADER || !this.reach.isLinked(table)) return '';
    if (this.#write) return MARKED;
    for (let vm = 0; vm < m.vms; vm++) {
      if (this.#holds(vmWord(m, vm, VM_MMU_LOCK), true) || this.#holds(vmWord(m, vm, VM_HYP_LOCK))) return '';
    }
    return 'neither mmu_lock (for writing) nor hyp_vm.lock is held';
  }
}
