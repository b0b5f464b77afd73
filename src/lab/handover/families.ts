/**
 * Rules that one and the same mistake breaks one after the other. On one thread the ledgers are exact at every step and a schedule ends
 * where the first rule is broken; on real threads most rules are judged at an operation's end or at rest, when the mistake
 * has come further: a translation that outlived its entry (I-TLB) is seen as a freed page in a TLB (I-FREE), or as a write that is lost.
 */
const EARLIER: Readonly<Record<string, readonly string[]>> = {
  'I-FREE': ['I-STALE', 'I-TLB', 'I-REF', 'I-MAP', 'I-PIN', 'I-UAFNODE', 'I-OWN'],
  'I-REF': ['I-FREE', 'I-MAP', 'I-UAFNODE', 'I-STALE'],
  'I-MAP': ['I-UAFNODE', 'I-FREE', 'I-REF'],
  'I-RO': ['I-TLB', 'I-STALE', 'I-PERM', 'I-FREE'],
  'I-PERM': ['I-STALE', 'I-TLB', 'I-FREE'],
  'I-STALE': ['I-TLB', 'I-PERM'],
  'I-LOST': ['I-TLB', 'I-STALE', 'I-FREE', 'I-PIN', 'I-COW', 'I-RO', 'I-UAFNODE'],
  'I-COW': ['I-TLB', 'I-STALE', 'I-RO', 'I-PIN', 'I-EXCL', 'I-FREE', 'I-PERM'],
  'I-PIN': ['I-EXCL', 'I-FREE', 'I-UAFNODE', 'I-REF'],
  'I-EXCL': ['I-STALE', 'I-PERM', 'I-FREE'],
  'I-WIPE': ['I-TLB', 'I-OWN'],
  'I-OWN': ['I-TLB', 'I-REF', 'I-FREE', 'I-SHARECNT'],
  'I-HYPMC': ['I-OWN'],
  'I-ACCT': ['I-REF', 'I-PIN', 'I-STALE'],
  'I-TLB': ['I-STALE'],
};

/** Whether who breaks `earlier` may go on to break `seen` with the same mistake. */
export const isEarlier = (seen: string, earlier: string): boolean => EARLIER[seen]?.includes(earlier) === true;
