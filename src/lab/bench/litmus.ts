/** Litmus tests, proofs and the zoo: F. */
import { Machine } from '../../machine/layout.js';
import { searchWhole } from '../../engine/exhaustive/driver.js';
import { MachineImage } from '../../engine/one-thread/machine-image.js';
import { pinVsWriteProtect } from '../../engine/programs/pin-vs-write-protect.js';
import { BUGS } from '../../zoo/index.js';
import { type TimeSource, realTime } from '../explore/budget.js';
import { explore } from '../explore/explore.js';
import { fileObserver } from '../litmus/threads/file-observer.js';
import { litmusThreads } from '../litmus/threads/run.js';
import { litmusSubject } from '../litmus/subject.js';
import { zooSubject } from '../zoo/zoo.js';
import { row } from './row.js';
import type { Section } from './section.js';

const RESET = 'F litmus machine, back to its start';
const RESETS = 20_000;

const reset: Section = {
  names: [RESET],
  async measure({ effort }) {
    const m = new Machine({
      nodes: 1,
      framesPerNode: 16,
      thpOrder: 1,
      cpus: 2,
      cpuNodes: [],
      mms: 1,
      mmPages: 4,
      vmasPerMm: 4,
      vms: 1,
      vmPages: 4,
      tlbEntries: 4,
      pcpBatch: 1,
      lruBatch: 0,
    });
    const image = new MachineImage(m);
    const samples: number[] = [];
    for (let repetition = 0; repetition <= effort.repetitions; repetition++) {
      const started = performance.now();
      for (let i = 0; i < RESETS; i++) image.restore(m.words);
      // the first one warms up
      if (repetition > 0) samples.push((1000 * (performance.now() - started)) / RESETS);
    }
    return [row(RESET, samples, { unit: 'us', workers: 1, atMost: 2, note: `${image.bytes} bytes` })];
  },
};

const PROOF = 'F exhaustive proof of the peer model';
const PROOF_WARM_UP = 200;

const proof: Section = {
  names: [PROOF],
  async measure({ effort, quick }) {
    const program = pinVsWriteProtect();
    for (let i = 0; i < (quick ? 5 : PROOF_WARM_UP); i++) searchWhole(program);
    const samples: number[] = [];
    for (let repetition = 0; repetition < effort.repetitions; repetition++) {
      const started = performance.now();
      const { executions, exhaustive } = searchWhole(program);
      samples.push(performance.now() - started);
      if (!exhaustive || executions !== 17) throw new Error(`the peer model has ${executions} executions, not 17`);
    }
    return [row(PROOF, samples, { unit: 'ms', workers: 1, atMost: 20 })];
  },
};

const ZOO = 'F the median bug of the zoo, found by the portfolio';

const zoo: Section = {
  names: [ZOO],
  async measure({ quick }) {
    const seconds: number[] = [];
    for (const bug of quick ? BUGS.slice(0, 3) : BUGS) {
      const { report } = await explore({
        subject: zooSubject(bug, true),
        schedules: 1e6,
        seconds: 10,
        lookOn: 0,
        minimise: false,
      });
      seconds.push(report.elapsed_s);
    }
    return [
      row(ZOO, seconds, {
        unit: 's',
        workers: 1,
        atMost: 1,
        note: 'a repetition is a bug; its spread is that of the bugs',
      }),
    ];
  },
};

/** Two actors that race for one page: a load and a store. */
const PAIR = `litmus bench_read_write
"A load and a store of one page."
process A { a: anon 1 read write }
init { A: write(a, 1); }
cpu0@A       | cpu1@A       ;
r = read(a)  | write(a, 2)  ;
exists (r == 1)
`;
const THREADS = 'F litmus iterations on two real threads';

/** A rate is by the clock: so are the seconds that it is measured for. */
const BY_THE_CLOCK: TimeSource = { clock: realTime.clock, cpu: (workers) => workers * realTime.clock() };

const threads: Section = {
  names: [THREADS],
  async measure({ effort, quick }) {
    const subject = litmusSubject({ path: 'bench', text: PAIR, options: {} });
    const samples: number[] = [];
    let overlap = 0;
    for (let repetition = 0; repetition < (quick ? 1 : effort.repetitions); repetition++) {
      const result = await litmusThreads({
        plan: subject.test.plan,
        observer: fileObserver(subject),
        iterations: 1e9,
        seconds: quick ? 0.3 : 2,
        time: BY_THE_CLOCK,
      });
      samples.push(result.iterations / result.elapsed_s);
      overlap = result.overlap;
    }
    return [
      row(THREADS, samples, {
        unit: 'iterations/s',
        workers: 2,
        atLeast: 200_000,
        reason: 'needs two free cores; outcomes are told apart by their text',
        note: `actors overlapped in ${Math.round(100 * overlap)} %`,
      }),
    ];
  },
};

export const LITMUS_SECTIONS: readonly Section[] = [reset, proof, zoo, threads];
