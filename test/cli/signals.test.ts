/** Signals, from the first moment on. The process sends them to itself, so that they come at a moment that is known. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { MAIN, start } from './run.js';

const dir = mkdtempSync(join(tmpdir(), 'pinfall-signals-'));
afterAll(() => rmSync(dir, { recursive: true }));
const file = (name: string, text: string): string => {
  writeFileSync(join(dir, name), text);
  return join(dir, name);
};

/** As soon as somebody listens. */
const AT_ONCE = file(
  'at-once.mjs',
  `const on = process.on;
let sent = false;
process.on = function (name, listener) {
  const self = on.call(this, name, listener);
  if (name === 'SIGHUP' && !sent) {
    sent = true;
    process.kill(process.pid, 'SIGTERM');
  }
  return self;
};
`,
);
/** After a while: somewhere in the middle of what takes longer than that. */
const LATER = file(
  'later.mjs',
  `import { isMainThread } from 'node:worker_threads';
if (isMainThread) setTimeout(() => process.kill(process.pid, 'SIGINT'), 1500).unref();
`,
);

const pinfall = (signal: string, ...args: string[]) =>
  start(process.execPath, ['--import', signal, MAIN, ...args], {}, dir).done;

/** Three columns that meet at one page all the time: more orders than there is time for. */
const LONG = file(
  'long.litmus',
  `litmus long\n"no end"\nprocess A { a: anon 1 read write }\ncpu0@A | cpu1@A | cpu2@A ;\n${'write(a, 1) | write(a, 1) | write(a, 1) ;\n'.repeat(9)}sometimes (content(a) == 7)\n`,
);

describe('a signal in the first moment', () => {
  it.each([['stress'], ['explore'], ['compare'], ['dashboard', '--port', '0'], ['zoo', 'run'], ['tune'], ['list']])(
    '%s: there is nothing yet, or a report of that little',
    async (...args) => {
      const { code, out, err } = await pinfall(AT_ONCE, ...args);
      // Node 24 delivers it some turns later: what has begun by then ends at once, with a report of what there is
      if (out !== '') {
        expect([0, 4]).toContain(code);
        return;
      }
      expect(code).toBe(4);
      expect(err).toMatch(/^\npinfall: stopped; there is nothing to report yet\n$/);
    },
  );
});

describe('a signal in the middle, and no violation', () => {
  it.each([
    ['litmus', LONG, '--json'],
    ['litmus', LONG, '--threads', '--budget', '10m', '--json'],
    ['explain', LONG, '--outcome', '(content(a) == 7)', '--json'],
    ['zoo', 'run', 'Z04', '--strategies', 'dfs', '--seeds', '1000', '--schedules', '1', '--json'],
  ])('%s %s %s', async (...args) => {
    const { code, out } = await pinfall(LATER, ...args);
    expect(code).toBe(4);
    if (out !== '') expect(JSON.parse(out)).toMatchObject({ ok: false });
  });

  it('zoo run --threads ends', async () => {
    // no schedule finds it: only threads are left, for an hour
    const args = [
      'zoo',
      'run',
      'Z04',
      '--strategies',
      'dfs',
      '--schedules',
      '1',
      '--exhaustive',
      '50ms',
      '--threads',
      '1h',
    ];
    const { code, out } = await pinfall(LATER, ...args, '--json');
    expect([0, 4]).toContain(code);
    if (out !== '') expect(JSON.parse(out)).toMatchObject({ command: 'zoo' });
  });

  it('a dashboard gives its report', async () => {
    const { code, out } = await pinfall(LATER, 'dashboard', 'two-processes', '--port', '0', '--json');
    expect([0, 4]).toContain(code);
    if (out !== '') expect(JSON.parse(out)).toMatchObject({ command: 'dashboard', end: { kind: 'interrupted' } });
  });
});
