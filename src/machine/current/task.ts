/**
 * The task that an actor is (the kernel's `current`): what it knows of itself from one operation to the next. It goes along when the
 * actor changes workers (engine/host/actor-moves.ts), and with a run that is copied; so it is numbers and flags only.
 */
export class Task {
  /** Lamport time: the actor's clock (one-thread runs: the step number, with tick 0). */
  time = 0;
  /** Loops without bound begun so far: RETRY points belong to the last. */
  loops = 0;

  /** current->mm, where something depends on it: the task's process, -1 = nobody has said. */
  currentMm = -1;
  /** A fatal signal is pending. */
  fatalSignal = false;
  /** The thread was sent SIGBUS (poisoned guest memory): its run loop ends. */
  sigbus = false;
  /** The mechanism that notifiers and unmaps are counted by: MECH.* (machine/mechanisms.ts). */
  mechanism = 0;
  /** Fault injection: the n-th allocation from now fails (1 = the next); 0 = never. */
  failAllocation = 0;
  /** State of the actor's own random sequence: xorshift32, never 0. */
  randomState: number;
  /** Writes so far: contents are unique per write (actor, counter). */
  writeCounter = 0;

  /** current->lockdep_depth: locks held, which are listed in the actor's record. */
  heldCount = 0;
  /** The lock word that it queues for (locks/queue.ts), or 0, failed attempts since it came, and what the last one found there. */
  queuedFor = 0;
  queuedTries = 0;
  queuedValue = 0;
  queuedOutOfTurn = false;

  /** current->tlb_ubc: mms (one bit each) with unmaps whose CPU flush is deferred, and the pages they span. */
  tlbUbcMms = 0;
  tlbUbcStart = 0;
  tlbUbcEnd = 0;
  /** tlb_ubc.writable: a dirty PTE is among what was unmapped. */
  tlbUbcWritable = false;

  constructor(seed: number) {
    this.randomState = seed;
  }
}
