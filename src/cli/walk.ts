/** `replay --step`: commands, a line each, and where they lead. */
import { createInterface } from 'node:readline';
import { InputError } from '../errors/errors.js';
import { BREAKPOINT_PARTS, type Stepper } from '../lab/replay/stepper.js';
import { onInterrupt } from './interrupt.js';
import { print, tell } from './terminal.js';

const HELP = [
  'n or Enter: a step   p: a step back   s: to the next context switch   NUMBER: to that step   q: leave',
  '/TEXT ?TEXT: to the next or last step of an actor, function, word or event of that name; / and ?: again',
  'b word|actor|event TEXT: stop there   b: what there is   d N: not any more   c r: on, or back, to where it stops',
].join('\n');

const prompt = (): void => void (process.stdin.isTTY && print(`\n${HELP}\n> `));

/** A walk under way: what was looked for last. */
class Walk {
  readonly #stepper: Stepper;
  #sought = '';

  constructor(stepper: Stepper) {
    this.#stepper = stepper;
  }

  /** Does what a line says. Returns what there is to say before the state is shown; null: the line was no command. */
  does(line: string): string | null {
    const stepper = this.#stepper;
    if (line === 'n' || line === '') stepper.goTo(stepper.at + 1);
    else if (line === 'p') stepper.goTo(stepper.at - 1);
    else if (line === 's') stepper.nextSwitch();
    else if (/^\d{1,9}$/.test(line)) stepper.goTo(Number(line));
    else if (/^[/?]/.test(line)) return this.#search(line.slice(1).trim(), line.startsWith('/') ? 1 : -1);
    else if (line === 'c' || line === 'r') return this.#goOn(line === 'c' ? 1 : -1);
    else if (line === 'b') return this.#list();
    else if (/^b\s/.test(line)) return this.#add(line);
    else if (/^d\s+\d{1,4}$/.test(line)) return this.#remove(Number(line.replace(/^d\s+/, '')));
    else return null;
    return '';
  }

  #search(text: string, by: 1 | -1): string {
    if (text !== '') this.#sought = text;
    if (this.#sought === '') return 'nothing to look for yet: /TEXT';
    return this.#stepper.search(this.#sought, by)
      ? ''
      : `no ${by > 0 ? 'later' : 'earlier'} step with '${this.#sought}'`;
  }

  #goOn(by: 1 | -1): string {
    const stepper = this.#stepper;
    if (stepper.breakpoints.length === 0) return 'no breakpoint yet: b word|actor|event TEXT';
    return stepper.toBreakpoint(by)
      ? ''
      : `no breakpoint on the way: the ${by > 0 ? 'end' : 'beginning'} of the record`;
  }

  #add(line: string): string {
    const [, part, text = ''] = /^b\s+(\S+)\s*(.*)$/.exec(line) ?? [];
    const known = BREAKPOINT_PARTS.find((each) => each === part);
    if (known === undefined || text === '')
      return `expected 'b word TEXT', 'b actor NAME' or 'b event NAME', got '${line}'`;
    this.#stepper.addBreakpoint(known, text);
    return this.#list();
  }

  #list(): string {
    const lines = this.#stepper.breakpoints.map(({ part, text }, i) => `${i + 1}: ${part} ${text}`);
    return lines.length === 0 ? 'no breakpoint' : lines.join('\n');
  }

  #remove(number: number): string {
    const { breakpoints } = this.#stepper;
    if (number < 1 || number > breakpoints.length) return `no breakpoint ${number}`;
    breakpoints.splice(number - 1, 1);
    return this.#list();
  }
}

/** Reads commands from standard input until there are no more, or one says that it is enough. */
export async function walk(stepper: Stepper): Promise<void> {
  const show = (): void => void print(`${stepper.describe().join('\n')}\n`);
  const walker = new Walk(stepper);
  show();
  prompt();
  const lines = createInterface({ input: process.stdin });
  onInterrupt(() => lines.close(), 'left');
  for await (const each of lines) {
    const line = each.trim();
    if (line === 'q') break;
    let said: string | null;
    const before = stepper.at;
    try {
      said = walker.does(line);
    } catch (error) {
      if (!(error instanceof InputError)) throw error;
      said = error.message;
    }
    if (said === null) {
      tell(`${HELP}\n`);
      continue;
    }
    print(said === '' ? '\n' : `\n${said}\n`);
    if (said === '' || stepper.at !== before) show();
    prompt();
  }
  stepper.close();
}
