/**
 * How the pages of an incident stood at some time. Where the machine was copied at the last drain (pages-at-rest.ts) and the log holds everything since
 * then, that is known; else it is what the events before that time say, and where they say nothing what the first event after it
 * takes for granted (what is unmapped there was mapped before).
 */
import type { PageState, Fact, Incident } from './incident.js';
import type { PinfallEvent } from '../../../trace/event.js';

type Aspect = keyof PageState;
type Change = Partial<PageState>;

/** What an event makes of the pages that it names. */
function changeOf(event: PinfallEvent): Change {
  switch (event.type) {
    case 'anon_map':
      return {
        mapped: true,
        huge: event.order > 0,
        zero: event.pfn === 0,
        merged: false,
        protnone: false,
        content: -1,
      };
    case 'file_map':
      return { mapped: true };
    case 'swap_in':
      return { mapped: true, swapped: false };
    case 'zap':
      return { ...GONE, swapped: false };
    case 'swap_out':
      return { ...GONE, swapped: true };
    case 'wp_copy':
    case 'ksm_break':
      return { mapped: true, merged: false, zero: false, content: -1 };
    case 'ksm_merge':
      return { mapped: true, merged: true, guest: false };
    case 'stage2_map':
      return { mapped: true, guest: true, guestReadOnly: !event.writable, protnone: false };
    case 'stage2_unmap':
      return { guest: false };
    case 'split_huge_pmd':
      return { huge: false };
    case 'collapse':
      return event.pfn > 0 ? { huge: true, mapped: true, guest: false, zero: false, content: -1 } : {};
    case 'numa_protect':
      return { protnone: true, mapped: true };
    case 'numa_hint_fault':
      return { protnone: false, mapped: true };
    case 'page_pin':
      return { mapped: true, protnone: false };
    case 'mprotect':
      return { flags: event.flags };
    default:
      return {};
  }
}

const GONE: Change = { mapped: false, huge: false, merged: false, guest: false, protnone: false, zero: false };

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
    case 'swap_in':
      return { swapped: true };
    default:
      return {};
  }
}

export const UNKNOWN: PageState = {
  mapped: true,
  guest: false,
  guestReadOnly: false,
  huge: false,
  protnone: false,
  merged: false,
  zero: false,
  swapped: false,
  node: 0,
  content: -1,
  pins: 0,
  flags: -1,
};

/** The state of each page just before `time`. */
export function statesAt({ facts, pages, sinceDrain }: Incident, time: number): PageState[] {
  return pages.map((_, page) => {
    const at = sinceDrain?.states[page];
    const exact = sinceDrain !== null && sinceDrain.complete && time >= sinceDrain.time;
    const known: Record<string, unknown> = {};
    const needed: Record<string, unknown> = {};
    for (const { event, pages: named } of exact ? sinceDrain.facts : facts) {
      if (!named.includes(page)) continue;
      if (event.time < time) Object.assign(known, changeOf(event));
      else {
        // the first word of the log on each aspect
        const need = neededBy(event);
        for (const [aspect, value] of Object.entries({ ...changeOf(event), ...need })) {
          needed[aspect] ??= aspect in need ? value : UNKNOWN[aspect as Aspect];
        }
      }
    }
    const state = exact ? { ...UNKNOWN, ...at, ...known } : { ...UNKNOWN, ...at, ...needed, ...known };
    const pins = exact ? pinsAt(sinceDrain.facts, page, time, at?.pins ?? 0) : 0;
    return { ...state, pins };
  });
}

/** Pins that are held at `time`: those at the last drain, with what was taken and given back since then. */
function pinsAt(facts: readonly Fact[], page: number, time: number, before: number): number {
  let pins = before;
  for (const { event, pages } of facts) {
    if (event.time >= time || !pages.includes(page)) continue;
    if (event.type === 'page_pin') pins++;
    else if (event.type === 'page_unpin') pins = Math.max(0, pins - 1);
    // somebody looked at them
    else if (event.type === 'pin_look') pins = 0;
    else if (event.type === 'numa_skip_pinned') pins = Math.max(1, pins);
  }
  return pins;
}
