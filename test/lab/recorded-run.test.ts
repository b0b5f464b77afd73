/** A recorded run read back: the same events, in bounded memory, and nothing but events. */
import { readFileSync, readdirSync, readlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { firstValueFrom, lastValueFrom, take, toArray } from 'rxjs';
import { describe, expect, it } from 'vitest';
import { EventLog } from '#src/events/record.js';
import { EVENT } from '#src/events/table.js';
import { InputError, Simulation, fromFile, ofType, byActor, sampleEvery } from '#src/index.js';
import { eventJsonSchema } from '#src/trace/export/ndjson-schema.js';
import { NdjsonFile, formatNdjson } from '#src/trace/export/ndjson.js';
import { temporaryFolder } from './recordings.js';
import { TINY, scenarioFile } from './tiny.js';
import { validator } from '../helpers/validator.js';

const fileOf = (text: string | Buffer): string => {
  const path = join(temporaryFolder(), 'events.ndjson');
  writeFileSync(path, text);
  return path;
};

const RECORDED = 6000;

/** A short run of everybody, written as it goes. */
async function recorded(): Promise<{ path: string; events: number }> {
  const path = join(temporaryFolder(), 'events.ndjson');
  const simulation = await Simulation.start({ scenario: scenarioFile(TINY), seed: 5, workers: 2 });
  const file = new NdjsonFile(path);
  const enough = new Promise<void>((resolve) => {
    simulation.merged$.subscribe((batch) => {
      const count = Math.min(batch.length, RECORDED - file.events);
      file.writeRecords(batch.records, batch.first, count, batch.actorNames);
      if (file.events === RECORDED) resolve();
    });
  });
  await enough;
  await simulation.abandon();
  file.close();
  return { path, events: file.events };
}

const real = recorded();

describe('fromFile', () => {
  it('gives a real run back, byte for byte, to every subscriber', async () => {
    const { path, events } = await real;
    const run = await fromFile(path);
    expect(run.eventCount).toBe(events);
    expect(run.actorNames).toContain('ksmd');
    const chunks: string[] = [];
    let sequence = 0;
    let disorder = 0;
    run.merged$.subscribe((batch) => {
      for (let i = 0; i < batch.length; i++) if (batch.sequence(i) !== sequence++) disorder++;
      chunks.push(formatNdjson(batch.records, batch.length, batch.actorNames, batch.first));
    });
    const unmaps = await lastValueFrom(run.events$.pipe(byActor('vmm', 'ksmd'), ofType('stage2_unmap'), toArray()));
    const lines = readFileSync(path, 'utf8').trim().split('\n');
    expect(unmaps.length).toBe(lines.filter((line) => /"actor":"(vmm|ksmd)","event":"stage2_unmap"/.test(line)).length);
    expect(await lastValueFrom(run.events$.pipe(sampleEvery(1000), ofType(), toArray()))).toHaveLength(
      Math.ceil(events / 1000),
    );
    expect(disorder).toBe(0);
    expect(chunks.join('') === readFileSync(path, 'utf8')).toBe(true);
  });

  it('holds a chunk at a time, and closes the file when nobody wants more', async () => {
    const { path } = await real;
    const isOpen = (): boolean =>
      readdirSync('/proc/self/fd').some((fd) => {
        try {
          return readlinkSync(`/proc/self/fd/${fd}`) === path;
        } catch {
          return false;
        }
      });
    const run = await fromFile(path);
    let largest = 0;
    let wasOpen = false;
    const taken = run.events$.pipe(take(2));
    await new Promise<void>((resolve) => {
      taken.subscribe({
        next(batch) {
          largest = Math.max(largest, batch.length);
          wasOpen ||= isOpen();
        },
        complete: resolve,
      });
    });
    expect(wasOpen).toBe(true);
    expect(largest).toBeLessThan(2000);
    const subscription = run.events$.subscribe();
    subscription.unsubscribe();
    while (isOpen()) await new Promise((resolve) => setTimeout(resolve, 2));
  });

  it('knows extreme values, an empty file, and names that need quoting', async () => {
    const log = new EventLog();
    log.write(EVENT.pte_change, 0, 2 ** 53 - 1, 0, -(2 ** 31), -1, 2 ** 31 - 1);
    log.write(EVENT.mark, 1, 0, -1, 0, 7, 0);
    const text = formatNdjson(log.records, log.count, ['a "b"', 'ü']);
    const run = await fromFile(fileOf(text));
    expect(run.actorNames).toEqual(['a "b"', 'ü']);
    const batch = await firstValueFrom(run.events$);
    expect(formatNdjson(batch.records, batch.length, run.actorNames)).toBe(text);
    const empty = await fromFile(fileOf(''));
    expect([empty.eventCount, await lastValueFrom(empty.events$.pipe(toArray()))]).toEqual([0, []]);
  });

  const good = '{"time":1,"actor":"a","event":"page_free","pfn":9,"order":0}\n';
  it.each([
    ['an unknown type', `${good}{"time":1,"actor":"a","event":"nothing"}\n`, /:2: .*no event type has that name/],
    [
      'a missing argument',
      '{"time":1,"actor":"a","event":"page_free","pfn":9}\n',
      /:1: order: expected .*, got nothing/,
    ],
    ['one too many', `${good}${good.replace('}', ',"x":1}')}`, /:2: unknown key "x"/],
    ['a wrong kind', good.replace('9', '"9"'), /:1: pfn: expected a (whole )?number, got "9"/],
    ['a number that no word holds', good.replace('9', '4294967296'), /:1: pfn: expected at most 2147483647/],
    ['a fraction', good.replace('9', '9.5'), /:1: pfn: expected a whole number, got 9\.5/],
    ['a negative time', good.replace('1', '-1'), /:1: time: expected at least 0/],
    ['no JSON', `${good}${good}boom\n`, /:3: expected a JSON object/],
    ['an empty line', `${good}\n${good}`, /:2: expected a JSON object/],
    ['a list', '[]\n', /:1: expected a map, got a list/],
    ['a file that is cut short', good + good.slice(0, 20), /:2: the last line does not end/],
    ['noise without lines', Buffer.alloc(200_000, 7), /:1: expected an event, got more than 4096 bytes/],
  ])('refuses %s, and says where', async (_name, text, message) => {
    const failure: unknown = await fromFile(fileOf(text)).catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(InputError);
    expect((failure as Error).message).toMatch(message);
  });

  it('refuses a file that is not there, and one that has changed since', async () => {
    await expect(fromFile('/no/such/file')).rejects.toThrow(/no such file/);
    await expect(fromFile('/')).rejects.toThrow(/a folder/);
    const path = fileOf(good);
    const run = await fromFile(path);
    writeFileSync(path, good.replace('"a"', '"b"'));
    await expect(lastValueFrom(run.events$)).rejects.toThrow(/:1: no actor "b" was there before/);
  });
});

describe('the JSON schema', () => {
  it('holds for every line of a real run, and for no other', async () => {
    const { path, events } = await real;
    const valid = validator(eventJsonSchema());
    const lines = readFileSync(path, 'utf8').trim().split('\n');
    expect(lines).toHaveLength(events);
    expect(lines.filter((line) => !valid(JSON.parse(line)))).toEqual([]);
    const line = JSON.parse(lines[0] as string) as Record<string, unknown>;
    expect(valid({ ...line, event: 'nothing' })).toBe(false);
    expect(valid({ ...line, stray: 1 })).toBe(false);
    expect(valid({ ...line, time: -1 })).toBe(false);
    expect(valid({ ...line, actor: 7 })).toBe(false);
  });
});
