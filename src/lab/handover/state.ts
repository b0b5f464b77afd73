/**
 * How the pages of a story stood at some time: what the events before it say, and where they say nothing what the first event after it
 * takes for granted (what is unmapped there was mapped before).
 */
import type { PinfallEvent } from '../../trace/event.js';
import type { Story } from './story.js';

export interface PageState {
  readonly mapped: boolean;
  /** At stage 2. */
  readonly guest: boolean;
  readonly huge: boolean;
  readonly protnone: boolean;
  readonly merged: boolean;
}

type Aspect = keyof PageState;
type Change = Partial<Record<Aspect, boolean>>;

/** What an event makes of the pages that it names. */
function changeOf(event: PinfallEvent): Change {
  switch (event.type) {
    case 'anon_map':
      return { mapped: true, huge: event.order > 0, merged: false, protnone: false };
    case 'file_map':
    case 'swap_in':
      return { mapped: true };
    case 'zap':
    case 'swap_out':
      return { mapped: false, huge: false, merged: false, guest: false, protnone: false };
    case 'wp_copy':
    case 'ksm_break':
      return { mapped: true, merged: false };
    case 'ksm_merge':
      return { mapped: true, merged: true, guest: false };
    case 'stage2_map':
      return { mapped: true, guest: true, protnone: false };
    case 'stage2_unmap':
      return { guest: false };
    case 'split_huge_pmd':
      return { huge: false };
    case 'collapse':
      return event.pfn > 0 ? { huge: true, mapped: true, guest: false } : {};
    case 'numa_protect':
      return { protnone: true, mapped: true };
    case 'numa_hint_fault':
      return { protnone: false, mapped: true };
    case 'page_pin':
      return { mapped: true, protnone: false };
    default:
      return {};
  }
}

/** What an event needs to have been so before it. */
function neededBy(event: PinfallEvent): Change {
  switch (event.type) {
    case 'anon_map':
      return { mapped: false };
    case 'stage2_unmap':
      return { guest: true };
    case 'stage2_map':
      return { guest: false };
    case 'split_huge_pmd':
      return { huge: true };
    case 'numa_hint_fault':
      return { protnone: true };
    case 'ksm_break':
      return { merged: true };
    default:
      return {};
  }
}

const UNKNOWN: PageState = { mapped: true, guest: false, huge: false, protnone: false, merged: false };

/** The state of each page just before `time`. */
export function statesAt({ facts, pages }: Story, time: number): PageState[] {
  return pages.map((_, page) => {
    const known: Record<string, boolean> = {};
    const needed: Record<string, boolean> = {};
    for (const { event, pages: named } of facts) {
      if (!named.includes(page)) continue;
      if (event.time < time) Object.assign(known, changeOf(event));
      else {
        // the first word of the log on each aspect
        const words = { ...changeOf(event), ...neededBy(event) };
        for (const [aspect, value] of Object.entries(words)) {
          const before = aspect in neededBy(event) ? value : UNKNOWN[aspect as Aspect];
          needed[aspect] ??= before;
        }
      }
    }
    return { ...UNKNOWN, ...needed, ...known };
  });
}
