/**
 * The CPU of an actor, which has the actor's number: what the kernel keeps per CPU and no other CPU reads (what others read stands in
 * the machine's words, layout/structs). A worker thread lends its time to any number of them, so the CPU goes where its actor goes.
 */
export class Cpu {
  /** preempt_count: spinlocks held and other atomic sections. */
  preemptCount = 0;
  /** Interrupts off (GUP-fast, EL2). */
  irqsOff = false;
  /** EL2 execution: LK8. */
  atEl2 = false;
  /** VM and vCPU loaded on this CPU, or -1 (messages to EL2 carry them). */
  loadedVm = -1;
  loadedVcpu = -1;
  /** Where this CPU found its last free swap slot (percpu_swap_cluster). */
  swapHint = 0;
}
