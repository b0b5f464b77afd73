/**
 * The diagrams of twenty historical bugs, each beside the two columns of its commit message in our own words: who knows the commit must
 * recognise it. `npm run diagrams:update` draws them again after a change of the kernel or of what is drawn; read what has changed.
 */
import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { drawnBug, zooBugs } from '#src/lab/zoo/zoo.js';

const FOLDER = fileURLToPath(new URL('diagrams/', import.meta.url));
/** What stands below is drawn. */
const DRAWN = '\nAs pinfall draws it:\n\n';
const IDS = readdirSync(FOLDER)
  .filter((name) => name.endsWith('.txt'))
  .map((name) => name.replace('.txt', ''));
const UPDATES = process.env['UPDATE_DIAGRAMS'] === '1';

/** The first find of the portfolio, made small. What says which step of the run it was changes with every change of the kernel. */
async function drawn(id: string): Promise<string> {
  const [bug] = zooBugs([id]);
  if (bug === undefined) throw new Error(`no bug ${id}`);
  return ((await drawnBug(bug)) ?? 'not found\n').replace(/, time \d+/, '');
}

describe('diagrams of historical bugs', () => {
  it('are twenty', () => {
    expect(IDS).toHaveLength(20);
  });

  it.each(IDS)('%s', async (id) => {
    const path = `${FOLDER}${id}.txt`;
    const text = readFileSync(path, 'utf8');
    const [told = '', was = ''] = text.split(DRAWN);
    const now = await drawn(id);
    if (UPDATES) writeFileSync(path, `${told.trimEnd()}\n${DRAWN}${now}`);
    else expect(now, 'npm run diagrams:update draws it again').toBe(was);
    const lines = `${told}\n${now}`.split('\n');
    expect(Math.max(...lines.map(({ length }) => length))).toBeLessThanOrEqual(80);
    // the rule, and a bug that is a race has both of its sides
    expect(now).toMatch(/\n {2}\*\*\* I-[A-Z0-9-]+: /);
  });
});
