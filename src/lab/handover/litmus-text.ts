/**
 * A litmus test from an incident: the operations since some time as columns, and how the pages stood then as set-up. One incident gives several
 * tests (variants.ts): what the log leaves open is tried one way and the other.
 */
import {
  FOLL_FORCE,
  FOLL_LONGTERM,
  FOLL_WRITE,
  VM_EXEC,
  VM_HUGEPAGE,
  VM_MERGEABLE,
  VM_NOHUGEPAGE,
  VM_READ,
  VM_WRITE,
} from '../../machine/abi.js';
import { bugById } from '../../zoo/index.js';
import { parseLitmus } from '../litmus/language/parse.js';
import { printLitmus } from '../litmus/language/print.js';
import { fixName } from '../scenario/find-knobs.js';
import { type SeenOperation, PIN_UNSEEN_FLAGS } from './operations.js';
import { UNKNOWN, statesAt } from './incident/page-states.js';
import type { PageState, Incident, IncidentPage } from './incident/incident.js';
import { mappingOf } from './incident/gather.js';

/** Which operations come into a test, and how they are told. */
export interface LitmusTextOptions {
  /** By actor, in the order done. */
  readonly columns: ReadonlyMap<number, readonly SeenOperation[]>;
  /** Operations before the columns begin, of all actors: pins that are held. */
  readonly earlier: readonly SeenOperation[];
  /** When the columns begin. */
  readonly from: number;
  /** Set-up as simple as can be, whatever the log says: pages are mapped, also in the guest. */
  readonly plain: boolean;
  /** Pins held when the columns begin: as the log tells, or only those that are given back in them. */
  readonly pins?: 'told' | 'returned';
  /** Guest pages that their process has no longer. */
  readonly gone?: boolean;
  /** Beside the columns somebody ends the VM, and another process takes memory. */
  readonly ending?: boolean;
}

export const ACTORS_MAX = 4;
/** The first letters name pages. */
const NAMES = ['a', 'b', 'c'] as const;
const VMS = 'GHIJKLMN';
const PROCESSES = 'ABCDEFQR';
const HUGE_ORDER = 1;
/** A schedule of so few operations that takes longer goes round. */
const STEPS_MAX = 3000;
const DEFAULT_PIN = FOLL_WRITE | FOLL_LONGTERM;

/** The text of the test, as `print` writes it; null when nothing can be made of it. */
export function litmusText(incident: Incident, options: LitmusTextOptions): string | null {
  const text = new LitmusText(incident, options).text();
  const { file } = parseLitmus(text);
  return file === null ? null : printLitmus(file);
}

/** What the file is called: `pinfall-I-PINNED-S2` is a name in litmus files too. */
export const handoverName = (invariant: string): string => `pinfall-${invariant.replaceAll(/[^A-Za-z0-9_-]+/g, '-')}`;

class LitmusText {
  readonly #incident: Incident;
  readonly #options: LitmusTextOptions;
  readonly #actors: readonly number[];
  /** Names of pins by actor and pin. */
  readonly #pins = new Map<string, string>();
  readonly #mms: readonly number[];
  readonly #vms: readonly number[];

  constructor(incident: Incident, options: LitmusTextOptions) {
    this.#incident = incident;
    this.#options = options;
    this.#mms = [...new Set(incident.pages.map(({ mm }) => mm))];
    this.#vms = incident.plan.vms.flatMap((_, vm) =>
      incident.pages.some((page) => this.#shows(vm, page)) ? [vm] : [],
    );
    this.#actors = [...options.columns.keys()].filter((actor) => this.#fits(actor)).slice(0, ACTORS_MAX);
  }

  text(): string {
    const { plan, suspicion } = this.#incident;
    const from = plan.scenario.replaceAll(/["\n]/g, ' ').split('/').at(-1) ?? '';
    const expected = suspicion.invariant === 'deadlock' ? 'deadlock' : `violation ${suspicion.invariant}`;
    const init = this.#init();
    return [
      `litmus ${handoverName(suspicion.invariant)}`,
      `"What the actors of ${from} did before ${suspicion.invariant} was broken on real threads."`,
      bugById(plan.kernel) === undefined ? `policy ${plan.kernel}` : `bug ${plan.kernel}`,
      `machine nodes ${plan.machine.nodes}, thp_order ${HUGE_ORDER}`,
      this.#knobs(),
      `expect ${expected}`,
      `steps ${STEPS_MAX}`,
      ...this.#mms.map((mm) => this.#process(mm)),
      ...(this.#options.ending === true ? ['process Z {', '  z: anon 1 read write', '}'] : []),
      ...this.#vms.map((vm) => this.#vm(vm)),
      ...(init.length === 0 ? [] : ['init {', ...init, '}']),
      ...this.#columns(),
      '',
    ].join('\n');
  }

  /** Whether an actor belongs to the processes and guests of the pages, or to none at all. */
  #fits(actor: number): boolean {
    const { kind, params } = this.#incident.plan.actors[actor] ?? { kind: 'el2', params: {} };
    if (kind === 'el2' || kind === 'driver') return false;
    if (kind === 'vcpu') return this.#vms.includes(params['vm'] ?? 0);
    return KERNEL_THREADS.has(kind) || this.#mms.includes(params['mm'] ?? 0);
  }

  /** Whether a memslot of the VM shows the page. */
  #shows(vm: number, { mm, vpn }: IncidentPage): boolean {
    const spec = this.#incident.plan.vms[vm];
    return spec?.mm === mm && spec.slots.some((slot) => vpn >= slot.vpn && vpn < slot.vpn + slot.pages);
  }

  #knobs(): string {
    const { ksmSmartScan, ksmUseZeroPages, thpEnabled, thpUseZeroPage } = this.#incident.plan.knobs;
    const { tlbBatch = true, kernelFix = 0 } = this.#incident.plan.knobs;
    // pages that are no huge ones would become such, two of them being all there is
    const enabled = this.#incident.huge ? (['never', 'madvise', 'always'] as const)[thpEnabled] : 'never';
    const ksm = `ksm_smart_scan ${Number(ksmSmartScan)}, ksm_use_zero_pages ${Number(ksmUseZeroPages)}`;
    const zero = thpUseZeroPage === true ? ', thp_use_zero_page 1' : '';
    const batch = tlbBatch ? '' : ', tlbbatch 0';
    const fix = kernelFix === 0 ? '' : `, fix ${fixName(kernelFix)}`;
    return `knobs ${ksm}, thp_enabled ${enabled}${zero}${batch}${fix}`;
  }

  #vmFlags(page: number): number {
    const where = this.#incident.pages[page];
    return (where === undefined ? undefined : mappingOf(this.#incident.plan, where))?.flags ?? VM_READ | VM_WRITE;
  }

  #flags(page: number): string {
    const flags = this.#vmFlags(page);
    return MAPPING_FLAGS.flatMap(([bit, word]) => ((flags & bit) === 0 ? [] : [word])).join(' ');
  }

  #process(mm: number): string {
    const { pages, huge } = this.#incident;
    const lines = huge
      ? [`  a: anon ${pages.length} ${this.#flags(0)}`]
      : pages.flatMap((page, i) => (page.mm === mm ? [`  ${NAMES[i]}: anon 1 ${this.#flags(i)}`] : []));
    return [`process ${this.#processName(mm)} {`, ...lines, '}'].join('\n');
  }

  #processName = (mm: number): string => PROCESSES[this.#mms.indexOf(mm)] ?? 'A';

  #vmName = (vm: number): string => VMS[this.#vms.indexOf(vm)] ?? 'G';

  #vm(vm: number): string {
    const { plan, pages, huge } = this.#incident;
    const { mm, protected: isProtected, vcpus } = plan.vms[vm] as (typeof plan.vms)[number];
    const slots = huge
      ? [`  slot 0: gfn 0 pages ${pages.length} at a`]
      : pages.flatMap((page, i) => (this.#shows(vm, page) ? [`  slot ${i}: gfn ${i} pages 1 at ${NAMES[i]}`] : []));
    const used = this.#actors.flatMap((actor) => {
      const { kind, params } = plan.actors[actor] as (typeof plan.actors)[number];
      return kind === 'vcpu' && (params['vm'] ?? 0) === vm ? [1 + (params['vcpu'] ?? 0)] : [];
    });
    const count = Math.min(vcpus, Math.max(1, ...used));
    const words = `${count > 1 ? ` vcpus ${count}` : ''}${isProtected ? ' protected' : ''}`;
    return [`vm ${this.#vmName(vm)} of ${this.#processName(mm)}${words} {`, ...slots, '}'].join('\n');
  }

  /** `a`, or a half of a huge page. */
  #page = (page: number): string => (this.#incident.huge ? `a[${page}]` : (NAMES[page] as string));

  /** The pages of a range operation: all of the huge page, or one. */
  #range(pages: readonly number[]): string {
    return this.#incident.huge && pages.length > 1 ? 'a' : this.#page(pages[0] ?? 0);
  }

  #scansKsm(): boolean {
    return [...this.#options.columns.values()].some((operations) => operations.some(({ op }) => op === 'ksm_scan'));
  }

  /** How the pages stood when the columns begin. */
  #init(): string[] {
    const { plan, pages } = this.#incident;
    const { from, plain, gone = false } = this.#options;
    const states = gone ? pages.map(() => GONE) : plain ? pages.map(() => PLAIN) : statesAt(this.#incident, from);
    const ksm = this.#scansKsm();
    const merged = states.some((state) => state.merged);
    const who = (i: number): string => this.#processName((pages[i] as (typeof pages)[number]).mm);
    const lines = states.flatMap((state, i) => {
      if (!state.mapped && !state.swapped && !state.guest) return [];
      if (state.zero) return [`  ${who(i)}: read(${this.#page(i)});`];
      return [`  ${who(i)}: write(${this.#page(i)}, ${ksm || merged ? this.#content(states, i) : i + 1});`];
    });
    states.forEach(({ node, mapped, zero }, i) => {
      if (node > 0 && mapped && !zero && plan.machine.nodes > 1 && (i === 0 || !this.#incident.huge)) {
        lines.push(`  ${who(i)}: migrate(${this.#page(i)}, ${node});`);
      }
    });
    // a page that changes from round to round is not merged: the round before has seen it too
    const rounds = merged ? 3 : ksm ? 1 : 0;
    for (let i = 0; i < rounds; i++) lines.push('  ksmd: ksm_scan();');
    if (states.some((state) => state.protnone)) lines.push(`  ${this.#processName(this.#mms[0] ?? 0)}: numa_scan();`);
    states.forEach(({ guest: known, guestReadOnly, merged: shared }, i) => {
      const guest = known || this.#options.ending === true;
      const vm = this.#vms.find((each) => this.#shows(each, pages[i] as IncidentPage));
      if (!guest || vm === undefined) return;
      const reads = shared || guestReadOnly;
      const value = ksm || merged ? this.#content(states, i) : i + 1;
      lines.push(`  ${this.#vmName(vm)}: ${reads ? `guest_read(${i})` : `guest_write(${i}, ${value})`};`);
    });
    lines.push(...this.#heldPins(states));
    states.forEach(({ swapped, mapped, guest, flags }, i) => {
      if (swapped) lines.push(`  kswapd: swap_out(${this.#page(i)});`);
      else if ((guest || this.#options.ending === true) && !mapped)
        lines.push(`  ${who(i)}: madvise(${this.#page(i)}, DONTNEED);`);
      const differs = flags >= 0 && ((flags ^ this.#vmFlags(i)) & PROTECTION) !== 0;
      if (differs) lines.push(`  ${who(i)}: mprotect(${this.#page(i)}, ${protection(flags)});`);
    });
    return lines;
  }

  /** What is written to a page that ksmd looks at: equal where the pages were equal, or nothing is known of them. */
  #content(states: readonly PageState[], i: number): number {
    const content = states[i]?.content ?? -1;
    return content < 0 || this.#scansKsm() ? 1 : 1 + states.findIndex((state) => state.content === content);
  }

  /** Pins that were taken before the columns begin and are released in them, or were held all the time: the last one of each actor. */
  #heldPins(states: readonly PageState[]): string[] {
    const { columns, earlier, pins = 'told' } = this.#options;
    const lines = this.#actors.flatMap((actor) => {
      const operations = columns.get(actor) ?? [];
      const taken = new Set(operations.flatMap(({ op, pin }) => (op === 'pin_fast' ? [pin] : [])));
      const released = operations.filter(({ op, pin }) => op === 'unpin' && !taken.has(pin));
      const own = earlier.filter((operation) => operation.actor === actor);
      const gone = new Set(own.flatMap(({ op, pin }) => (op === 'unpin' ? [pin] : [])));
      const held = own.filter(
        ({ op, pin }) =>
          pins === 'told' && op === 'pin_fast' && !gone.has(pin) && !released.some((each) => each.pin === pin),
      );
      const known = (pin: number): SeenOperation | undefined =>
        own.find((operation) => operation.op === 'pin_fast' && operation.pin === pin);
      return [...released.map((operation) => known(operation.pin) ?? operation), ...held.slice(-1)].map((operation) => {
        const name = this.#pinName(operation);
        const { mm } = this.#incident.pages[operation.pages[0] ?? 0] ?? { mm: 0 };
        const page = `${this.#page(operation.pages[0] ?? 0)}${pinFlags(operation.flags)}`;
        return `  ${name} = ${this.#processName(mm)}: pin(${page});`;
      });
    });
    // held since before the last drain, by whomever
    if (
      pins === 'told' &&
      lines.length === 0 &&
      (states[0]?.pins ?? 0) > 0 &&
      this.#incident.sinceDrain?.complete === true
    ) {
      const { mm } = this.#incident.pages[0] ?? { mm: 0 };
      lines.push(`  held = ${this.#processName(mm)}: pin(${this.#page(0)}${pinFlags(DEFAULT_PIN)});`);
    }
    return lines;
  }

  #pinName({ actor, pin }: SeenOperation): string {
    const key = `${actor} ${pin}`;
    const known = this.#pins.get(key);
    if (known !== undefined) return known;
    const name = `p${this.#pins.size + 1}`;
    this.#pins.set(key, name);
    return name;
  }

  #columns(): string[] {
    const { plan } = this.#incident;
    const kinds = new Map<string, number>();
    const columns = this.#actors.map((actor) => {
      const { name: own, kind, node, params } = plan.actors[actor] as (typeof plan.actors)[number];
      // kernel threads have the names of their kind, whatever the scenario calls them
      const alike = (kinds.get(kind) ?? 0) + 1;
      kinds.set(kind, alike);
      const name = KERNEL_THREADS.has(kind) ? `${kind}${alike > 1 ? alike : ''}` : own;
      const of = this.#taskOf(kind, params);
      const cells = (this.#options.columns.get(actor) ?? []).map((operation) => this.#call(operation));
      return [`${name}${of === '' ? '' : `@${of}`}${plan.machine.nodes > 1 ? ` node ${node}` : ''}`, ...cells];
    });
    const [vm] = this.#vms;
    if (this.#options.ending === true && vm !== undefined) {
      columns.splice(0, columns.length);
      columns.push([`closer@${this.#processName(this.#mms[0] ?? 0)}`, `destroy_vm(${this.#vmName(vm)})`]);
      columns.push(['other@Z', `write(z, ${this.#values++})`]);
    }
    const height = Math.max(...columns.map((column) => column.length));
    return Array.from({ length: height }, (_, row) => `${columns.map((cells) => cells[row] ?? '').join(' | ')} ;`);
  }

  #taskOf(kind: string, params: Readonly<Record<string, number>>): string {
    if (kind === 'vcpu') {
      const vcpu = params['vcpu'] ?? 0;
      return `${this.#vmName(params['vm'] ?? 0)}${vcpu === 0 ? '' : `.${vcpu}`}`;
    }
    return KERNEL_THREADS.has(kind) ? '' : this.#processName(params['mm'] ?? 0);
  }

  #call(operation: SeenOperation): string {
    const [first = 0] = operation.pages;
    switch (operation.op) {
      case 'guest_read':
        return `guest_read(${first})`;
      case 'guest_write':
        return `guest_write(${first}, ${this.#value(operation)})`;
      case 'read':
        return `read(${this.#page(first)})`;
      case 'write':
        return `write(${this.#page(first)}, ${this.#value(operation)})`;
      case 'pin_fast':
        return `${this.#pinName(operation)} = pin_fast(${this.#page(first)}${pinFlags(operation.flags)})`;
      case 'unpin':
        return `unpin(${this.#pinName(operation)})`;
      case 'pin_write':
        return `pin_write(${this.#pinName(operation)}, ${this.#value(operation)})`;
      case 'dontneed':
        return `madvise(${this.#range(operation.pages)}, DONTNEED)`;
      case 'collapse':
        return `madvise(${this.#range([0, 1])}, COLLAPSE)`;
      case 'mprotect':
        return `mprotect(${this.#range(operation.pages)}, ${protection(operation.flags)})`;
      case 'numa_scan':
        return 'numa_scan()';
      case 'ksm_scan':
        return 'ksm_scan()';
      case 'khugepaged_scan':
        return `khugepaged_scan(${this.#incident.huge ? 1 : this.#incident.pages.length})`;
      default:
        return `${operation.op}(${this.#page(first)})`;
    }
  }

  /** Unique for each write, unless ksmd shall find equal pages. */
  #values = 16;
  #value({ pages }: SeenOperation): number {
    return this.#scansKsm() && this.#incident.pages.length > 1 && pages.length > 0 ? 1 : this.#values++;
  }
}

const PLAIN: PageState = { ...UNKNOWN, guest: true };
const GONE: PageState = { ...PLAIN, mapped: false };
const PROTECTION = VM_READ | VM_WRITE | VM_EXEC;

/** Actors without a process. */
const KERNEL_THREADS: ReadonlySet<string> = new Set(['ksmd', 'khugepaged', 'kswapd']);

const MAPPING_FLAGS: readonly (readonly [number, string])[] = [
  [VM_READ, 'read'],
  [VM_WRITE, 'write'],
  [VM_EXEC, 'exec'],
  [VM_MERGEABLE, 'mergeable'],
  [VM_HUGEPAGE, 'hugepage'],
  [VM_NOHUGEPAGE, 'nohugepage'],
];

function pinFlags(flags: number): string {
  const set = flags === PIN_UNSEEN_FLAGS ? DEFAULT_PIN : flags;
  return [
    (set & FOLL_WRITE) === 0 ? '' : ', WRITE',
    (set & FOLL_LONGTERM) === 0 ? '' : ', LONGTERM',
    (set & FOLL_FORCE) === 0 ? '' : ', FORCE',
  ].join('');
}

function protection(flags: number): string {
  const words = MAPPING_FLAGS.slice(0, 3).flatMap(([bit, word]) => ((flags & bit) === 0 ? [] : [word]));
  return words.length === 0 ? 'read' : words.join(', ');
}
