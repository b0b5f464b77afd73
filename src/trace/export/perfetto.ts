/**
 * Chrome trace events (the JSON that ui.perfetto.dev and chrome://tracing open). A thread for each actor; the time is Lamport time, a
 * microsecond a tick.
 *
 *   slices     faults and notifier windows, nested; locks held, as asynchronous slices, since locks need not nest
 *   flows      a hypercall from the CPU that posts it to the EL2 instance that has served it
 *   counters   faults, notifiers and stage-2 unmaps of each stretch of time
 *   instants   all other events, with their arguments
 */
import { closeSync, openSync, writeSync } from 'node:fs';
import { EVENT } from '../../events/table.js';
import { RECORD_ARGS, RECORD_TIME_HIGH, RECORD_TYPE, RECORD_WORDS, TWO_32 } from '../../events/record.js';
import { lockClass } from '../../locks/classes.js';
import { LATENCIES } from '../../machine/stats.js';
import type { EventBatch } from '../batch.js';
import { mechanismName } from '../../machine/mechanisms.js';
import { EVENT_TYPES, argumentValue, eventName } from '../event.js';
import type { EventFile } from './sink.js';

/** Ticks that a counter's value is about. */
const COUNTER_TICKS = 1000;
const PID = 1;
const CHUNK_CHARS = 1 << 16;

const COUNTERS: Readonly<Record<number, string>> = {
  [EVENT.fault]: 'faults',
  [EVENT.stage2_fault]: 'stage-2 faults',
  [EVENT.notifier_start]: 'notifiers',
  [EVENT.stage2_unmap]: 'stage-2 unmaps',
  [EVENT.ksm_merge]: 'KSM merges',
  [EVENT.migrate]: 'migrations',
};

/** A slice that has begun and not ended. */
interface Open {
  readonly kind: string;
  readonly name: string;
}

/** Turns records into trace events; a consumer gets each as one line of JSON. */
class Translator {
  readonly #emit: (event: Record<string, unknown>) => void;
  /** Open slices by actor, the outermost first; and the held locks. */
  readonly #open: Open[][];
  readonly #locks = new Map<string, string>();
  /** Hypercalls posted and not served yet: flow ids by function and argument. */
  readonly #posted = new Map<string, number[]>();
  readonly #counts = new Map<string, number>();
  /** The newest time of each actor: a lane's time does not go back. */
  readonly #times: number[];
  #stretch = 0;
  #flows = 0;
  #last = 0;

  constructor(actorNames: readonly string[], emit: (event: Record<string, unknown>) => void) {
    this.#emit = emit;
    this.#open = actorNames.map(() => []);
    this.#times = actorNames.map(() => 0);
    emit({ ph: 'M', name: 'process_name', pid: PID, tid: 0, args: { name: 'pinfall' } });
    actorNames.forEach((name, actor) => {
      emit({ ph: 'M', name: 'thread_name', pid: PID, tid: actor + 1, args: { name } });
      emit({ ph: 'M', name: 'thread_sort_index', pid: PID, tid: actor + 1, args: { sort_index: actor } });
    });
  }

  record(records: Int32Array, index: number): void {
    const at = index * RECORD_WORDS;
    const kind = records[at + RECORD_TYPE] as number;
    const type = kind & 255;
    const actor = kind >>> 8;
    const open = this.#open[actor];
    if (open === undefined) return;
    const stamp = (records[at + RECORD_TIME_HIGH] as number) * TWO_32 + ((records[at] as number) >>> 0);
    const ts = Math.max(stamp, this.#times[actor] as number);
    this.#times[actor] = ts;
    this.#last = Math.max(this.#last, ts);
    this.#count(type, ts);
    const arg = (n: number): number => records[at + RECORD_ARGS + n] as number;
    const where = { pid: PID, tid: actor + 1, ts };
    switch (type) {
      case EVENT.notifier_start:
        this.#begin(
          open,
          where,
          'notifier',
          `invalidate_range (${mechanismName(arg(3))})`,
          argumentsOf(records, at, type),
        );
        return;
      case EVENT.notifier_end:
        this.#end(open, where, 'notifier', {});
        return;
      case EVENT.sched_operation: {
        const name = LATENCIES[arg(0) - 1] ?? `operation ${arg(0)}`;
        if (arg(1) !== 0) this.#begin(open, where, name, name, {});
        else this.#end(open, where, name, {});
        return;
      }
      case EVENT.lock_acquire:
        this.#lock(where, actor, arg(0), arg(1), true);
        return;
      case EVENT.lock_release:
        this.#lock(where, actor, arg(0), arg(1), false);
        return;
      case EVENT.message:
        this.#post(where, `${arg(1)} ${arg(2)}`);
        return;
      case EVENT.hypercall:
        this.#serve(where, `${arg(0)} ${arg(1)}`, argumentsOf(records, at, type));
        return;
      default:
        this.#emit({
          ph: 'i',
          s: 't',
          name: eventName(type),
          cat: 'event',
          ...where,
          args: argumentsOf(records, at, type),
        });
    }
  }

  /** Ends what is open. */
  finish(): void {
    this.#flush();
    this.#open.forEach((open, actor) => {
      for (; open.length > 0; open.pop()) this.#emit({ ph: 'E', pid: PID, tid: actor + 1, ts: this.#times[actor] });
    });
    for (const [id, name] of this.#locks) {
      const tid = Number(id.split('.')[0]) + 1;
      this.#emit({ ph: 'e', cat: 'lock', id, name, pid: PID, tid, ts: this.#times[tid - 1] });
    }
    this.#locks.clear();
  }

  #begin(open: Open[], where: object, kind: string, name: string, args: object): void {
    open.push({ kind, name });
    this.#emit({ ph: 'B', name, cat: kind, ...where, args });
  }

  /** Ends the innermost slice of that kind, and any that an unnoticed end has left open inside it. */
  #end(open: Open[], where: object, kind: string, args: object): void {
    if (!open.some((slice) => slice.kind === kind)) return;
    for (;;) {
      const slice = open.pop();
      this.#emit({ ph: 'E', ...where, args });
      if (slice === undefined || slice.kind === kind) return;
    }
  }

  #lock(where: object, actor: number, lock: number, kind: number, taken: boolean): void {
    const id = `${actor}.${lock}`;
    const name = lockClass(kind).name;
    if (taken === this.#locks.has(id)) return;
    if (taken) this.#locks.set(id, name);
    else this.#locks.delete(id);
    this.#emit({ ph: taken ? 'b' : 'e', cat: 'lock', id, name, ...where });
  }

  #post(where: object, call: string): void {
    const id = ++this.#flows;
    const waiting = this.#posted.get(call);
    if (waiting === undefined) this.#posted.set(call, [id]);
    else waiting.push(id);
    this.#emit({ ph: 'X', name: 'hypercall', cat: 'message', dur: 1, ...where });
    this.#emit({ ph: 's', name: 'hypercall', cat: 'message', id, ...where });
  }

  #serve(where: object, call: string, args: object): void {
    this.#emit({ ph: 'X', name: 'handle hypercall', cat: 'message', dur: 1, ...where, args });
    const id = this.#posted.get(call)?.shift();
    if (id !== undefined) this.#emit({ ph: 'f', bp: 'e', name: 'hypercall', cat: 'message', id, ...where });
  }

  #count(type: number, ts: number): void {
    const stretch = Math.floor(ts / COUNTER_TICKS);
    if (stretch > this.#stretch) {
      this.#flush();
      this.#stretch = stretch;
    }
    const counter = COUNTERS[type];
    if (counter !== undefined) this.#counts.set(counter, (this.#counts.get(counter) ?? 0) + 1);
  }

  #flush(): void {
    const ts = this.#stretch * COUNTER_TICKS;
    for (const [name, value] of this.#counts) {
      this.#emit({ ph: 'C', name: `${name} per ${COUNTER_TICKS} ticks`, pid: PID, tid: 0, ts, args: { value } });
      // a counter keeps its value until it is told another
      this.#counts.set(name, 0);
    }
  }
}

/** The arguments by name. */
function argumentsOf(records: Int32Array, at: number, type: number): Record<string, unknown> {
  const args: Record<string, unknown> = {};
  (EVENT_TYPES[type]?.args ?? []).forEach(({ name, kind, spare }, n) => {
    const word = records[at + RECORD_ARGS + n] as number;
    if (!spare || word !== 0) args[name] = argumentValue(kind, word);
  });
  return args;
}

/** Writes events as they come. */
export class PerfettoFile implements EventFile {
  readonly path: string;
  events = 0;
  error: Error | undefined;
  readonly #fd: number;
  readonly #translator: Translator;
  #text = '{"displayTimeUnit":"ms","traceEvents":[';
  #comma = '\n';

  /** Creates the file, or empties it. Throws what the file system says. */
  constructor(path: string, actorNames: readonly string[]) {
    this.path = path;
    this.#fd = openSync(path, 'w');
    this.#translator = new Translator(actorNames, (event) => {
      this.#text += this.#comma + JSON.stringify(event);
      this.#comma = ',\n';
      if (this.#text.length > CHUNK_CHARS) this.#flush();
    });
  }

  write({ records, first, length }: EventBatch): void {
    this.writeRecords(records, first, length);
  }

  /** Appends `count` records from record `first` on, in the order they stand in. */
  writeRecords(records: Int32Array, first: number, count: number): void {
    for (let i = first; i < first + count && this.error === undefined; i++) this.#translator.record(records, i);
    if (this.error === undefined) this.events += count;
  }

  /** Ends the file. Throws the first failure, if there was one. */
  close(): void {
    this.#translator.finish();
    this.#text += '\n]}\n';
    this.#flush();
    closeSync(this.#fd);
    if (this.error !== undefined) throw this.error;
  }

  #flush(): void {
    const bytes = Buffer.from(this.#text, 'utf8');
    this.#text = '';
    if (this.error !== undefined) return;
    try {
      for (let done = 0; done < bytes.length;) done += writeSync(this.#fd, bytes, done);
    } catch (error) {
      this.error = error instanceof Error ? error : new Error(String(error));
    }
  }
}
