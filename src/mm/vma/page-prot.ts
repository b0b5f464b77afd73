/** vma->vm_page_prot: what a VMA's flags let the hardware do (mm/mmap.c vm_get_page_prot, mm/vma.c vma_set_page_prot, v6.18). */
import { VM_EXEC, VM_READ, VM_SHARED, VM_WRITE } from '../../machine/abi.js';
import type { Context } from '../../machine/context.js';
import { PTE_PRESENT, PTE_PROTNONE, PTE_WRITE } from '../../machine/entries.js';
import { isFileObject } from '../filemap.js';

/**
 * The PRESENT or PROTNONE bit that VM_* flags give an entry; never WRITE, as in a private mapping. Every entry gets it, also one that
 * FOLL_FORCE or MADV_COLLAPSE brings into a mapping that nobody may touch.
 */
export const protBits = (vmFlags: number): number =>
  (vmFlags & (VM_READ | VM_WRITE | VM_EXEC)) !== 0 ? PTE_PRESENT : PTE_PROTNONE;

/** The protection of a VMA: of a shared one with the write bit, unless its file wants to be told of the first write (vma_wants_writenotify). */
export const pageProt = (ctx: Context, vmFlags: number): number =>
  (vmFlags & (VM_SHARED | VM_WRITE)) === (VM_SHARED | VM_WRITE) && !isFileObject(ctx)
    ? PTE_PRESENT | PTE_WRITE
    : protBits(vmFlags);
