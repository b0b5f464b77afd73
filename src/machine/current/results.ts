/**
 * Results of kernel functions beside the one that they return: what the kernel hands back through a pointer. Numbers and flags only. Each
 * has its setters and the moment until which it is true; whoever wants it longer takes it into a variable of its own. One more stands in
 * Context itself, for speed: accessValue.
 */
export class Results {
  /** HPFAR_EL2: the frame that the host's stage 2 does not map. Set by hostAccess with ACCESS_HOST_STAGE2, true until its next. */
  abortPfn = 0;
  /**
   * fault->map_writable and fault->refcounted_page of the page that hvaToPfn has returned (kvm/faultin.ts): the guest may write there; there
   * is a reference to give back. True until the actor's next stage-2 fault.
   */
  mapWritable = false;
  refcounted = false;
  /**
   * The VMA that the rmap cursor stands at, and the page in it (mm/rmap/rmap.ts). Set by rmapWalkNext where it returns a cursor, true until
   * the next rmapWalkNext of this walk or another: what is called inside a walk may walk itself.
   */
  rmapVma = 0;
  rmapVpn = 0;
}
