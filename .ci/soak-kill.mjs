/**
 * Loaded before pinfall (`node --import`) by soak.mjs in runs that are to lose a worker: at SIGUSR2 it ends worker thread number
 * KILL_WORKER, in the middle of whatever that does.
 */
import { isMainThread } from 'node:worker_threads';

if (isMainThread) {
  const workers = [];
  process.on('worker', (worker) => workers.push(worker));
  process.on('SIGUSR2', () => {
    const worker = workers[Number(process.env.KILL_WORKER ?? 0)];
    process.stderr.write(`soak: worker thread ${worker?.threadId} is killed\n`);
    void worker?.terminate();
  });
}
