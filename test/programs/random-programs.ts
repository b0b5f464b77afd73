/**
 * Random litmus programs: processes, guests, set-up and columns made of all shipped operations, on policies that promise what they
 * keep, of many releases. What the language's page rules out is not made: an access through a reference that was given back, a result
 * of another column, something after exit().
 */
import fc from 'fast-check';
import { LITMUS_OPERATIONS } from '#actors/litmus/operations.js';
import type { LitmusOperation, LitmusParam } from '#actors/litmus/row.js';

/** One operation: who does it in set-up, its text, and what it needs of operations before it. */
interface Step {
  readonly by: string;
  readonly text: string;
  /** The result that it names, and the one that it uses. */
  readonly makes: string;
  readonly uses: string;
}

interface Column {
  readonly head: string;
  readonly steps: readonly Step[];
}

export interface Program {
  readonly head: string;
  readonly init: readonly Step[];
  readonly columns: readonly Column[];
}

/** Policies whose claims a correct kernel keeps: the others are there to be broken. */
const POLICIES = ['classic', 'classic', 'classic', 'pinned-notifiers', 'pkvm-2022', 'pkvm-np-upstream'] as const;
const VERSIONS = ['', '', '', '', '', '', 'v5.8', 'v5.14', 'v5.17', 'v6.0', 'v6.1', 'v6.6', 'v6.12', 'v7.2'] as const;
/** A host that misbehaves: what EL2 must stand, and the host's own books need not. */
export const BY_HAND: readonly string[] = [
  'donate',
  'reclaim_page',
  'share_hyp',
  'unshare_hyp',
  'donate_hyp',
  'forge_memcache',
];

/** Operations that wait for what another column does: a program of them alone waits for ever, and is right to. */
export const waits = ({ name }: LitmusOperation): boolean => name.startsWith('await');

interface Page {
  readonly process: string;
  readonly name: string;
  readonly pages: number;
}

interface Guest {
  readonly name: string;
  readonly process: string;
  readonly vcpus: number;
  readonly slots: readonly { readonly id: number; readonly gfn: number; readonly pages: number }[];
}

/** A reference that is not given back yet. */
interface Held {
  readonly name: string;
  readonly kind: 'pin' | 'get';
}

/** Those that an operation can be given: what a pin returned is unpinned, what a get returned is put. */
const referencesFor = (operation: string, held: readonly Held[]): readonly Held[] =>
  held.filter(({ kind }) => operation.startsWith('pin_') || kind === (operation === 'put' ? 'get' : 'pin'));

/** What one program is made of, while it is made. */
class Maker {
  readonly pages: Page[] = [];
  readonly guests: Guest[] = [];
  child = '';
  #registers = 0;
  readonly #number: (below: number) => number;
  readonly #skip: ReadonlySet<string>;

  constructor(number: (below: number) => number, skip: ReadonlySet<string>) {
    this.#number = number;
    this.#skip = skip;
  }

  number(below: number): number {
    return this.#number(below);
  }

  one<T>(of: readonly T[]): T {
    return of[this.#number(of.length)] as T;
  }

  /** One time in `n`. */
  maybe(n: number): boolean {
    return this.#number(n) === 0;
  }

  words(of: readonly string[], n: number): string {
    return of.flatMap((word) => (this.maybe(n) ? [word] : [])).join(' ');
  }

  process(name: string, isPkvm: boolean): string {
    // of one page in two places of a guest EL2 refuses the second, and (c) takes that for a lost race: Z45
    const kinds = isPkvm ? ['anon'] : ['anon', 'anon', 'anon', 'anon', 'shared obj'];
    const text = ['a', 'b'].flatMap((mapping) => {
      if (mapping === 'b' && this.maybe(2)) return [];
      const kind = this.maybe(30) ? 'pfnmap' : this.one(kinds);
      const pages = 1 + this.number(2);
      this.pages.push({ process: name, name: mapping, pages });
      const write = this.maybe(8) ? '' : 'write';
      const flags = this.words(['mergeable', 'hugepage', 'locked', 'dontcopy', 'numa-bound', 'unmapped'], 5);
      return [
        `  ${mapping}: ${kind} ${pages} read ${write} ${kind === 'anon' ? flags : flags.replace('mergeable', '')}\n`,
      ];
    });
    return `process ${name}${this.maybe(12) ? ' memlock 1' : ''} {\n${text.join('')}}\n`;
  }

  vm(name: string, process: string, policy: string): string {
    const own = this.pages.filter((page) => page.process === process);
    const slots: { id: number; gfn: number; pages: number }[] = [];
    const text = own.map(({ name: mapping, pages }, id) => {
      const gfn = 2 * id;
      slots.push({ id, gfn, pages });
      const pinned = policy === 'pinned-notifiers' && this.maybe(2) ? 'pinned ' : '';
      const flags = pinned + this.words(['read-only', 'log-dirty-pages', 'unset'], 8);
      return `  slot ${id}: gfn ${gfn} pages ${pages} at ${process}.${mapping} ${flags}\n`;
    });
    const vcpus = 1 + this.number(2);
    this.guests.push({ name, process, vcpus, slots });
    const kind = policy.startsWith('pkvm') && this.maybe(2) ? ' protected' : '';
    return `vm ${name} of ${process} vcpus ${vcpus}${kind}${this.maybe(12) ? ' unborn' : ''} {\n${text.join('')}}\n`;
  }

  page(process: string): string {
    const of = this.pages.filter((page) => process === '' || page.process === process);
    const { process: owner, name, pages } = this.one(of);
    return `${process === '' ? `${owner}.` : ''}${name}${pages > 1 ? `[${this.number(pages)}]` : ''}`;
  }

  /** An operation that `by` may do, in set-up or in a column. @param held results of references that are not given back */
  step(by: string, who: 'task' | 'vcpu' | 'any', process: string, guest: Guest | null, held: Held[]): Step | null {
    const rows = LITMUS_OPERATIONS.filter(
      (row) =>
        (row.by === 'any' || row.by === who) &&
        !waits(row) &&
        !this.#skip.has(row.name) &&
        this.#canDo(row, process, held),
    );
    // accesses as often as everything else
    const common = rows.filter(({ name }) => COMMON.has(name));
    const row = this.one(common.length > 0 && this.maybe(2) ? common : rows);
    const args = row.params
      .slice(0, this.#arity(row, process))
      .map((param) => this.#argument(row.name, param, process, guest, held));
    if (args.includes(null)) return null;
    const uses = row.params[0] === 'register' ? (args[0] as string) : '';
    const makes = row.result === 'pfn' ? `p${this.#registers++}` : '';
    const kind = row.name.startsWith('pin') ? 'pin' : 'get';
    if (row.name === 'unpin' || row.name === 'put')
      held.splice(
        held.findIndex(({ name }) => name === uses),
        1,
      );
    if (makes !== '') held.push({ name: makes, kind });
    const text = `${row.name}(${args.flatMap((arg) => (arg === '' ? [] : [arg])).join(', ')})`;
    return { by, text: makes === '' ? text : `${makes} = ${text}`, makes, uses };
  }

  #arity(row: LitmusOperation, process: string): number {
    const optional = row.optional ?? 0;
    const most = row.params.length;
    return optional > 0 && (row.params[0] !== 'process' || process !== '') && this.maybe(2) ? most - optional : most;
  }

  #canDo(row: LitmusOperation, process: string, held: readonly Held[]): boolean {
    if (row.params.includes('register')) {
      return referencesFor(row.name, held).length > 0;
    }
    if (row.name === 'fork') return this.child !== '' && process === 'A';
    return !(row.params.includes('vm') || row.params.includes('slot')) || this.guests.length > 0;
  }

  #argument(
    operation: string,
    param: LitmusParam,
    process: string,
    guest: Guest | null,
    held: readonly Held[],
  ): string | null {
    switch (param) {
      case 'page':
        return this.page(process);
      case 'range':
      case 'mapping': {
        const { name, pages } = this.one(this.pages.filter((page) => page.process === process));
        return param === 'mapping' || pages === 1 || this.maybe(2) ? name : `${name}[${this.number(pages)}]`;
      }
      case 'slot': {
        const own = this.guests.filter((each) => each.process === process);
        if (own.length === 0) return null;
        const vm = this.one(own);
        return `${vm.name}, ${this.one(vm.slots).id}`;
      }
      case 'vm': {
        const own = this.guests.filter((each) => process === '' || each.process === process);
        return own.length === 0 ? null : this.one(own).name;
      }
      case 'gfn': {
        const slot = this.one((guest ?? (this.guests[0] as Guest)).slots);
        return String(slot.gfn + this.number(slot.pages));
      }
      case 'register':
        return this.one(referencesFor(operation, held)).name;
      case 'process':
        return this.child === '' || process !== 'A' ? this.one(this.pages).process : this.child;
      case 'node':
        return String(this.number(2));
      case 'scratch':
        return String(this.number(2));
      case 'value':
        return String(this.number(3) + 1);
      case 'count':
        return String(this.number(3) + 1);
      case 'foll':
        return this.words(['WRITE', 'LONGTERM', 'FORCE', 'HONOR_NUMA_FAULT', 'HWPOISON'], 3).replaceAll(' ', ', ');
      case 'prot':
        return this.one(['none', 'read', 'read, write']);
      case 'advice':
        return this.one(ADVICE);
    }
  }
}

const COMMON = new Set(['read', 'write', 'guest_read', 'guest_write', 'pin', 'pin_fast', 'madvise']);
const ADVICE = [
  'DONTNEED',
  'DONTNEED',
  'FREE',
  'FREE',
  'REMOVE',
  'MERGEABLE',
  'UNMERGEABLE',
  'HUGEPAGE',
  'NOHUGEPAGE',
  'COLLAPSE',
] as const;
const DAEMONS = ['ksmd', 'khugepaged', 'kswapd', 'task'] as const;

/** One program. @param number a whole number below its argument */
export function makeProgram(number: (below: number) => number, skip: ReadonlySet<string> = new Set(BY_HAND)): Program {
  const make = new Maker(number, skip);
  const policy = make.one(POLICIES);
  const version = policy === 'classic' || policy === 'pinned-notifiers' ? make.one(VERSIONS) : '';
  const knobs = [
    `thp_enabled ${make.one(['never', 'madvise', 'always'])}`,
    `ksm_smart_scan ${make.number(2)}`,
    `ksm_use_zero_pages ${make.number(2)}`,
    `thp_use_zero_page ${make.number(2)}`,
    `max_ptes_none ${make.one(['511', '0'])}`,
  ];
  let head = `policy ${policy}\n${version === '' ? '' : `kernel ${version}\n`}`;
  head += `machine thp_order 1, swap ${make.number(3)}, lru_batch ${make.number(2)}\nknobs ${knobs.join(', ')}\n`;
  const isPkvm = policy.startsWith('pkvm');
  head += make.process('A', isPkvm);
  const second = make.number(4);
  if (second === 0) {
    head += 'process B;\n';
    make.child = 'B';
  } else if (second === 1) {
    head += make.process('B', isPkvm);
  }
  if (!make.maybe(4)) head += make.vm('G', 'A', policy);
  if (second === 1 && make.maybe(3)) head += make.vm('H', 'B', policy);
  if (make.maybe(12)) head += `poison A.${make.page('A')};\n`;
  if (make.maybe(8)) head += 'unpinnable 8..15;\n';

  const held: Held[] = [];
  const init: Step[] = [];
  for (let i = make.number(5); i > 0; i--) {
    const [by, who, process, guest] = actor(
      make,
      make.number(8) < 6 ? (make.maybe(3) && make.guests.length > 0 ? 2 : 0) : 3,
    );
    const step = make.step(by, who, process, guest, held);
    if (step !== null && !/exit\(|destroy_vm/.test(step.text)) init.push(step);
  }
  const vcpus = new Set<string>();
  const columns: Column[] = [];
  for (let i = 2 + make.number(2); i > 0; i--) {
    const [by, who, process, guest] = actor(make, make.number(4));
    if (who === 'vcpu' && vcpus.has(by)) continue;
    vcpus.add(by);
    const name = who === 'any' ? `${by}${i === 1 ? '' : i}` : `c${i}@${by}`;
    const steps: Step[] = [];
    const own = held.filter(() => i === 1);
    for (let j = 1 + make.number(3); j > 0; j--) {
      const step = make.step(by, who, process, guest, own);
      if (step === null) continue;
      steps.push(step);
      if (step.text.startsWith('exit(')) break;
    }
    if (steps.length > 0) columns.push({ head: `${name} node ${make.number(2)}`, steps });
  }
  return { head, init, columns };
}

function actor(
  make: Maker,
  kind: number,
): [by: string, who: 'task' | 'vcpu' | 'any', process: string, guest: Guest | null] {
  if (kind === 3) return [make.one(DAEMONS), 'any', '', null];
  if (kind === 2 && make.guests.length > 0) {
    const guest = make.one(make.guests);
    return [`${guest.name}.${make.number(guest.vcpus)}`, 'vcpu', guest.process, guest];
  }
  const { process } = make.one(make.pages);
  return [process, 'task', process, null];
}

/** A program as a litmus file. */
export function textOf({ head, init, columns }: Program): string {
  const setUp = init.map(({ by, text }) => text.replace(/^(p\d+ = )?(.*)$/, `  $1${by}: $2;\n`)).join('');
  const rows = Math.max(0, ...columns.map(({ steps }) => steps.length));
  const lines = Array.from({ length: rows }, (_, i) => columns.map(({ steps }) => steps[i]?.text ?? '').join(' | '));
  const table = [columns.map((column) => column.head).join(' | '), ...lines].map((line) => `${line} ;\n`).join('');
  return `litmus random "A random program."\n${head}${setUp === '' ? '' : `init {\n${setUp}}\n`}${table}`;
}

/** The program without one of its operations, for each of them: what needs it goes as well. */
export function smaller(program: Program): Program[] {
  const { init, columns } = program;
  const without = (drop: Step): Program => {
    const keeps = (step: Step): boolean => step !== drop && (drop.makes === '' || step.uses !== drop.makes);
    const left = columns.map(({ head, steps }) => ({ head, steps: steps.filter(keeps) }));
    return { ...program, init: init.filter(keeps), columns: left.filter(({ steps }) => steps.length > 0) };
  };
  return [...columns.flatMap(({ steps }) => steps), ...init].map(without).filter((each) => each.columns.length > 0);
}

/** Random programs. */
export const programs: fc.Arbitrary<Program> = fc
  .infiniteStream(fc.nat(0x7fffffff))
  .map((numbers) => makeProgram((below) => (numbers.next().value as number) % below));
