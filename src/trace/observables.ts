/**
 * Operators on event batches. They take `simulation.events$` or `merged$`:
 *
 *     simulation.events$.pipe(byActor('vcpu0'), ofType('stage2_unmap')).subscribe((e) => console.log(e.gfn, e.pinned));
 *     simulation.events$.pipe(inRange({ vm: 0, gfn: [16, 24] }), sampleEvery(100), ofType()).subscribe(console.log);
 *     simulation.events$.pipe(ratePerSecond()).subscribe(console.log);
 *
 * `inRange` (range.ts), `sampleEvery` and `ratePerSecond` take single events, after `ofType`, as well.
 */
import {
  type MonoTypeOperatorFunction,
  Observable,
  type OperatorFunction,
  type SchedulerLike,
  asyncScheduler,
} from 'rxjs';
import { EVENT, type EventName } from '../events/table.js';
import { EventBatch } from './batch.js';
import type { PinfallEvent, PinfallEventOf } from './event.js';

/** Each event of the named types as an object of its type, which may be kept. No names: every event. */
export function ofType<Name extends EventName>(...names: Name[]): OperatorFunction<EventBatch, PinfallEventOf<Name>> {
  const wanted = wantedTypes(names);
  return (batches) =>
    new Observable((subscriber) =>
      batches.subscribe({
        next(batch) {
          for (let i = 0; i < batch.length && !subscriber.closed; i++) {
            if (wanted[batch.type(i)] !== true) continue;
            const event: PinfallEvent | undefined = batch.event(i);
            // its type is one of the wanted names
            if (event !== undefined) subscriber.next(event as PinfallEventOf<Name>);
          }
        },
        error: (error: unknown) => subscriber.error(error),
        complete: () => subscriber.complete(),
      }),
    );
}

/** The events of some actors, by name or number, as batches of their own memory, which may be kept. */
export function byActor(...actors: (string | number)[]): MonoTypeOperatorFunction<EventBatch> {
  return (batches) =>
    new Observable((subscriber) => {
      const resolved = new Map<readonly string[], boolean[]>();
      return batches.subscribe({
        next(batch) {
          let wanted = resolved.get(batch.actorNames);
          if (wanted === undefined) {
            try {
              wanted = wantedActors(actors, batch.actorNames);
            } catch (error) {
              subscriber.error(error);
              return;
            }
            resolved.set(batch.actorNames, wanted);
          }
          const kept = batch.select((i) => wanted?.[batch.actor(i)] === true);
          if (kept !== undefined) subscriber.next(kept);
        },
        error: (error: unknown) => subscriber.error(error),
        complete: () => subscriber.complete(),
      });
    });
}

/** Per interval: events per second, of batches or of single events. Emits at each interval's end, also when none came. */
export function ratePerSecond(
  intervalMs = 1000,
  scheduler: SchedulerLike = asyncScheduler,
): OperatorFunction<EventBatch | PinfallEvent, number> {
  return (source) =>
    new Observable((subscriber) => {
      let count = 0;
      let since = scheduler.now();
      subscriber.add(
        scheduler.schedule(function (this: { schedule(state?: unknown, delay?: number): unknown }) {
          const now = scheduler.now();
          const elapsed = now - since;
          subscriber.next(elapsed > 0 ? (count * 1000) / elapsed : 0);
          count = 0;
          since = now;
          this.schedule(undefined, intervalMs);
        }, intervalMs),
      );
      subscriber.add(
        source.subscribe({
          next(value) {
            count += value instanceof EventBatch ? value.length : 1;
          },
          error: (error: unknown) => subscriber.error(error),
          complete: () => subscriber.complete(),
        }),
      );
    });
}

/**
 * The first event and every `n`-th after it, of batches (as batches of their own memory) or of single events.
 * @throws RangeError unless `n` is a whole number of at least 1
 */
export function sampleEvery(n: number): <T extends EventBatch | PinfallEvent>(source: Observable<T>) => Observable<T> {
  if (!Number.isSafeInteger(n) || n < 1) {
    throw new RangeError(`sampleEvery: expected a whole number of at least 1, got ${String(n)}`);
  }
  return <T extends EventBatch | PinfallEvent>(source: Observable<T>) =>
    new Observable<T>((subscriber) => {
      let seen = 0;
      return source.subscribe({
        next(value) {
          if (value instanceof EventBatch) {
            const kept = value.select(() => seen++ % n === 0);
            // a batch came, so T is a batch
            if (kept !== undefined) subscriber.next(kept as T);
          } else if (seen++ % n === 0) subscriber.next(value);
        },
        error: (error: unknown) => subscriber.error(error),
        complete: () => subscriber.complete(),
      });
    });
}

function wantedTypes(names: readonly EventName[]): boolean[] {
  const wanted = Array.from({ length: 256 }, () => names.length === 0);
  for (const name of names) {
    const type: number | undefined = EVENT[name];
    if (type === undefined) throw new RangeError(`events: no type is called ${name}`);
    wanted[type] = true;
  }
  return wanted;
}

function wantedActors(actors: readonly (string | number)[], names: readonly string[]): boolean[] {
  const wanted: boolean[] = [];
  for (const actor of actors) {
    const number = typeof actor === 'number' ? actor : names.indexOf(actor);
    if (number < 0) throw new RangeError(`events: no actor is called ${actor}; there are ${names.join(', ')}`);
    wanted[number] = true;
  }
  return wanted;
}
