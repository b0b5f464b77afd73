/** A checker of Chrome trace events: JSON, required fields, balance of slices, order of time on each lane, flows that begin. */

interface TraceEvent {
  readonly ph: string;
  readonly name?: string;
  readonly cat?: string;
  readonly id?: number | string;
  readonly pid: number;
  readonly tid: number;
  readonly ts?: number;
}

/**
 * Throws at the first event that is wrong.
 * @returns how many there are of each phase
 */
export function checkTraceEvents(text: string): Record<string, number> {
  const { traceEvents } = JSON.parse(text) as { traceEvents: TraceEvent[] };
  const counts: Record<string, number> = {};
  const open = new Map<string, string[]>();
  const asynchronous = new Map<string, number>();
  const flows = new Set<number | string | undefined>();
  const newest = new Map<string, number>();
  for (const event of traceEvents) {
    const { ph, name, cat, id, pid, tid, ts } = event;
    counts[ph] = (counts[ph] ?? 0) + 1;
    const lane = `${pid}/${tid}`;
    if (!Number.isInteger(pid) || !Number.isInteger(tid)) throw new Error(`no lane: ${JSON.stringify(event)}`);
    if (ph === 'M') continue;
    if (ts === undefined || !(ts >= 0)) throw new Error(`no time: ${JSON.stringify(event)}`);
    const last = newest.get(`${lane} ${ph === 'C' ? name : ''}`) ?? 0;
    if (ts < last) throw new Error(`time of lane ${lane} goes back from ${last} to ${ts}`);
    newest.set(`${lane} ${ph === 'C' ? name : ''}`, ts);
    if (ph !== 'E' && (name ?? '') === '') throw new Error(`no name: ${JSON.stringify(event)}`);
    const slices = open.get(lane) ?? [];
    open.set(lane, slices);
    if (ph === 'B') slices.push(name ?? '');
    if (ph === 'E' && slices.pop() === undefined)
      throw new Error(`lane ${lane}: a slice ends without a start at ${ts}`);
    const key = `${cat} ${id} ${name}`;
    if (ph === 'b') asynchronous.set(key, (asynchronous.get(key) ?? 0) + 1);
    if (ph === 'e') {
      const left = (asynchronous.get(key) ?? 0) - 1;
      if (left < 0) throw new Error(`${key}: an asynchronous slice ends without a start at ${ts}`);
      asynchronous.set(key, left);
    }
    if (ph === 's') flows.add(id);
    if (ph === 'f' && !flows.has(id)) throw new Error(`flow ${id} ends and never began`);
  }
  for (const [lane, slices] of open)
    if (slices.length > 0) throw new Error(`lane ${lane}: slice ${slices[0]} does not end`);
  for (const [key, left] of asynchronous) if (left > 0) throw new Error(`${key}: does not end`);
  return counts;
}
