import { describe, expect, it } from 'vitest';
import { EventLog } from '#src/events/record.js';
import { EVENT, EVENT_TABLE } from '#src/events/table.js';
import { EVENT_TYPES } from '#src/trace/event.js';
import { HYP_GUEST_SHARE, HYP_SHARE_HYP } from '#src/hyp/hypercalls.js';
import { MECH } from '#src/machine/mechanisms.js';
import { chooseRows } from '#src/trace/diagram/diagram.js';
import { DIAGRAM_FORMATS, printDiagram } from '#src/trace/diagram/format.js';
import { phraseOf } from '#src/trace/text.js';

type Event = [time: number, actor: number, type: number, ...args: number[]];

function story(...events: Event[]): Int32Array {
  const log = new EventLog();
  for (const [time, actor, type, a = 0, b = 0, c = 0, d = 0] of events) log.write(type, actor, time, a, b, c, d);
  return log.view();
}

describe('phrases', () => {
  it.each(EVENT_TABLE.map(([name]) => name))('%s has words of its own, within a column', (name) => {
    const { text } = phraseOf(story([1, 0, EVENT[name], 1, 2, 3, 4]), 0);
    const generic = EVENT_TYPES[EVENT[name]]?.args.map((argument, n) => `${argument.name} ${n + 1}`).join(', ');
    expect(text).not.toBe(`${name}(${generic})`);
    expect(text).not.toMatch(/undefined|NaN|\[object/);
    expect(text.length).toBeLessThan(90);
  });
});

describe('titles and what matters', () => {
  it('names a CPU once, a task beside its CPU, daemons alone', () => {
    const events = [0, 1, 2, 3].map((actor): Event => [actor + 1, actor, EVENT.page_unpin, 0x40, 1]);
    const { actors } = chooseRows(story(...events), ['cpu0', 'vmm', 'ksmd', 'el2']);
    expect(actors.map(({ title }) => title)).toEqual(['cpu0', 'cpu1 (vmm)', 'ksmd', 'el2']);
  });

  it('counts hypercalls about the page, forks and swaps; not those about others, nor locks', () => {
    const records = story(
      [1, 0, EVENT.stage2_map, 0, 8, 0x40, 1],
      [2, 0, EVENT.hypercall, HYP_SHARE_HYP, 0x40],
      [3, 0, EVENT.hypercall, HYP_SHARE_HYP, 0x41],
      [4, 1, EVENT.hypercall, HYP_GUEST_SHARE, 8],
      [5, 1, EVENT.hypercall, HYP_GUEST_SHARE, 9],
      [6, 1, EVENT.lock_acquire, 0x40, 4, 0],
      [7, 0, EVENT.fork, 0, 1, 0],
      [8, 0, EVENT.swap_out, 0, 3, 0x40, 2],
    );
    const { rows } = chooseRows(records, ['cpu0', 'vcpu0'], { focus: { pfn: 0x40 } });
    expect(rows.map(({ time }) => time)).toEqual([1, 2, 4, 7, 8]);
  });
});

describe('one actor alone', () => {
  it('shows all its steps, and how many the others did before, between and after', () => {
    const records = story(
      [2, 0, EVENT.anon_map, 0, 5, 0x40, 0],
      [3, 1, EVENT.anon_map, 0, 6, 0x41, 0],
      [6, 0, EVENT.anon_map, 0, 7, 0x42, 0],
    );
    const marks = [
      { time: 7, actor: 0, text: 'marked', note: 'n' },
      { time: 5, actor: 1, text: 'not mine', note: '' },
    ];
    const choices = [1, 0, 1, 1, 2, 0, 0, 1];
    const projection = { actor: 0, choices };
    const diagram = chooseRows(records, ['cpu0', 'cpu1', 'ksmd'], { projection, marks, focus: { pfn: 0x40 } });
    expect(printDiagram(diagram, 'text')).toBe(
      [
        '  cpu0',
        '  ----',
        '  ... (cpu1: 1 step)',
        '  do_anonymous_page(0x5): pfn 0x40',
        '  ... (cpu1: 2 steps, ksmd: 1 step)',
        '  do_anonymous_page(0x7): pfn 0x42',
        '  marked   <-- n',
        '  ... (cpu1: 1 step)',
        '',
      ].join('\n'),
    );
  });
});

describe('marks', () => {
  it('stand as deep as their actor is nested then', () => {
    const records = story(
      [1, 0, EVENT.notifier_start, 0, 5, 6, MECH.zap],
      [4, 0, EVENT.notifier_end, 0, 5, 6, MECH.zap],
    );
    const marks = [2, 5].map((time) => ({ time, actor: 0, text: `mark ${time}`, note: '' }));
    const lines = chooseRows(records, ['cpu0'], { marks }).rows.flatMap(({ cells }) =>
      cells.flatMap((cell) => cell.lines),
    );
    expect(lines.map(({ indent, text }) => `${indent} ${text}`)).toEqual([
      '0 zap_page_range_single()',
      '1 invalidate_range_start(0x5)',
      '1 mark 2',
      '1 invalidate_range_end(0x5)',
      '0 mark 5',
    ]);
  });
});

describe('forms', () => {
  const nasty = 'a;b #1 <tag> & "quoted"';
  const diagram = {
    actors: [
      { actor: 0, title: `cpu0 (${nasty})` },
      { actor: 1, title: 'ksmd' },
    ],
    rows: [
      { time: 1, cells: [{ actor: 0, lines: [{ indent: 1, text: `${nasty} ${'x'.repeat(90)}`, note: nasty }] }] },
      { time: 2, cells: [{ actor: 1, lines: [{ indent: 0, text: 'ends', note: '' }] }] },
    ],
    earlier: 3,
    otherActors: ['cpu2'],
    verdict: `I-X: ${nasty} ${'long words '.repeat(40)}`,
  };

  it.each(DIAGRAM_FORMATS)(
    '%s ends with a newline, whatever the words, and has something to print for nothing',
    (form) => {
      expect(printDiagram(diagram, form).endsWith('\n')).toBe(true);
      const none = { actors: [], rows: [], earlier: 0, otherActors: [], verdict: '' };
      expect(printDiagram(none, form)).toMatch(/\S/);
    },
  );

  it.each(DIAGRAM_FORMATS)('%s says what is left out, and what else a reader must know', (form) => {
    const text = printDiagram({ ...diagram, remarks: ['17 events of its worker are overwritten'] }, form);
    for (const words of ['3 earlier steps', 'left out: cpu2', '17 events of its worker are overwritten']) {
      expect(text).toContain(words);
    }
  });

  it('Mermaid: no sign of its own is left in the words', () => {
    for (const line of printDiagram(diagram, 'mermaid').trim().split('\n').slice(1)) {
      const words = line.replace(/#(?:\d+|[a-z]+);/g, '').replaceAll('<br/>', '');
      expect(words).not.toMatch(/[#;<>&]/);
    }
  });

  it('SVG: well formed, dark too, columns beside each other, the verdict within the picture', () => {
    const svg = printDiagram(diagram, 'svg');
    expect(svg).toContain('prefers-color-scheme: dark');
    const width = Number(/ width="(\d+)"/.exec(svg)?.[1]);
    const height = Number(/ height="([\d.]+)"/.exec(svg)?.[1]);
    const second = Number(/<text x="([\d.]+)"[^>]*>ends</.exec(svg)?.[1]);
    for (const [, kind, x, y, text = ''] of svg.matchAll(
      /<text(?: class="(\w+)")? x="([\d.]+)" y="([\d.]+)">([^<]*)</g,
    )) {
      expect(text).not.toMatch(/&(?!amp;|lt;|gt;|quot;)/);
      const end = Number(x) + text.replace(/&\w+;/g, '_').length * 7.22;
      expect(end).toBeLessThanOrEqual(width);
      expect(Number(y)).toBeLessThan(height);
      if (kind === undefined && text !== 'ends') expect(end).toBeLessThan(second);
    }
  });
});
