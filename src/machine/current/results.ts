/**
 * Results of kernel functions beside the one that they return: what the kernel hands back through a pointer argument. Numbers and flags
 * only. Each is true from the return of the function that sets it until the actor calls the next one of those named for it: a caller takes
 * it at once.
 */
export class Results {
  /**
   * Content read or replaced: by a translated access that hit (machine/access.ts), a load through the kernel's map (mm/kernel-map.ts); the
   * second result of a request to EL2 (machine/mailbox.ts).
   */
  accessValue = 0;
  /** In: the syndrome of a stage-2 abort: a permission fault rather than a translation fault. */
  abortPermission = false;
  /** pages[0] of a GUP call, KVM's fault->pfn, and whether it may be mapped writable. */
  gupPfn = 0;
  gupWritable = false;
  /** The page that ksmd's cursor has found, with a reference. */
  ksmPfn = 0;
  /** The PTE that write_protect_page left, for replace_page. */
  ksmOrigEntry = 0;
  /** Where the rmap cursor stands (mm/rmap/rmap.ts), until anything walks an rmap. */
  rmapVma = 0;
  rmapVpn = 0;
}
