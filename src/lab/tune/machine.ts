/**
 * What else the machine does while a sweep measures. A setting that was slow because somebody else had the processors is no slower
 * than the others: on a busy machine `tune` says so, and recommends nothing.
 */
import { readFileSync } from 'node:fs';
import os, { availableParallelism, loadavg } from 'node:os';

/** Of one call of `tune`. Shares are of all CPU time that there was, 0 to 1; null where the machine does not say. */
export interface MachineFacts {
  readonly node: string;
  readonly cpus: number;
  /** The load average of the last minute before the first measurement, per CPU. */
  readonly load_per_cpu: number;
  /** CPU time that other processes had. */
  readonly others_share: number | null;
  /** CPU time that the hypervisor gave to others (`steal` of /proc/stat). */
  readonly stolen_share: number | null;
}

const OTHERS_MAX = 0.15;
const STOLEN_MAX = 0.02;
/** Decides only where nobody says who had the processors: an own sweep a minute ago counts in it too. */
const LOAD_MAX = 0.7;
/** Of the default's own measurements: the distance of their quartiles over their median. */
const SPREAD_MAX = 0.3;

const share = (value: number): string => `${(value * 100).toFixed(0)} %`;

/** Why nothing that was measured can be compared; empty: the machine was quiet. */
export function busyReasons(machine: MachineFacts, spread: number | null): string[] {
  const { load_per_cpu: load, others_share: others, stolen_share: stolen } = machine;
  const said = `the load average was ${load.toFixed(1)} per CPU at the start`;
  return [
    ...(others !== null && others > OTHERS_MAX
      ? [`other processes had ${share(others)} of the CPU time (${said})`]
      : others === null && load > LOAD_MAX
        ? [said]
        : []),
    ...(stolen !== null && stolen > STOLEN_MAX
      ? [`${share(stolen)} of the CPU time was stolen by the hypervisor`]
      : []),
    ...(spread !== null && spread > SPREAD_MAX
      ? [`the default's own runs differ by ${share(spread)} between their quartiles`]
      : []),
  ];
}

interface Ticks {
  readonly busy: number;
  readonly stolen: number;
  readonly all: number;
}

/** The first line of /proc/stat (proc_stat(5)): user nice system idle iowait irq softirq steal. null: it is not there. */
export function ticksOf(stat: string): Ticks | null {
  const fields = /^cpu\s+([\d ]+)/.exec(stat)?.[1]?.trim().split(' ').map(Number);
  if (fields === undefined || fields.length < 8) return null;
  const [user = 0, nice = 0, system = 0, idle = 0, iowait = 0, irq = 0, softirq = 0, stolen = 0] = fields;
  const busy = user + nice + system + irq + softirq;
  return { busy, stolen, all: busy + idle + iowait + stolen };
}

function ticksNow(): Ticks | null {
  try {
    return ticksOf(readFileSync('/proc/stat', 'utf8'));
  } catch {
    return null;
  }
}

/** Looks at the machine from now on. The function that it gives tells what there was until then. */
export function watchMachine(): () => MachineFacts {
  const cpus = availableParallelism();
  const load_per_cpu = Number(((loadavg()[0] ?? 0) / cpus).toFixed(2));
  const before = ticksNow();
  const own = process.cpuUsage();
  const started = performance.now();
  return () => {
    const after = ticksNow();
    const { user, system } = process.cpuUsage(own);
    const seconds = (performance.now() - started) / 1000;
    const facts = { node: process.version, cpus, load_per_cpu };
    const all = before === null || after === null ? 0 : after.all - before.all;
    if (before === null || after === null || all <= 0) return { ...facts, others_share: null, stolen_share: null };
    // all CPUs of the machine are in /proc/stat, not only those that this process may use
    const ownShare = (user + system) / 1e6 / (seconds * os.cpus().length);
    return {
      ...facts,
      others_share: Number(Math.max(0, (after.busy - before.busy) / all - ownShare).toFixed(3)),
      stolen_share: Number(((after.stolen - before.stolen) / all).toFixed(3)),
    };
  };
}
