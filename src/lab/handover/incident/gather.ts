/**
 * What the event log of a run on real threads says about a violation: which few pages it is about, and the events that name them, each
 * with its page. From this a small litmus test is made (operations.ts, page-states.ts, litmus-text.ts).
 */
import type { Suspicion, IncidentPage, Fact, Incident, SinceDrain } from './incident.js';
import { RECORD_WORDS } from '../../../events/record.js';
import type { Plan } from '../../../plan/plan.js';
import { VM_MERGEABLE } from '../../../machine/abi.js';
import type { Machine } from '../../../machine/layout.js';
import { type PinfallEvent, decodeEvent } from '../../../trace/event.js';
import { lastFocusOf } from '../../../trace/diagram/focus.js';
import { type Base, machineOver } from './drained.js';
import { equalPages, frameAt, hugeAt, pageOfFrameAt, planAt, stateOf } from './pages-at-rest.js';
import { standIn } from './stand-in.js';

/** Either an incident, or why there is none. */
type Told = { readonly incident: Incident } | { readonly reason: string };

/** Of KSM: the page in question and one that is equal to it. */
const PAGES_MAX = 2;

/** What is known beside the log. */
interface IncidentOptions {
  readonly base?: Base | null | undefined;
  readonly ending?: boolean | undefined;
}

function decodeAll(records: Int32Array): PinfallEvent[] {
  const events: PinfallEvent[] = [];
  for (let i = 0; i < Math.floor(records.length / RECORD_WORDS); i++) {
    const event = decodeEvent(records, i);
    if (event !== undefined) events.push(event);
  }
  return events;
}

/** Tells the incident of `suspicion` from records in merged order. Never throws: a log that says too little gives a reason. */
export function incidentOf(
  ofScenario: Plan,
  records: Int32Array,
  suspicion: Suspicion,
  { base = null, ending = false }: IncidentOptions = {},
): Told {
  const copy = base === null || base === undefined ? null : machineOver(ofScenario.machine, base.words);
  const plan = copy === null ? ofScenario : planAt(copy, ofScenario);
  const events = decodeAll(records);
  if (events.length === 0) return { reason: 'the log holds no events' };
  const at = suspicion.time ?? 0;
  const until = at > 0 ? at : (events.at(-1) as PinfallEvent).time;
  const before = events.filter(({ time }) => time <= until);
  const own = centreOf(plan, records, before, suspicion, copy);
  const guess = standIn({
    events: before.length > 0 ? before : events,
    actor: suspicion.actor ?? -1,
    pageOfGfn: (vm, gfn) => pageOfGfn(plan, vm, gfn),
    isMapped: (page) => mappingOf(plan, page) !== undefined,
  });
  const told = own === null ? null : about(plan, events, until, suspicion, { base, ending, copy }, own);
  // rings forget: another page has to stand for one that no event names
  const outside = own !== null && mappingOf(plan, own) === undefined;
  if (told !== null && (outside || 'incident' in told || guess === null)) return told;
  if (guess === null) return { reason: 'neither the violation nor the log names a page' };
  const stood = about(plan, events, until, suspicion, { base, ending, copy }, guess);
  return 'incident' in stood ? { incident: { ...stood.incident, standsFor: own ?? 'unknown' } } : stood;
}

interface Known {
  readonly base: Base | null | undefined;
  readonly ending: boolean;
  readonly copy: Machine | null;
}

/** The incident of one page. */
function about(
  plan: Plan,
  events: readonly PinfallEvent[],
  until: number,
  suspicion: Suspicion,
  { base, ending, copy }: Known,
  centre: IncidentPage,
): Told {
  const before = events.filter(({ time }) => time <= until);
  const mapping = mappingOf(plan, centre);
  if (mapping === undefined) return { reason: `page 0x${centre.vpn.toString(16)} is in no mapping of the scenario` };
  const huge = isHuge(plan, before, centre) || (copy !== null && hugeAt(copy, centre));
  const size = 1 << plan.machine.thpOrder;
  const first = centre.vpn & -size;
  const pages = huge
    ? [centre, { mm: centre.mm, vpn: centre.vpn === first ? first + (size >> 1) : first }]
    : [centre, ...twinsOf(plan, before, centre, isKsmd(plan, suspicion), copy)].slice(0, PAGES_MAX);
  const facts = new FactFinder(plan, pages, huge, copy).facts(events);
  // also where they are all of a later time: what is done to a page repeats itself
  if (facts.length === 0) return { reason: 'no event of the log names the page' };
  const sinceDrain =
    base === null || base === undefined || copy === null ? null : sinceDrainOf(plan, copy, base, pages, huge);
  return { incident: { plan, suspicion, pages, huge, facts, until, sinceDrain, ending, standsFor: null } };
}

function sinceDrainOf(
  plan: Plan,
  copy: Machine,
  base: Base,
  pages: readonly IncidentPage[],
  huge: boolean,
): SinceDrain {
  const since = decodeAll(base.since);
  return {
    drain: base.drain,
    states: pages.map((page) => stateOf(copy, plan, page)),
    time: since[0]?.time ?? 0,
    facts: new FactFinder(plan, pages, huge, copy).facts(since),
    complete: base.complete,
  };
}

/** Whether ksmd was found breaking the rule: it does little to a page that is like no other. */
export const isKsmd = (plan: Plan, { actor = -1 }: Suspicion): boolean => plan.actors[actor]?.kind === 'ksmd';

/** The mapping of the scenario that holds a page. */
export const mappingOf = (plan: Plan, { mm, vpn }: IncidentPage): Plan['mappings'][number] | undefined =>
  plan.mappings.findLast((each) => each.mm === mm && vpn >= each.start && vpn < each.start + each.pages);

/** The user page behind a guest page, or null. */
function pageOfGfn(plan: Plan, vm: number, gfn: number): IncidentPage | null {
  const spec = plan.vms[vm];
  const slot = spec?.slots.find(({ baseGfn, pages }) => gfn >= baseGfn && gfn < baseGfn + pages);
  return spec === undefined || slot === undefined ? null : { mm: spec.mm, vpn: slot.vpn + gfn - slot.baseGfn };
}

interface Loose {
  readonly mm?: number;
  readonly vpn?: number;
  readonly vm?: number;
  readonly gfn?: number;
  readonly pfn?: number;
  readonly order?: number;
}

function centreOf(
  plan: Plan,
  records: Int32Array,
  before: readonly PinfallEvent[],
  { mm, vpn, vm, gfn, pfn, actor }: Suspicion,
  copy: Machine | null,
): IncidentPage | null {
  if (vpn !== undefined) return { mm: mm ?? 0, vpn };
  if (gfn !== undefined && gfn >= 0) {
    const page = pageOfGfn(plan, vm ?? 0, gfn);
    if (page !== null) return page;
  }
  if (pfn !== undefined) {
    const page = pageOfFrame(plan, before, pfn) ?? (copy === null ? null : pageOfFrameAt(copy, plan, pfn));
    if (page !== null) return page;
  }
  if (actor === undefined || actor < 0) return null;
  const focus = lastFocusOf(records, before.length, actor, plan.machine.thpOrder);
  if (focus.vpn !== undefined) return { mm: focus.mm ?? 0, vpn: focus.vpn };
  return focus.gfn === undefined ? null : pageOfGfn(plan, focus.vm ?? 0, focus.gfn);
}

/** The user page that a frame was last said to hold. */
function pageOfFrame(plan: Plan, before: readonly PinfallEvent[], pfn: number): IncidentPage | null {
  for (const event of before.toReversed()) {
    const { mm, vpn, vm, gfn, pfn: named, order = 0 } = event as Loose;
    if (named === undefined || pfn < named || pfn >= named + (1 << order)) continue;
    if (vpn !== undefined) return { mm: mm ?? 0, vpn: vpn + pfn - named };
    const page = gfn === undefined ? null : pageOfGfn(plan, vm ?? 0, gfn);
    if (page !== null) return page;
  }
  return null;
}

/** Whether a huge page came or went where the page is, or the page lies in one. */
function isHuge(plan: Plan, before: readonly PinfallEvent[], { mm, vpn }: IncidentPage): boolean {
  const size = 1 << plan.machine.thpOrder;
  const same = (page: IncidentPage): boolean => page.mm === mm && (page.vpn & -size) === (vpn & -size);
  return before.some((event) => {
    switch (event.type) {
      case 'anon_map':
        return event.order > 0 && same(event);
      case 'split_huge_pmd':
        return same(event);
      case 'numa_protect':
        return event.huge && same(event);
      case 'collapse':
        return event.pfn > 0 && same(event);
      default:
        return false;
    }
  });
}

/** Pages that ksmd found equal to the page, or merged, the last ones. */
function twinsOf(
  plan: Plan,
  before: readonly PinfallEvent[],
  centre: IncidentPage,
  byKsmd: boolean,
  copy: Machine | null,
): IncidentPage[] {
  const mapping = mappingOf(plan, centre);
  if (mapping === undefined || (mapping.flags & VM_MERGEABLE) === 0) return [];
  const isCentre = ({ mm, vpn }: IncidentPage): boolean => mm === centre.mm && vpn === centre.vpn;
  const seen = before.findLast((event) => event.type === 'ksm_scan' && isCentre(event));
  const checksum = seen?.type === 'ksm_scan' ? seen.checksum : undefined;
  const changed = before.filter(({ type }) => KSM_CHANGES.has(type));
  if (!byKsmd && !changed.some((event) => isCentre(event as IncidentPage & PinfallEvent))) return [];
  const found = new Map<string, IncidentPage>();
  for (const event of before.toReversed()) {
    const equal = event.type === 'ksm_scan' && event.checksum === checksum;
    if (!equal && !KSM_CHANGES.has(event.type)) continue;
    const { mm, vpn } = event as IncidentPage & PinfallEvent;
    if (!isCentre({ mm, vpn }) && found.size < PAGES_MAX - 1) found.set(`${mm}:${vpn}`, { mm, vpn });
  }
  if (found.size === 0 && copy !== null) return equalPages(copy, plan, centre, VM_MERGEABLE, PAGES_MAX - 1);
  return [...found.values()];
}

const KSM_CHANGES: ReadonlySet<string> = new Set(['ksm_write_protect', 'ksm_merge', 'ksm_break']);

/** Finds out which events name the pages, following which frame each page has. */
class FactFinder {
  readonly #plan: Plan;
  readonly #pages: readonly IncidentPage[];
  readonly #size: number;
  /** The page by frame. */
  readonly #frames = new Map<number, number>();

  /** @param copy of the machine before the events: which frame each page had */
  constructor(plan: Plan, pages: readonly IncidentPage[], huge: boolean, copy: Machine | null) {
    this.#plan = plan;
    this.#pages = pages;
    this.#size = huge ? 1 << plan.machine.thpOrder : 1;
    if (copy === null) return;
    pages.forEach((page, i) => {
      const pfn = frameAt(copy, page);
      if (pfn > 0) this.#frames.set(pfn, i);
    });
  }

  facts(events: readonly PinfallEvent[]): Fact[] {
    return events.flatMap((event) => {
      const pages = this.#named(event);
      return pages.length === 0 ? [] : [{ event, pages }];
    });
  }

  #named(event: PinfallEvent): number[] {
    switch (event.type) {
      case 'notifier_start':
      case 'notifier_end':
      case 'zap':
      case 'mprotect':
      case 'mmap':
        return this.#range(event.mm, event.start, event.end);
      case 'kvm_unmap': {
        const page = pageOfGfn(this.#plan, event.vm, event.start);
        return page === null ? [] : this.#range(page.mm, page.vpn, page.vpn + event.end - event.start);
      }
      case 'migrate':
        return this.#move(event.src, event.result === 0 ? event.dst : -1);
      default:
        return this.#single(event as Loose);
    }
  }

  #single({ mm, vpn, vm, gfn, pfn, order = 0 }: Loose): number[] {
    const page = vpn !== undefined ? { mm: mm ?? 0, vpn } : gfn === undefined ? null : this.#guest(vm, gfn);
    if (page === null) return pfn === undefined ? [] : this.#framed(pfn);
    const span = Math.max(1 << order, 1);
    const pages = this.#range(page.mm, page.vpn, page.vpn + span);
    const [first] = pages;
    if (pfn !== undefined && pfn > 0 && first !== undefined) this.#frames.set(pfn, first);
    return pages;
  }

  #guest = (vm: number | undefined, gfn: number): IncidentPage | null => pageOfGfn(this.#plan, vm ?? 0, gfn);

  #framed(pfn: number): number[] {
    const page = this.#frames.get(pfn);
    return page === undefined ? [] : [page];
  }

  #move(src: number, dst: number): number[] {
    const pages = this.#framed(src);
    const [page] = pages;
    if (page !== undefined && dst > 0) {
      this.#frames.delete(src);
      this.#frames.set(dst, page);
    }
    return pages;
  }

  /** Pages of the incident in [start, end); of a huge page the second half stands for everything but the page in question. */
  #range(mm: number, start: number, end: number): number[] {
    const [centre] = this.#pages as readonly [IncidentPage];
    if (this.#size === 1) return this.#pages.flatMap((page, i) => (within(page, mm, start, end) ? [i] : []));
    const base = centre.vpn & -this.#size;
    if (mm !== centre.mm || end <= base || start >= base + this.#size) return [];
    const inside = start <= centre.vpn && centre.vpn < end;
    const others = Math.min(end, base + this.#size) - Math.max(start, base) - (inside ? 1 : 0);
    return [...(inside ? [0] : []), ...(others > 0 ? [1] : [])];
  }
}

const within = (page: IncidentPage, mm: number, start: number, end: number): boolean =>
  page.mm === mm && page.vpn >= start && page.vpn < end;
