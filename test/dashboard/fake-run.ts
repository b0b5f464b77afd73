/** A run without threads, with all live methods: what it shows is what the test says. */
import { ReplaySubject, Subject } from 'rxjs';
import type { Watched } from '#src/dashboard/server/watched.js';
import type { ActorNow, KnobInfo, MoveResult, NearMiss, PageInfo, StepInfo } from '#src/lab/live/types.js';
import type { Metrics } from '#src/lab/report/metrics.js';
import type { Report } from '#src/lab/report/run-row.js';
import type { ReportViolation } from '#src/lab/report/violation.js';
import { MECHANISMS } from '#src/machine/mechanisms.js';
import { SMALL_MACHINE } from '#src/machine/config.js';
import { LATENCIES, STATS } from '#src/machine/stats.js';

const NAMES = ['vcpu0', 'dma', 'ksmd'];

/** Pages of the guest: a square of 64. */
export const PAGES = 4096;

const point = (text: string) => ({ effect: 'read', word: '', text });

type Writable<T> = { -readonly [Key in keyof T]: T[Key] };

export class FakeRun implements Watched {
  readonly plan: Watched['plan'];
  readonly actorNames = NAMES;
  readonly metrics$ = new Subject<Metrics>();
  readonly violations$ = new ReplaySubject<ReportViolation>(50);
  readonly nearMisses$ = new Subject<NearMiss>();
  readonly ended: Promise<void>;
  readonly scenarioOver: Promise<void>;
  /** What was done to it, in order. */
  readonly done: string[] = [];
  readonly ops = Object.fromEntries(STATS.map((name) => [name, 0])) as Record<(typeof STATS)[number], number>;
  readonly map = new Uint8Array(PAGES).fill(1);
  readonly lanes: Writable<ActorNow>[];
  state: Watched['state'] & string = 'running';
  elapsedSeconds = 0;
  seats = [0, 0, 1];
  scan = 100;
  nearMissCount = 0;
  violationCount = 0;
  #pinnedUnmaps = 0;
  #end: Report['end'] = { kind: 'finished' };
  #finish!: () => void;
  #allEnded!: () => void;

  constructor(scenario = 'synthetic-guest', policy = 'pinned-notifiers', seed = 7) {
    this.ended = new Promise((resolve) => (this.#finish = resolve));
    this.scenarioOver = new Promise((resolve) => (this.#allEnded = resolve));
    this.plan = {
      scenario,
      kernel: policy,
      seed,
      machine: SMALL_MACHINE,
      actors: NAMES.map((name, node) => ({
        name,
        kind: name.replace(/\d$/, ''),
        tier: 'client',
        node: node % 2,
        params: {},
      })),
      mappings: [],
      vms: [{ mm: 0, vcpus: 1, protected: false, slots: [{ baseGfn: 0, pages: PAGES, vpn: 0, flags: 0 }] }],
      memlockPages: [-1],
      driverSubscriber: false,
      knobs: { ksmSmartScan: true, ksmUseZeroPages: false, thpEnabled: 1, maxPtesNone: 3 },
      poisonedFrames: [],
      unpinnableFrames: [],
      oracles: 'off',
      recording: null,
    };
    this.lanes = NAMES.map((name) => ({
      name,
      kind: name.replace(/\d$/, ''),
      tier: 'client',
      worker: 0,
      form: 'coroutines',
      alive: true,
      state: 'runnable',
      doing: 'stage2_map(gfn 0x12): pfn 0x4d',
      waits: null,
      held: [],
      steps: 1,
      progress: 1,
      retries: 0,
      stuckSinceMs: null,
    }));
  }

  /** A second goes by: so many accesses, and pinned pages unmapped by the NUMA scan. */
  second(accesses: number, pinnedUnmaps = 0): void {
    this.elapsedSeconds += 1;
    this.ops.accesses = (this.ops.accesses + accesses) >>> 0;
    this.#pinnedUnmaps += pinnedUnmaps;
    this.metrics$.next({} as Metrics);
  }

  violate(invariant: string, diagram: string): void {
    this.violationCount++;
    this.violations$.next({ invariant, what: 'something broke', actor: null, actors: [], time: 0, held: [], diagram });
  }

  miss(mechanism: string, kind: NearMiss['kind'] = 'pinned_unmap'): void {
    const count = ++this.nearMissCount;
    const diagram = `  dma          numa-balancer\n  ---          -------------\n  pin          unmap ${count}\n`;
    const actors = ['dma', 'numa-balancer'];
    this.nearMisses$.next({
      kind,
      count,
      mechanism,
      actors,
      vm: 0,
      gfn: 0x12,
      pfn: 0x4d,
      time: count,
      at_s: this.elapsedSeconds,
      diagram,
    });
  }

  reportSoFar(): Report {
    return this.#reportOf({ kind: 'interrupted' });
  }

  async setKnob(name: string, value: number): Promise<void> {
    this.done.push(`${name}=${value}`);
    this.scan = value;
  }

  async pause(): Promise<void> {
    this.done.push('pause');
    this.state = 'paused';
  }

  async resume(): Promise<void> {
    this.done.push('resume');
    this.state = 'running';
  }

  async audit(): Promise<number> {
    this.done.push('audit');
    return 0;
  }

  /** A worker dies: the run ends by itself. */
  die(): void {
    this.#end = { kind: 'worker-died', detail: 'worker 1 died: Error: out of luck; dma holds mm0 mmap_lock' };
    this.#finish();
  }

  /** All actors end by themselves. */
  over(): void {
    this.#end = { kind: 'scenario-over', detail: 'all actors had ended' };
    this.#allEnded();
  }

  async stop(): Promise<Report> {
    this.done.push('stop');
    this.metrics$.complete();
    this.#finish();
    return this.#reportOf(this.#end);
  }

  async stepMode(on: boolean): Promise<void> {
    this.done.push(`stepMode ${on}`);
  }

  async step(actor: string): Promise<StepInfo> {
    this.done.push(`step ${actor}`);
    this.state = 'stepping';
    return {
      actor,
      moved: true,
      did: point('acquire PTL of table 3'),
      next: point('read refs of pfn 0x12'),
      stack: ['zapPteRange'],
      events: ['zap(0x1)'],
      waits: null,
    };
  }

  knobs(): KnobInfo[] {
    return [
      {
        name: 'ksmd.pages_to_scan',
        group: 'ksmd',
        value: this.scan,
        unit: 'pages',
        min: 1,
        max: 10_000,
        description: 'pages of a batch',
        takes: 'live',
      },
      {
        name: 'quantum',
        group: 'engine',
        value: 64,
        unit: 'schedule points',
        min: 1,
        max: 100_000,
        description: '',
        takes: 'live',
      },
    ];
  }

  placement() {
    const workers = [...new Set(this.seats)].toSorted((a, b) => a - b);
    const rows = workers.map((worker) => ({
      worker,
      threadId: worker + 10,
      form: 'coroutines' as const,
      actors: NAMES.filter((_, actor) => this.seats[actor] === worker),
    }));
    return { workers: rows.length, workersMax: NAMES.length, rows };
  }

  async moveActor(name: string, worker: number): Promise<MoveResult> {
    this.done.push(`move ${name} ${worker}`);
    this.seats[NAMES.indexOf(name)] = worker;
    return { placement: this.placement(), moved: [name], violations: 0, tookMs: 3 };
  }

  async setWorkers(count: number, scheme = 'balanced'): Promise<MoveResult> {
    this.done.push(`workers ${count} ${scheme}`);
    this.seats = NAMES.map((_, actor) => actor % count);
    return { placement: this.placement(), moved: NAMES, violations: 0, tookMs: 3 };
  }

  actors(): ActorNow[] {
    return this.lanes;
  }

  memoryMap(): Uint8Array {
    return this.map.slice();
  }

  page(vm: number, gfn: number): PageInfo {
    const entry = { entry: 1, text: `pfn 0x${gfn.toString(16)} RW` };
    return {
      vm,
      gfn,
      state: 'pinned',
      mm: 0,
      vpn: gfn,
      pfn: gfn,
      host: entry,
      stage2: entry,
      refs: 1026,
      mappings: 1,
      pins: 1,
      flags: ['lru'],
      order: 0,
      head: gfn,
      ksmSharers: 0,
      content: 5,
    };
  }

  pageHistory() {
    return [{ time: 77, actor: 'dma', type: 'page_pin', text: 'pin_user_pages(0x12)', note: '' }];
  }

  races() {
    return {
      nearMisses: { 'pinned_unmap numa_scan': this.nearMissCount },
      total: this.nearMissCount,
      distinct: 0,
      withoutDiagram: 0,
      pairsBothOrders: 0,
      pairs: 0,
      distinctPerSecond: 0,
      pairsPerSecond: 0,
    };
  }

  /** Ten operations of each kind for each second that has passed, in the bucket that ends at 2 us. */
  latencyCounts() {
    const seconds = Math.round(this.elapsedSeconds * 10);
    return LATENCIES.map(() => Array.from({ length: 64 }, (_, bucket) => (bucket === 7 ? seconds : 0)));
  }

  ringFill() {
    return [{ worker: 0, records: 16_384, capacity: 65_536 }];
  }

  #reportOf(end: Report['end']): Report {
    return {
      schema: 'pinfall.report/1',
      command: 'dashboard',
      scenario: this.plan.scenario,
      policy: this.plan.kernel,
      seed: this.plan.seed,
      workers: this.placement().workers,
      threads: this.placement().rows.map(({ threadId, actors }) => ({ threadId, actors })),
      duration_s: this.elapsedSeconds,
      silence: null,
      teardown_s: 0,
      ops: { ...this.ops },
      pins: { kvm: 0, dma: 0 },
      mechanisms: MECHANISMS.slice(1).map((name) => ({
        name,
        notifier_starts: 0,
        pinned_hit: 0,
        stage2_unmaps: name === 'numa_scan' ? this.#pinnedUnmaps : 0,
        stage2_unmaps_pinned: name === 'numa_scan' ? this.#pinnedUnmaps : 0,
        pages_moved: 0,
        backed_out: 0,
      })),
      rates: [],
      noise: { setting: 'off', delays: 0, delayed_s: 0 },
      latency_us: Object.fromEntries(LATENCIES.map((name) => [name, { count: 10, p50: 2, p99: 40, max: 900 }])),
      events: {
        written: 10 * this.ops.accesses,
        delivered: 9 * this.ops.accesses,
        dropped: this.ops.accesses,
        unobserved: 0,
        waits: 0,
        late: 0,
      },
      violations: [],
      violation_count: this.violationCount,
      memory: { frames: 64, bytes: 4096 },
      end,
      asked: true,
      not_asked: null,
      ok: this.violationCount === 0 && end.kind !== 'worker-died',
    };
  }
}
