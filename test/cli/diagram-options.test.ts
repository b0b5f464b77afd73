import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { ROOT, start } from './run.js';
import { PINS } from '../lab/litmus-texts.js';
import { temporaryFolder } from '../lab/recordings.js';

describe('--format, --actor, --out', () => {
  const folder = temporaryFolder();
  const cli = (...args: string[]) =>
    start(process.execPath, [join(ROOT, 'dist/src/cli/main.js'), ...args], { INIT_CWD: folder }, folder).done;
  const explain = ['explain', 'pins.litmus', '--outcome', 'I-PINNED-S2', '--strategy', 'random'];

  it('draws what explain finds and replay runs again, in each form', async () => {
    writeFileSync(join(folder, 'pins.litmus'), PINS);
    const svg = await cli(...explain, '--format', 'svg', '--out', 'race.svg', '--schedule', 'race.schedule');
    expect(svg).toMatchObject({ code: 0, err: '', out: expect.stringContaining('pinfall explain') });
    expect(readFileSync(join(folder, 'race.svg'), 'utf8')).toMatch(/^<svg [\s\S]*<\/svg>\n$/);
    const [mermaid, json, alone] = await Promise.all([
      cli('replay', 'race.schedule', '--format', 'mermaid'),
      cli('replay', 'race.schedule', '--format', 'svg', '--json'),
      cli('replay', 'race.schedule', '--actor', 'cpu0'),
    ]);
    expect(mermaid).toMatchObject({ code: 1, out: expect.stringMatching(/^sequenceDiagram\n {2}participant /) });
    expect(JSON.parse(json.out).diagram).toMatch(/^<svg /);
    expect(alone.out).toMatch(/\n {2}cpu0\n {2}----\n[\s\S]*\.\.\. \(.+: \d+ steps?\)/);
  });

  it('refuses names that are none with one line', async () => {
    writeFileSync(join(folder, 'pins.litmus'), PINS);
    const [actor, form] = await Promise.all([
      cli(...explain, '--actor', 'cpu9', '--out', 'none.svg'),
      cli(...explain, '--format', 'png'),
    ]);
    expect(actor).toMatchObject({ code: 2, out: '' });
    expect(actor.err).toMatch(/^[^\n]*--actor: no 'cpu9'; expected one of cpu0[^\n]*\n$/);
    expect(form).toMatchObject({ code: 2, out: '' });
    expect(form.err).toMatch(/^[^\n]*--format: no 'png'; expected one of text, mermaid, svg\n$/);
    expect(existsSync(join(folder, 'none.svg'))).toBe(false);
  });
});
