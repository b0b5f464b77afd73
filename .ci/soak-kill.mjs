/**
 * Loaded before pinfall (`node --import`) by soak.mjs in runs that are to lose a worker: it ends worker thread number KILL_WORKER, in the
 * middle of whatever that does, KILL_MS milliseconds after that thread was made, or at SIGUSR2 where KILL_MS is not set.
 */
import { isMainThread } from 'node:worker_threads';

if (isMainThread) {
  const number = Number(process.env.KILL_WORKER ?? 0);
  const workers = [];
  const kill = () => {
    const worker = workers[number];
    // one that has ended has no number any more
    process.stderr.write(`soak: worker thread ${worker?.threadId} is killed\n`);
    void worker?.terminate();
  };
  process.on('worker', (worker) => {
    workers.push(worker);
    if (workers.length === number + 1 && process.env.KILL_MS !== undefined) setTimeout(kill, Number(process.env.KILL_MS));
  });
  process.on('SIGUSR2', kill);
}
