/**
 * Schedule files: who ran, step by step, with what is needed to run it again. Plain text, made to be read, mailed and
 * pasted; `replay` takes it, and refuses anything else with the line and what was expected there.
 *
 *     pinfall.schedule/1
 *     scenario: pin-vs-write-protect-buggy
 *     policy: classic
 *     seed: 7
 *     variation: 0
 *     strategy: pct
 *     hash: 5b2c01d9
 *     steps_max: 10000
 *     end: violation I-RO
 *     breaks: I-RO
 *     steps: 21
 *     actors: ksmd gup vcpu
 *
 *     0*6 1*3 0*12
 *
 * The last part lists actors by number, each with the steps it runs in a row. `hash` is that of what the scenario came to
 * (its plan): when it differs, the schedule may still fit, or stop fitting at some step. Of a litmus test the file itself follows,
 * behind a line `litmus:`.
 */
import { ScheduleSyntaxError } from '../../errors/errors.js';

const SCHEDULE_VERSION = 'pinfall.schedule/1';

export interface Schedule {
  /** A scenario's or program's name, or a scenario file's path. */
  readonly scenario: string;
  readonly policy: string;
  readonly seed: number;
  /** Which of the program's workloads: Program.reset's argument. */
  readonly variation: number;
  /** The strategy that found it. */
  readonly strategy: string;
  /** {@link hashText} of what the scenario came to; 8 hexadecimal digits. */
  readonly hash: string;
  readonly stepsMax: number;
  /** How it ends: `finished`, `violation I-RO`, ... */
  readonly end: string;
  /** The rule that it is a find of, where it is one. */
  readonly breaks?: string | undefined;
  readonly actors: readonly string[];
  /** An actor's number for each step. */
  readonly choices: Uint8Array;
  /** The text of the litmus file. */
  readonly litmus?: string | undefined;
  /** Of a file that was read: the lines before that text. */
  readonly litmusAfter?: number | undefined;
}

const STEPS_LIMIT = 100_000_000;
const LINE_WIDTH = 100;
const LITMUS_LINE = 'litmus:';

/** FNV-1a over UTF-16 units, 32 bits, as 8 hexadecimal digits. */
export function hashText(text: string): string {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return (hash >>> 0).toString(16).padStart(8, '0');
}

/** Consecutive steps of one actor. */
export interface Run {
  readonly actor: number;
  readonly steps: number;
}

/** The choices as runs: one more than the context switches. */
export function toRuns(choices: Uint8Array, length = choices.length): Run[] {
  const runs: Run[] = [];
  for (let i = 0; i < length;) {
    const actor = choices[i] as number;
    let end = i + 1;
    while (end < length && choices[end] === actor) end++;
    runs.push({ actor, steps: end - i });
    i = end;
  }
  return runs;
}

/** The runs as choices. */
export function fromRuns(runs: readonly Run[]): Uint8Array {
  const choices = new Uint8Array(runs.reduce((sum, run) => sum + run.steps, 0));
  let at = 0;
  for (const { actor, steps } of runs) {
    choices.fill(actor, at, at + steps);
    at += steps;
  }
  return choices;
}

/** The file's text; ends with a newline. */
export function formatSchedule(schedule: Schedule): string {
  const lines = [
    SCHEDULE_VERSION,
    `scenario: ${schedule.scenario}`,
    `policy: ${schedule.policy}`,
    `seed: ${schedule.seed}`,
    `variation: ${schedule.variation}`,
    `strategy: ${schedule.strategy}`,
    `hash: ${schedule.hash}`,
    `steps_max: ${schedule.stepsMax}`,
    `end: ${schedule.end}`,
    ...(schedule.breaks === undefined ? [] : [`breaks: ${schedule.breaks}`]),
    `steps: ${schedule.choices.length}`,
    `actors: ${schedule.actors.join(' ')}`,
    '',
  ];
  let line = '';
  for (const { actor, steps } of toRuns(schedule.choices)) {
    const word = steps === 1 ? String(actor) : `${actor}*${steps}`;
    if (line.length + word.length + 1 > LINE_WIDTH) {
      lines.push(line);
      line = word;
    } else {
      line = line === '' ? word : `${line} ${word}`;
    }
  }
  if (line !== '') lines.push(line);
  const { litmus } = schedule;
  if (litmus !== undefined) lines.push('', LITMUS_LINE, litmus.replace(/\r?\n$/, ''));
  return `${lines.join('\n')}\n`;
}

/** How text of a file is shown in a message: short, and nothing that a terminal would act on. */
function shown(text: string): string {
  const plain = text.slice(0, 24).replace(/[^ -~]/g, '?');
  return `'${plain}${text.length > 24 ? '...' : ''}'`;
}

/** Takes the header's lines one by one. */
class Header {
  readonly #lines: readonly string[];
  /** Lines taken. */
  at = 0;

  constructor(lines: readonly string[]) {
    this.#lines = lines;
  }

  /** Whether the next line is `key: value`: for lines that may be missing. */
  has(key: string): boolean {
    return this.#lines[this.at]?.startsWith(`${key}: `) === true;
  }

  /** The value of the next line, which must be `key: value`. */
  text(key: string, pattern: RegExp, expected: string): string {
    const line = this.#lines[this.at++] ?? '';
    const value = line.startsWith(`${key}: `) ? line.slice(key.length + 2) : undefined;
    if (value === undefined) throw new ScheduleSyntaxError(this.at, `expected '${key}: ...', got ${shown(line)}`);
    if (!pattern.test(value)) {
      throw new ScheduleSyntaxError(this.at, `${key}: expected ${expected}, got ${shown(value)}`);
    }
    return value;
  }

  number(key: string, max: number): number {
    const value = Number(this.text(key, /^\d{1,15}$/, `a whole number from 0 to ${max}`));
    if (value > max) {
      throw new ScheduleSyntaxError(this.at, `${key}: expected a whole number from 0 to ${max}, got '${value}'`);
    }
    return value;
  }
}

/**
 * Reads a schedule file.
 * @throws ScheduleSyntaxError with the line and what was expected there
 */
export function parseSchedule(text: string): Schedule {
  const lines = text.split(/\r?\n/);
  if (lines[0] !== SCHEDULE_VERSION) {
    throw new ScheduleSyntaxError(1, `expected '${SCHEDULE_VERSION}', got ${shown(lines[0] ?? '')}`);
  }
  const header = new Header(lines);
  header.at = 1;
  const scenario = header.text('scenario', /^[^\p{Cc}]{1,4096}$/u, 'a name or a path');
  const policy = header.text('policy', /^[\w.@-]{1,100}$/, 'a policy');
  const seed = header.number('seed', 0xffffffff);
  const variation = header.number('variation', 0xffffffff);
  const strategy = header.text('strategy', /^[\w.+-]{1,100}$/, 'a strategy');
  const hash = header.text('hash', /^[0-9a-f]{8}$/, '8 hexadecimal digits');
  const stepsMax = header.number('steps_max', STEPS_LIMIT);
  const end = header.text('end', /^[\x20-\x7e]{1,2000}$/, 'how the schedule ends');
  const breaks = header.has('breaks') ? header.text('breaks', /^[!-~]{1,100}$/, 'a rule') : undefined;
  const steps = header.number('steps', stepsMax);
  const actors = header.text('actors', /^[!-~]+( [!-~]+)*$/, 'names with one space between them').split(' ');
  if (actors.length > 200)
    throw new ScheduleSyntaxError(header.at, `actors: expected at most 200, got ${actors.length}`);

  const choices = new Uint8Array(steps);
  let at = 0;
  const litmusAt = lines.indexOf(LITMUS_LINE, header.at);
  for (let i = header.at, end = litmusAt < 0 ? lines.length : litmusAt; i < end; i++) {
    for (const word of (lines[i] as string).split(' ')) {
      if (word === '') continue;
      const match = /^(\d{1,3})(?:\*([1-9]\d{0,8}))?$/.exec(word);
      if (match === null || Number(match[1]) >= actors.length) {
        throw new ScheduleSyntaxError(
          i + 1,
          `expected an actor from 0 to ${actors.length - 1} or actor*steps, got ${shown(word)}`,
          (lines[i] as string).indexOf(word) + 1,
        );
      }
      const count = Number(match[2] ?? 1);
      if (at + count > steps)
        throw new ScheduleSyntaxError(i + 1, `more steps than the ${steps} that the header names`);
      choices.fill(Number(match[1]), at, at + count);
      at += count;
    }
  }
  if (at < steps) throw new ScheduleSyntaxError(lines.length, `expected ${steps} steps, got ${at}`);
  const litmus = litmusAt < 0 ? {} : { litmus: lines.slice(litmusAt + 1).join('\n'), litmusAfter: litmusAt + 1 };
  return { scenario, policy, seed, variation, strategy, hash, stepsMax, end, breaks, actors, choices, ...litmus };
}
