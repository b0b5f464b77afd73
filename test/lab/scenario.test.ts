import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { Plan } from '#src/plan/plan.js';
import { InputError } from '#src/errors/errors.js';
import { makePlan } from '#src/lab/scenario/plan.js';
import { listScenarios, loadScenario } from '#src/lab/scenario/scenario.js';
import { Machine } from '#src/machine/layout.js';
import { POLICIES } from '#src/policies/index.js';
import { SMALL, temporaryFolder, writeRecording } from './recordings.js';

/** The message of the InputError that `load` ends in: always one line. */
function refusal(load: () => unknown): string {
  try {
    load();
  } catch (error) {
    expect(error).toBeInstanceOf(InputError);
    const { message } = error as InputError;
    expect(message).not.toContain('\n');
    return message;
  }
  return expect.unreachable('was not refused');
}

/** A small scenario, one part a line. */
const GOOD = `title: a test
machine: { nodes: 2, frames_per_node: 32, thp_order: 2 }
processes:
  - mappings:
      - { start: 0, pages: 16, flags: [read, write, mergeable] }
guests:
  - { vcpus: 2, slots: [{ pages: 16 }] }
actors:
  - { kind: vcpu, pages: 16 }
  - { kind: dma, pages: 16 }
  - { kind: ksmd }
`;

function write(text: string | Buffer, name = 'test.yaml'): string {
  const path = join(temporaryFolder(), name);
  writeFileSync(path, text);
  return path;
}

const planOf = (text: string, options: Partial<Parameters<typeof makePlan>[1]> = {}): Plan =>
  makePlan(loadScenario(write(text)), { seed: 1, ...options });

describe('the shipped scenarios', () => {
  it('are listed with a line each, and each makes a plan under every policy', () => {
    const names = listScenarios().map(({ name }) => name);
    expect(names).toEqual([
      'driver-deadlock',
      'pin-race',
      'protected-guest',
      'real-rates',
      'redis-guest',
      'synthetic-guest',
      'two-processes',
    ]);
    expect(listScenarios().every(({ description }) => description.length > 20)).toBe(true);
    for (const name of names) {
      const scenario = loadScenario(name);
      for (const { id, claims } of POLICIES) {
        const plan = makePlan(scenario, { policy: id, seed: 7 });
        expect(plan.kernel).toBe(id);
        expect(plan.actors.some(({ kind }) => kind === 'el2')).toBe(claims.el2);
        expect(plan.machine.cpus).toBe(plan.actors.length);
        expect(new Set(plan.actors.map((actor) => actor.name)).size).toBe(plan.actors.length);
        expect(() => new Machine(plan.machine, new SharedArrayBuffer(0))).not.toThrow();
      }
    }
  });

  it('have redis-guest replay the recorded vCPUs, and others run the synthetic workload', () => {
    const plan = makePlan(loadScenario('redis-guest'), { seed: 1, cpus: 3 });
    const vcpus = plan.actors.filter(({ kind }) => kind === 'vcpu');
    expect(vcpus.map(({ name, params }) => [name, params['replay']])).toEqual([
      ['vcpu0', 1],
      ['vcpu1', 1],
      ['vcpu2', 0],
    ]);
    expect(plan.vms[0]?.vcpus).toBe(3);
    expect(plan.machine.vmPages).toBe(65_536);
    expect(plan.kernel).toBe('pinned-notifiers');
    expect(plan.recording).not.toBeNull();
  });

  it('have an end in one-thread runs', () => {
    const plan = makePlan(loadScenario('pin-race'), { seed: 1, opsEach: 9, oracles: 'all' });
    expect(plan.actors.filter(({ tier }) => tier === 'client').every(({ params }) => (params['ops'] ?? 0) > 0)).toBe(
      true,
    );
    expect(makePlan(loadScenario('redis-guest'), { seed: 1, opsEach: 9 }).actors[0]?.params['ops']).toBe(9);
    expect(plan.oracles).toBe('all');
  });
});

describe('a scenario file', () => {
  it('may be YAML or JSON, and gives actors their numbers', () => {
    const plan = planOf(GOOD);
    expect(plan.actors.map(({ name }) => name)).toEqual(['vcpu0', 'vcpu1', 'dma', 'ksmd']);
    expect(plan.actors.map(({ node }) => node)).toEqual([0, 1, 0, 1]);
    expect(plan.actors[2]?.params).toMatchObject({ mm: 0, first_vpn: 0, pages: 16, batch_pages: 8, pause_us: 1000 });
    const json = {
      title: 't',
      machine: { frames_per_node: 32, thp_order: 1 },
      processes: [{ mappings: [{ start: 0, pages: 4 }] }],
      actors: [{ kind: 'vmm', pages: 4, count: 2 }],
    };
    const fromJson = makePlan(loadScenario(write(JSON.stringify(json), 'test.json')), { seed: 1 });
    expect(fromJson.actors.map(({ name }) => name)).toEqual(['vmm0', 'vmm1']);
  });

  it.each([
    ['not YAML', GOOD.replace('machine: {', 'machine: {{'), /^.*test\.yaml:\d+:\d+: /],
    ['an unfinished list', 'nodes: [1,\n', /:2:1: /],
    ['nothing', '', /:1:1: expected a map, got (nothing|null)$/],
    ['a key twice', `${GOOD}title: again\n`, /:12:1: Map keys must be unique$/],
    ['an alias of nothing', GOOD.replace('nodes: 2', 'nodes: *two'), /:2:19: no anchor &two before this alias$/],
    [
      'an unknown key',
      GOOD.replace('nodes: 2', 'knodes: 2'),
      /:2:12: machine: unknown key "knodes"; did you mean 'nodes'\?$/,
    ],
    [
      'a number out of range',
      GOOD.replace('nodes: 2', 'nodes: 9'),
      /:2:12: machine\.nodes: expected at most 8, got 9$/,
    ],
    ['a fraction', GOOD.replace('nodes: 2', 'nodes: 1.5'), /machine\.nodes: expected a whole number, got 1\.5$/],
    ['a word for a number', GOOD.replace('nodes: 2', 'nodes: two'), /machine\.nodes: expected a number, got "two"$/],
    ['a missing part', GOOD.replace(/^machine:.*\n/m, ''), /:1:1: machine: expected a map, got nothing$/],
    [
      'an unknown kind',
      GOOD.replace('kind: dma', 'kind: dmae'),
      /:10:7: actors\[1\]\.kind: expected one of vcpu, vmm, dma/,
    ],
    [
      "another kind's key",
      GOOD.replace('kind: ksmd', 'kind: ksmd, pause_us: 1'),
      /:11:19: actors\[2\]: unknown key "pause_us"$/,
    ],
    ['an unknown flag', GOOD.replace('mergeable', 'mergable'), /:5:53: .*flags\[2\]: expected read or write or exec/],
    [
      'a mapping twice',
      GOOD.replace('guests:', '      - { start: 8, pages: 4 }\nguests:'),
      /:6:9: .*overlaps another mapping of process 0, \[0, 16\)$/,
    ],
    [
      'a slot without memory',
      GOOD.replace('slots: [{ pages: 16', 'slots: [{ pages: 17'),
      /:7:25: .*are in no mapping of process 0, which has 0 to 15$/,
    ],
    [
      'a guest without process',
      GOOD.replace('vcpus: 2', 'process: 3, vcpus: 2'),
      /guests\[0\]\.process: no process 3; there is only 0$/,
    ],
    [
      'an actor beyond the memory',
      GOOD.replace('kind: dma, pages: 16', 'kind: dma, pages: 17'),
      /:10:5: actors\[1\]: pages 0 to 16 are in no mapping/,
    ],
    [
      'recorded without recording',
      GOOD.replace('vcpus: 2', 'vcpus: recorded'),
      /guests\[0\]\.vcpus: recorded, but this guest has no recording$/,
    ],
    ['a name twice', `${GOOD}  - { kind: dma, pages: 16 }\n`, /:12:5: actors\[3\]: a second actor named dma$/],
    ['an unknown policy', `policy: nosuch\n${GOOD}`, /:1:1: policy: no policy nosuch; expected one of classic, /],
    [
      'a machine too large',
      GOOD.replace('frames_per_node: 32', 'frames_per_node: 1048576').replace('nodes: 2,', 'nodes: 8,'),
      /frames_per_node: 1048576 on each of 8 nodes; expected at most 1048576 in all$/,
    ],
    [
      'a broken range of frames',
      `${GOOD}unpinnable_frames: [[3, 8]]\n`,
      /unpinnable_frames\[0\]: \[3, 8\); expected whole huge pages of 4 within 0 to 64$/,
    ],
    [
      'a node that is not there',
      GOOD.replace('kind: ksmd', 'kind: ksmd, node: 2'),
      /actors\[2\]\.node: 2; expected 0 to 1$/,
    ],
  ])('is refused with its place: %s', (_, text, message) => {
    expect(refusal(() => planOf(text))).toMatch(message);
  });

  it('is told of all its mistakes at once, in order, with what may have been meant', () => {
    const text = GOOD.replace('title:', 'titel:')
      .replace('machine:', 'machne: {}\nmachine:')
      .replace('kind: vcpu', 'kind: vcpuu');
    try {
      planOf(text);
      expect.unreachable('was not refused');
    } catch (error) {
      const { mistakes } = error as InputError;
      const said = mistakes.map((line) => line.replace(/^.*\.yaml:(\d+):\d+: /, '$1 '));
      expect(said).toEqual(
        expect.arrayContaining([expect.stringMatching(/^1 unknown key "titel"; did you mean 'title'\?$/)]),
      );
      expect(said).toEqual(
        expect.arrayContaining([expect.stringMatching(/unknown key "machne"; did you mean 'machine'\?$/)]),
      );
      expect(said).toEqual(
        expect.arrayContaining([expect.stringMatching(/kind: expected one of .*; did you mean 'vcpu'\?$/)]),
      );
      expect(said.map((line) => Number.parseInt(line, 10))).toEqual(
        said.map((line) => Number.parseInt(line, 10)).toSorted((a, b) => a - b),
      );
    }
  });

  it('is told of all that its parts do not mean together, each in its place', () => {
    const text = GOOD.replace(
      'slots: [{ pages: 16 }]',
      'slots: [{ pages: 16 }, { first_gfn: 8, first_vpn: 14, pages: 4 }]',
    )
      .replace('{ kind: vcpu, pages: 16 }', '{ kind: vcpu, pages: 30 }')
      .replace('kind: dma, pages: 16', 'kind: dma, process: 1, pages: 17')
      .replace('kind: ksmd', 'kind: ksmd, node: 5');
    const file = `${text}poisoned_frames: [999]\nengine: { placement: [[vcpu0, dma], [dma, kmsd, el2-9]] }\npolicy: clasic\n`;
    try {
      planOf(file);
      expect.unreachable('was not refused');
    } catch (error) {
      const said = (error as InputError).mistakes.map((line) => line.replace(/^.*\.yaml:(\d+):\d+: /, '$1 '));
      expect(said).toEqual([
        '7 guests[0].slots[1]: guest pages [8, 12) overlap another slot, [0, 16)',
        '7 guests[0].slots[1]: pages 14 to 17 are in no mapping of process 0, which has 0 to 15',
        '9 actors[0].pages: pages 0 to 29 are in no slot of guest 0, which has 0 to 15',
        '10 actors[1].process: no process 1; there is only 0',
        '11 actors[2].node: 5; expected 0 to 1',
        '12 poisoned_frames[0]: 999; expected 1 to 63',
        '13 engine.placement[1][0]: dma has a worker already',
        "13 engine.placement[1][1]: no actor kmsd; there are vcpu0, vcpu1, dma, ksmd; did you mean 'ksmd'?",
        expect.stringMatching(/^14 policy: no policy clasic; expected one of classic, .*did you mean 'classic'\?$/),
      ]);
    }
  });

  it('is refused when it is no text, no file or nothing known', () => {
    expect(refusal(() => loadScenario(write(Buffer.from([0xff, 0xfe, 0, 1, 0xc3]), 'r.bin')))).toMatch(
      /r\.bin: not a text file/,
    );
    expect(refusal(() => loadScenario('/dev/zero'))).toMatch(/: too large; expected a scenario file/);
    expect(refusal(() => loadScenario('./missing.yaml'))).toBe('./missing.yaml: no such file');
    expect(refusal(() => loadScenario(temporaryFolder()))).toMatch(/: a folder, not a file$/);
    expect(refusal(() => loadScenario('nosuch'))).toMatch(
      /^no scenario nosuch; expected one of driver-deadlock, .*redis-guest/,
    );
  });
});

const el2Of = (text: string): string[] =>
  planOf(text, { el2: true })
    .actors.filter(({ kind }) => kind === 'el2')
    .map(({ name }) => name);

describe('the options', () => {
  it('change vCPUs only within what the recording and the machine allow', () => {
    const scenario = loadScenario('redis-guest');
    const cpus = (n: number): string => refusal(() => makePlan(scenario, { seed: 1, cpus: n }));
    expect(cpus(1)).toBe('--cpus 1: expected 2 to 8: recording guest-redis-arm64 has 2 vCPUs');
    expect(cpus(100_000)).toMatch(/^--cpus 100000: expected 2 to 8/);
    expect(makePlan(scenario, { seed: 1, cpus: 8 }).vms[0]?.vcpus).toBe(8);
  });

  it('take any recording of the format, with its sizes', () => {
    const folder = writeRecording(SMALL);
    const plan = makePlan(loadScenario('redis-guest'), { seed: 1, recording: folder });
    expect(plan.machine.mmPages).toBe(4);
    expect(plan.vms).toEqual([
      { mm: 0, vcpus: 2, protected: false, slots: [{ baseGfn: 0, pages: 4, vpn: 0, flags: 0 }], pinRange: [0, 4] },
    ]);
    expect(refusal(() => makePlan(loadScenario('redis-guest'), { seed: 1, recording: '/no/such' }))).toMatch(
      /no such folder/,
    );
    expect(
      refusal(() => planOf(GOOD.replace('slots: [{ pages: 16', 'slots: [{ pages: 2'), { recording: folder })),
    ).toMatch(/:7:17: guests\[0\]\.slots: pages 0 to 1; recording made-for-a-test needs 4 pages$/);
  });

  it('add EL2 instances: one a vCPU and one for all other CPUs, or as many as the file says', () => {
    expect(el2Of(GOOD)).toEqual(['el2-0', 'el2-1', 'el2-2']);
    expect(el2Of(`${GOOD}el2_instances: 1\n`)).toEqual(['el2-0']);
    expect(el2Of(`${GOOD}el2_instances: 64\n`)).toHaveLength(4);
  });
});
